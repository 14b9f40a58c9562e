"""One textured head: shape, looks and ground truth from (seed, index)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial.transform import Rotation

from baseh3d_ns.synthetic import anatomy
from baseh3d_ns.synthetic.anatomy import CANONICAL, EYEBALL, HAIR, LANDMARKS_MM, MOUTH_CAVITY
from baseh3d_ns.synthetic.hair import grow_hair
from baseh3d_ns.synthetic.identity import Identity, draw_identity, identity_rng
from baseh3d_ns.synthetic.surface import Surface, join
from baseh3d_ns.synthetic.visible import openness, seen_by_a_scanner, sphere_directions

FACE_SPHERE_MM = 95.0
HEIGHT_OF_EYES_MM = 48.0
"""World height of the eyes before the small random offset."""


@dataclass(frozen=True)
class Head:
    """A head in world millimetres (+y up, face along +z). `surface` is what is rendered; `scan` its visible part."""

    identity: Identity
    surface: Surface
    """Everything, also what is hidden inside (attribute columns: see `anatomy`)."""
    open_cosine: Float[np.ndarray, "n d"]
    """For each vertex of `surface`: cosine to each of `sphere_directions()` that it can see, else 0."""
    scan: Surface
    """The ground truth: only what a scanner could see."""
    landmarks: dict[str, int]
    """Vertex of `scan` for each of the six landmarks of H3DS."""
    regions: dict[str, Int[np.ndarray, " _"]]
    """Vertices of `scan` in `face`, `face_sphere` and `nose`."""


def make_head(seed: int, index: int) -> Head:
    """Subject `index` of `seed`: always the same, whatever else is made."""
    body = anatomy.load_body_model()
    identity = draw_identity(seed, index, body.local_change_labels)
    whole = _placed(whole_head(body, identity), identity_rng(seed, index, 1))
    directions = sphere_directions()
    open_cosine = openness(whole, directions)
    scan = _visible_part(whole, seen_by_a_scanner(open_cosine, directions))
    landmarks = {name: anatomy.nearest_vertex(_skin_only(scan), place) for name, place in LANDMARKS_MM.items()}
    return Head(identity, whole, open_cosine, scan, landmarks, _regions(scan, landmarks["nose_tip"], identity))


def whole_head(body: anatomy.BodyModel, identity: Identity, depth_mm: float = anatomy.BUST_DEPTH_MM) -> Surface:
    """Skin, clothes and hair of one identity, also what is hidden, where the body model stands."""
    skin = anatomy.bare_head(body, identity, depth_mm)
    hair = grow_hair(skin, identity)
    floor_mm = float(skin.vertices_mm[:, 1].min())
    return skin if hair is None else anatomy.cut_level(join([skin, hair]), floor_mm)


def _placed(surface: Surface, rng: np.random.Generator) -> Surface:
    """The head near the world origin, a few degrees and two centimetres off, rounded to what full_head.obj keeps."""
    turn = Rotation.from_euler("yxz", rng.uniform(-1.0, 1.0, 3) * [6.0, 4.0, 3.0], degrees=True).as_matrix()
    eyes = surface.vertices_mm[surface.attributes[:, EYEBALL] > 0.5].mean(axis=0)
    offset = np.array([0.0, HEIGHT_OF_EYES_MM, 75.0]) + rng.uniform(-20.0, 20.0, 3)
    return surface.moved(np.round((surface.vertices_mm - eyes) @ turn.T + offset, 3))


def _visible_part(surface: Surface, visible: Bool[np.ndarray, " n"]) -> Surface:
    visible = visible & (surface.attributes[:, MOUTH_CAVITY] < 0.5)
    return surface.keep_faces(visible[surface.faces].all(axis=1))


def _skin_only(scan: Surface) -> Float[np.ndarray, "n 3"]:
    """Canonical coordinates with hair and eyeballs out of reach, to look landmarks up in."""
    canonical = scan.attributes[:, CANONICAL].copy()
    canonical[(scan.attributes[:, HAIR] > 0.5) | (scan.attributes[:, EYEBALL] > 0.5)] += 1e4
    return canonical


def _regions(scan: Surface, nose_tip: int, identity: Identity) -> dict[str, Int[np.ndarray, " _"]]:
    canonical = scan.attributes[:, CANONICAL]
    x, y, z = np.abs(canonical[:, 0]), canonical[:, 1], canonical[:, 2]
    is_skin = scan.attributes[:, HAIR] < 0.5
    bare = is_skin & (anatomy.under_cloth_mm(canonical, identity) < 0.0)
    from_nose_mm = np.linalg.norm(scan.vertices_mm - scan.vertices_mm[nose_tip], axis=1)
    return {
        "face": np.flatnonzero(bare & (z > -30.0) & (y < 62.0)),
        "face_sphere": np.flatnonzero(from_nose_mm <= FACE_SPHERE_MM),
        "nose": np.flatnonzero(is_skin & (y > -53.0) & (y < 0.0) & (x < 9.0 + 0.3 * (0.0 - y).clip(0.0)) & (z > 90.0)),
    }
