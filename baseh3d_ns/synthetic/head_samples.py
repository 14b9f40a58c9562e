"""Points on synthetic heads, without photographs: thousands of heads for a shape space.

Every head is kept in a folder of its own file, so that a run that was stopped goes on where it was, and a larger set
begins with the smaller one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tqdm import tqdm

from baseh3d_ns.shape_space.surface_samples import HeadSamples, sample_mesh, standard_pose
from baseh3d_ns.synthetic import anatomy
from baseh3d_ns.synthetic.anatomy import CANONICAL, EYEBALL, HAIR, MOUTH_CAVITY
from baseh3d_ns.synthetic.head import whole_head
from baseh3d_ns.synthetic.identity import Identity, draw_identity, identity_rng
from baseh3d_ns.synthetic.light import light_up
from baseh3d_ns.synthetic.material import material_at
from baseh3d_ns.synthetic.posture import Posture, take_posture
from baseh3d_ns.synthetic.render import EXPOSURE, to_srgb
from baseh3d_ns.synthetic.visible import openness, seen_by_a_scanner, sphere_directions

VERSION = "4"
"""Raise it when the same arguments would give other points."""
POSTURE_STREAM, HAIR_STREAM = 5, 6
"""Of the random numbers of a subject; its photographs take others (`synthetic.dataset`)."""
DIRECTIONS = 48
"""From which a vertex is looked at and lit: a third of what photographs take, in a third of the time."""


def sample_head(seed: int, index: int, count: int) -> HeadSamples:
    """`count` points on subject `index` of `seed`, in a posture of its own: what a scanner would see, and the bottom of
    the bust; with colours as in soft light."""
    body = anatomy.load_body_model()
    identity = sampled_identity(seed, index, body.local_change_labels)
    posture = Posture.draw(identity_rng(seed, index, POSTURE_STREAM))
    head, bottom = take_posture(whole_head(body, identity, posture.depth_mm), posture)
    directions = sphere_directions(DIRECTIONS)
    open_cosine = openness(head, directions)
    light = light_up(open_cosine, directions, np.eye(3)).irradiance
    skin = head.attributes[:, CANONICAL] + 1e4 * (head.attributes[:, [HAIR, EYEBALL]] > 0.5).any(axis=1, keepdims=True)
    landmarks = {
        name: head.vertices_mm[anatomy.nearest_vertex(skin, place)] for name, place in anatomy.LANDMARKS_MM.items()
    }
    shade = to_srgb(material_at(head.attributes, identity).albedo * light * EXPOSURE)
    visible = seen_by_a_scanner(open_cosine, directions) & (head.attributes[:, MOUTH_CAVITY] < 0.5)
    mesh = head.as_trimesh()
    mesh.apply_transform(standard_pose(landmarks))
    mesh.faces = np.concatenate([head.faces[visible[head.faces].all(axis=1)], bottom])
    return sample_mesh(mesh, count, index, shade)


def sampled_identity(seed: int, index: int, local_change_labels: Sequence[str]) -> Identity:
    """As photographs have it (`synthetic.dataset`), with hair that varies more."""
    identity = draw_identity(seed, index, local_change_labels)
    return replace(identity, hair=identity.hair.varied(identity_rng(seed, index, HAIR_STREAM)))


def sample_heads(folder: Path, heads: int, seed: int, count: int) -> list[Path]:
    """Files of the first `heads` subjects of `seed` in `folder`, made where they are not there yet."""
    place = folder / f"anny-{VERSION}-seed{seed}-{count}"
    place.mkdir(parents=True, exist_ok=True)
    files = [place / f"{index:05d}.npz" for index in range(heads)]
    missing = [index for index, file in enumerate(files) if not file.is_file()]
    if missing:
        workers = min(os.cpu_count() or 1, len(missing))
        # Not forked: the body model's compiler and torch have threads of their own.
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            make = partial(_write_head, place, seed, count)
            bar = tqdm(pool.map(make, missing), total=len(missing), desc="Sampling synthetic heads", unit="head")
            list(bar)
    return files


def load_samples(file: Path) -> HeadSamples:
    """What `sample_heads` has written."""
    with np.load(file) as arrays:
        normals = arrays["normals"].astype(np.float32) / 127.0
        return HeadSamples(arrays["points"], normals, arrays["colours"])


def _write_head(place: Path, seed: int, count: int, index: int) -> None:
    samples = sample_head(seed, index, count)
    unfinished = place / f".{index:05d}.{os.getpid()}.npz"
    normals = (127.0 * samples.normals).round().astype(np.int8)
    assert samples.colours is not None
    np.savez(unfinished, points=samples.points, normals=normals, colours=samples.colours)
    os.replace(unfinished, place / f"{index:05d}.npz")
