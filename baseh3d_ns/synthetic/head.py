"""One textured head: shape, appearance and ground truth from (seed, index)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial.transform import Rotation

from baseh3d_ns.evaluation.protocol import FACE_RADIUS_MM
from baseh3d_ns.frames import LANDMARKS_MM
from baseh3d_ns.synthetic import anatomy
from baseh3d_ns.synthetic.anatomy import CANONICAL, EYEBALL, HAIR, MOUTH_CAVITY
from baseh3d_ns.synthetic.hair import grow_hair
from baseh3d_ns.synthetic.identity import Identity, draw_identity, identity_rng
from baseh3d_ns.synthetic.surface import Surface, join
from baseh3d_ns.synthetic.visibility import directional_visibility, sphere_directions, visible_to_scanner

EYES_MM = (0.0, 48.0, 75.0)
"""World position of the middle between the eyes before the random offset, in millimetres."""
POSE_RANGE_DEG, OFFSET_RANGE_MM = (6.0, 4.0, 3.0), 20.0
"""Largest yaw, pitch and roll of a head in the world in degrees, and largest offset along each axis in millimetres."""
FAR_MM = 1e4
"""Distance that takes hair and eyeballs out of the search for landmarks, in millimetres."""
POSE_STREAM = 1
"""Stream of `identity_rng` for the pose in the world."""


@dataclass(frozen=True)
class Head:
    """A head in world millimetres (+y up, face along +z): the rendered surface and its visible part, the scan."""

    identity: Identity
    surface: Surface
    """Rendered surface, hidden parts included (attribute columns: see `anatomy`)."""
    visible_cosine: Float[np.ndarray, "n d"]
    """Cosine between the normal of each vertex of `surface` and each of `sphere_directions()`; 0 where occluded."""
    scan: Surface
    """Ground truth: the part that a scanner could see."""
    landmarks: dict[str, int]
    """Vertex of `scan` for each of the six landmarks of H3DS."""
    regions: dict[str, Int[np.ndarray, " _"]]
    """Vertices of `scan` in `face`, `face_sphere` and `nose`."""


def make_head(seed: int, index: int) -> Head:
    """Subject `index` of `seed`, independent of all other subjects."""
    body = anatomy.load_body_model()
    identity = draw_identity(seed, index, body.local_change_labels)
    whole = _placed(whole_head(body, identity), identity_rng(seed, index, POSE_STREAM))
    directions = sphere_directions()
    visible_cosine = directional_visibility(whole, directions)
    scan = _visible_part(whole, visible_to_scanner(visible_cosine, directions))
    landmarks = landmark_vertices(scan)
    return Head(identity, whole, visible_cosine, scan, landmarks, _regions(scan, landmarks["nose_tip"], identity))


def whole_head(body: anatomy.BodyModel, identity: Identity, depth_mm: float = anatomy.BUST_DEPTH_MM) -> Surface:
    """Skin, clothes and hair of one identity, hidden parts included, where the body model stands."""
    skin = anatomy.bare_head(body, identity, depth_mm)
    hair = grow_hair(skin, identity)
    floor_mm = float(skin.vertices_mm[:, 1].min())
    return skin if hair is None else anatomy.cut_level(join([skin, hair]), floor_mm)


def landmark_vertices(surface: Surface) -> dict[str, int]:
    """Vertex of each of the six landmarks of H3DS: the skin vertex nearest to its canonical place."""
    canonical = surface.attributes[:, CANONICAL].copy()
    canonical[(surface.attributes[:, HAIR] > 0.5) | (surface.attributes[:, EYEBALL] > 0.5)] += FAR_MM
    return {name: anatomy.nearest_vertex(canonical, place) for name, place in LANDMARKS_MM.items()}


def _placed(surface: Surface, rng: np.random.Generator) -> Surface:
    """The head in a random pose near the world origin, rounded to the three decimals of full_head.obj."""
    rotation = Rotation.from_euler("yxz", rng.uniform(-1.0, 1.0, 3) * POSE_RANGE_DEG, degrees=True).as_matrix()
    eyes = surface.vertices_mm[surface.attributes[:, EYEBALL] > 0.5].mean(axis=0)
    offset = np.array(EYES_MM) + rng.uniform(-OFFSET_RANGE_MM, OFFSET_RANGE_MM, 3)
    return surface.moved(np.round((surface.vertices_mm - eyes) @ rotation.T + offset, 3))


def _visible_part(surface: Surface, visible: Bool[np.ndarray, " n"]) -> Surface:
    """Triangles with three visible corners, none of them inside the mouth."""
    visible = visible & (surface.attributes[:, MOUTH_CAVITY] < 0.5)
    return surface.keep_faces(visible[surface.faces].all(axis=1))


def _regions(scan: Surface, nose_tip: int, identity: Identity) -> dict[str, Int[np.ndarray, " _"]]:
    """Vertices of the regions `face`, `face_sphere` and `nose`, by their canonical coordinates in millimetres."""
    canonical = scan.attributes[:, CANONICAL]
    x, y, z = np.abs(canonical[:, 0]), canonical[:, 1], canonical[:, 2]
    is_skin = scan.attributes[:, HAIR] < 0.5
    bare = is_skin & (anatomy.under_cloth_mm(canonical, identity) < 0.0)
    from_nose_mm = np.linalg.norm(scan.vertices_mm - scan.vertices_mm[nose_tip], axis=1)
    return {
        "face": np.flatnonzero(bare & (z > -30.0) & (y < 62.0)),
        "face_sphere": np.flatnonzero(from_nose_mm <= FACE_RADIUS_MM),
        "nose": np.flatnonzero(is_skin & (y > -53.0) & (y < 0.0) & (x < 9.0 + 0.3 * (0.0 - y).clip(0.0)) & (z > 90.0)),
    }
