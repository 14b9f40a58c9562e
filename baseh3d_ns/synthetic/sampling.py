"""Points on one synthetic head, without photographs: what a shape space learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from baseh3d_ns.shape_space.surface_samples import HeadSamples, sample_mesh, standard_pose
from baseh3d_ns.synthetic import anatomy
from baseh3d_ns.synthetic.anatomy import MOUTH_CAVITY
from baseh3d_ns.synthetic.head import landmark_vertices, whole_head
from baseh3d_ns.synthetic.identity import Identity, draw_identity, identity_rng
from baseh3d_ns.synthetic.light import light_up
from baseh3d_ns.synthetic.material import material_at
from baseh3d_ns.synthetic.posture import Posture, apply_posture
from baseh3d_ns.synthetic.render import EXPOSURE, to_srgb
from baseh3d_ns.synthetic.visibility import directional_visibility, sphere_directions, visible_to_scanner

POSTURE_STREAM, HAIR_STREAM = 5, 6
"""Streams of `identity_rng` for posture and hair; those of the photographs stand in `dataset`."""
DIRECTIONS = 48
"""Directions in which visibility and light are sampled: fewer than for photographs, which takes less time."""


def sample_head(seed: int, index: int, count: int) -> HeadSamples:
    """`count` points on subject `index` of `seed` in a random posture, coloured as in soft light.

    They lie on the part that a scanner would see and on the bottom of the bust, in the standard frame of heads.
    """
    body = anatomy.load_body_model()
    identity = sampled_identity(seed, index, body.local_change_labels)
    posture = Posture.draw(identity_rng(seed, index, POSTURE_STREAM))
    head, bottom = apply_posture(whole_head(body, identity, posture.depth_mm), posture)
    directions = sphere_directions(DIRECTIONS)
    visible_cosine = directional_visibility(head, directions)
    light = light_up(visible_cosine, directions, np.eye(3)).irradiance
    landmarks = {name: head.vertices_mm[vertex] for name, vertex in landmark_vertices(head).items()}
    shade = to_srgb(material_at(head.attributes, identity).albedo * light * EXPOSURE)
    visible = visible_to_scanner(visible_cosine, directions) & (head.attributes[:, MOUTH_CAVITY] < 0.5)
    mesh = head.as_trimesh()
    mesh.apply_transform(standard_pose(landmarks))
    mesh.faces = np.concatenate([head.faces[visible[head.faces].all(axis=1)], bottom])
    return sample_mesh(mesh, count, index, shade)


def sampled_identity(seed: int, index: int, local_change_labels: Sequence[str]) -> Identity:
    """Identity of a photographed subject (`draw_identity`) with hair that varies more."""
    identity = draw_identity(seed, index, local_change_labels)
    return replace(identity, hair=identity.hair.varied(identity_rng(seed, index, HAIR_STREAM)))
