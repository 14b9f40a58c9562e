"""Landmarks of a prior's face, in the head frame, and the prior's way there.

Shape spaces stand in the head frame, where the landmark model knows the mean face. The prior of one head is rendered
from where its own cameras stood, and the same detector as for photos finds the landmarks on its surface.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import normalize

from baseh3d_ns.errors import InputError
from baseh3d_ns.fields.head_field import HeadField
from baseh3d_ns.frames import HEAD_FRAME
from baseh3d_ns.placing.photo_faces import GOLDEN
from baseh3d_ns.pretrained.landmark_model import LANDMARKS, LandmarkModel, load_landmark_model
from baseh3d_ns.pretrained.landmarks import find_face
from baseh3d_ns.rendering.chunks import points_per_call
from baseh3d_ns.rendering.sdf_grid import GridTracer
from baseh3d_ns.similarity import Similarity, align

MARGIN = 1.05
"""Radius that renders cover at least, in radii of the unit ball."""
UNSEEN_MM = 1e3
"""Standard deviation of a landmark that lies on no surface: it says nothing."""
FACES_ENOUGH = 3
"""Number of renders with a face that are enough."""
LEAST_SCORE = 0.25
"""Score from which a face in a render counts: faces that were learned for a minute are blurred, but there is no other
in the picture."""


@dataclass(frozen=True, eq=False)
class PriorFace:
    """The face of a prior."""

    model: LandmarkModel
    """Places of the landmarks in the head frame."""
    to_head: Similarity
    """From the prior's unit frame to the head frame."""


def face_of_space() -> PriorFace:
    """The mean face of a shape space."""
    centre = np.array(HEAD_FRAME.centre_mm)
    return PriorFace(load_landmark_model(), Similarity(HEAD_FRAME.radius_mm, np.eye(3), centre))


def face_of_head(field: HeadField, grid: GridTracer, centres: Float[Tensor, "v 3"], size: int) -> PriorFace | None:
    """Landmarks on the surface of one head; None where no render shows a face, or the networks are missing.

    Args:
        field: the prior.
        grid: cache of its SDF.
        centres: places in its unit frame to look at it from.
        size: width of the renders in pixels.
    """
    from baseh3d_ns.bars import progress_bar

    found: list[tuple[np.ndarray, np.ndarray]] = []
    try:
        spread = sorted(range(len(centres)), key=lambda view: view * GOLDEN % 1.0)
        for centre in progress_bar(centres[spread], desc="Looking at the prior", unit="render"):
            points = _landmarks_seen_from(field, grid, centre, size)
            if points is not None:
                found.append((centre.double().cpu().numpy(), points))
            if len(found) == FACES_ENOUGH:
                break
    except InputError:
        return None
    return _face(found) if found else None


def _face(found: list[tuple[np.ndarray, np.ndarray]]) -> PriorFace | None:
    """The face that landmarks seen from several places agree on, the detector's bias for each place taken off."""
    model = load_landmark_model()
    places = _median([points for _, points in found])
    seen = np.isfinite(places).all(axis=1)
    if seen.sum() < LANDMARKS // 2:
        return None
    to_head = align(places[seen], model.mean_mm[seen])
    none, zero = np.zeros(len(model.errors_mm)), np.zeros_like(model.mean_mm)
    unbiased = [to_head.points(points) - model.seen(zero, to_head.points(centre), none) for centre, points in found]
    head_mm = np.where(seen[:, None], _median(unbiased), model.mean_mm)
    noise_mm = np.where(seen, model.noise_mm, UNSEEN_MM)
    return PriorFace(replace(model, mean_mm=head_mm, shapes_mm=model.shapes_mm[:0], noise_mm=noise_mm), to_head)


def _median(points: list[np.ndarray]) -> Float[np.ndarray, "l 3"]:
    """Median of the places that are known; NaN where none is."""
    return np.ma.median(np.ma.masked_invalid(points), axis=0).filled(np.nan)


def _landmarks_seen_from(
    field: HeadField, grid: GridTracer, centre: Float[Tensor, " 3"], size: int
) -> Float[np.ndarray, "l 3"] | None:
    """Surface points behind the landmarks of a render from `centre`; NaN where a landmark lies on no surface."""
    directions = rays_on_ball(centre, size)
    picture, points = render(field, grid, centre.expand_as(directions), directions)
    face = find_face(picture)
    if face is None or face.score < LEAST_SCORE:
        return None
    column, row = np.clip(face.points_px.round().astype(int), 0, size - 1).T
    return points[row, column].double().cpu().numpy()


def rays_on_ball(centre: Float[Tensor, " 3"], size: int) -> Float[Tensor, "s s 3"]:
    """Unit directions from `centre` through the pixels of a square picture of the unit ball."""
    back = normalize(centre, dim=0)
    least = torch.eye(3, device=centre.device)[back.abs().argmin()]
    right = normalize(torch.linalg.cross(least, back), dim=0)
    up = torch.linalg.cross(back, right)
    half = MARGIN / max(MARGIN, float(centre.square().sum() - 1.0) ** 0.5)
    across = ((torch.arange(size, device=centre.device) + 0.5) / size * 2.0 - 1.0) * half
    return normalize(across[None, :, None] * right - across[:, None, None] * up - back, dim=-1)


@torch.no_grad()
def render(
    field: HeadField, grid: GridTracer, origins: Float[Tensor, "h w 3"], directions: Float[Tensor, "h w 3"]
) -> tuple[UInt8[np.ndarray, "h w 3"], Float[Tensor, "h w 3"]]:
    """A prior on white, in its own unit frame, and the surface point behind every pixel (NaN where there is none)."""
    shape = origins.shape
    colours, points = [], []
    chunk = points_per_call(origins.device, with_gradient=True)
    for o, d in zip(origins.reshape(-1, 3).split(chunk), directions.reshape(-1, 3).split(chunk), strict=True):
        # As exact as training needs it: the picture is only looked at by detectors.
        traced = grid.training_points(field.sdf, o, d, torch.ones(len(o), dtype=torch.bool, device=o.device))
        point = torch.where(traced.hit[:, None], o + traced.t[:, None] * d, torch.nan)
        colour = torch.ones_like(o)
        if traced.hit.any():
            at = point[traced.hit]
            _, features, gradient = field.with_gradient(at, create_graph=False)
            colour[traced.hit] = field.colour(at, gradient, -d[traced.hit], features)
        colours.append(colour)
        points.append(point)
    picture = (torch.cat(colours) * 255.0).round().to(torch.uint8).reshape(shape).cpu().numpy()
    return picture, torch.cat(points).reshape(shape)
