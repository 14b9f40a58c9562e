"""Poses from silhouettes: the head of the shape space that fits the photos with a face, looked for in those without.

1. Fit: latent of the built-in shape space, so that its head passes through the landmarks and fills the masks of the
   photos whose cameras are known.
2. Search: for every other photo yaws round the head; the best silhouettes start an adjustment of the whole pose.
Everything happens in the head frame, in units of its ball (`HEAD_FRAME`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from nerfstudio.cameras.lie_groups import exp_map_SO3xR3
from scipy.spatial.transform import Rotation
from skimage.measure import marching_cubes
from torch import Tensor

from baseh3d_ns.bars import progress_bar
from baseh3d_ns.cameras import Pinhole
from baseh3d_ns.capture.face_tracks import Surface
from baseh3d_ns.fields.head_field import HeadField
from baseh3d_ns.frames import HEAD_FRAME, OPENCV_TO_OPENGL
from baseh3d_ns.heads.latent_pca import LatentPca
from baseh3d_ns.heads.networks import field_of_head
from baseh3d_ns.heads.readers import BUILTIN, open_head
from baseh3d_ns.placing.candidate import above_neck
from baseh3d_ns.rendering.ball import intersect_unit_ball, points_along
from baseh3d_ns.rendering.sdf_grid import GridTracer
from baseh3d_ns.rendering.sphere_tracing import uniform_samples

SEED = 0
"""Seed of the rays that are drawn."""
GRID_CELLS, RAY_SAMPLES = 48, 40
"""Cells along an axis of the cached SDF, and samples along a ray."""
COMPONENTS = 24
"""Principal components of the latents that are fitted."""
FIT_STEPS, FIT_RAYS, REFRESH_STEPS = 160, 1024, 20
"""Adam steps of the latent, rays a step, and steps between two refreshes of the cached SDF."""
LANDMARK_SD_MM = 3.0
"""Distance of landmarks from the surface that is usual, in millimetres."""
LATENT_WEIGHT = 1e-4
"""Weight of the squared latent, in standard deviations from the mean head."""
SHARPNESS = (30.0, 120.0)
"""Sharpness of the soft silhouettes at the first and last step."""
NECK_MM = -125.0
"""Height below which silhouettes are ignored, in millimetres from the ears."""
YAWS = 36
"""Yaws that are tried round the head."""
FRONTAL_DEG = 35.0
"""Yaw within which a face would have been found, in degrees."""
STARTS, ADJUSTED = 12, 4
"""Yaws with the best silhouettes that are kept, and of which the whole pose is adjusted."""
POSE_STEPS, POSE_RAYS = 80, 900
"""Adam steps and rays of the adjustment."""
SURFACE_POINTS = 700
"""Points of the head's surface that are looked for in photos."""
POSE_RATE = 0.01
"""Adam's learning rate of rotation vector and translation, in radians and in units of the ball."""


@dataclass(frozen=True, eq=False)
class PosedMask:
    """A mask and the camera of its photo, known or about right."""

    mask: Bool[np.ndarray, "h w"]
    camera: Pinhole
    """Its pictures are as large as the mask."""


@dataclass
class FittedHead:
    """A head of the shape space."""

    field: HeadField
    grid: GridTracer

    def min_sdf(
        self, origins: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"]
    ) -> tuple[Float[Tensor, " rays"], Float[Tensor, "rays 3"], Bool[Tensor, " rays"]]:
        """Least SDF along rays by the cache, the points where it is, and whether they lie above the neck."""
        near, far, _ = intersect_unit_ball(origins.detach(), directions.detach())
        points = points_along(origins, directions, uniform_samples(near, far, RAY_SAMPLES, jitter=False))
        in_box = points.clamp(-1.0, 1.0)
        values = self.grid.cached(in_box) + (points - in_box).norm(dim=-1)
        closest = points[torch.arange(len(points)), values.argmin(dim=1)]
        return values.amin(dim=1), closest, above_neck(closest, NECK_MM)


def fit_head(known: Sequence[PosedMask], landmarks_mm: Float[np.ndarray, "l 3"]) -> FittedHead:
    """The shape space's head that fills the masks and passes through the landmarks."""
    prior = open_head(BUILTIN)
    assert prior.latents is not None
    field = field_of_head(prior, BUILTIN)
    assert field.latent is not None
    pca = LatentPca.fit(prior.latents, field.latent.detach().clone(), COMPONENTS)
    coefficients = torch.zeros(len(pca.components), requires_grad=True)
    optimizer = torch.optim.Adam([coefficients], lr=0.1)
    landmarks = torch.tensor(HEAD_FRAME.to_unit(landmarks_mm), dtype=torch.float32)
    head = FittedHead(field, GridTracer(GRID_CELLS))
    rng = np.random.default_rng(SEED)
    field.requires_grad_(False)
    for step in progress_bar(range(FIT_STEPS), desc="Fitting a head to the silhouettes", unit="step"):
        done = step / FIT_STEPS
        optimizer.param_groups[0]["lr"] = 0.1 * (1.0 - done)
        if step % REFRESH_STEPS == 0:
            _refresh(head, pca.decode(coefficients.detach()))
        latent = pca.decode(coefficients)[None]
        rays, inside = zip(*(_draw(view, FIT_RAYS // len(known), rng) for view in known), strict=True)
        _, closest, counts = head.min_sdf(*(torch.cat(part) for part in zip(*rays, strict=True)))
        loss = _mask_loss(field.sdf_network(closest, latent)[:, 0], torch.cat(inside), counts, done)
        off = field.sdf_network(landmarks, latent)[:, 0] * HEAD_FRAME.radius_mm / LANDMARK_SD_MM
        loss = loss + 0.02 * (torch.sqrt(1.0 + off.square()) - 1.0).mean() + LATENT_WEIGHT * coefficients.square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    _refresh(head, pca.decode(coefficients.detach()))
    return head


def poses_from_silhouette(head: FittedHead, mask: Bool[np.ndarray, "h w"], like: Pinhole) -> list[Pinhole]:
    """Cameras that see the head in the mask, from several directions, the best silhouettes first.

    Args:
        head: the fitted head.
        mask: of a photo that shows no face.
        like: a camera of the same kind at a usual distance, of the size of the mask.
    """
    rng = np.random.default_rng(SEED)
    yaws = np.linspace(-180.0, 180.0, YAWS, endpoint=False)
    starts = [_aimed(head, mask, like, float(yaw)) for yaw in yaws if abs(yaw) > FRONTAL_DEG]
    scores = [silhouette_iou(head, PosedMask(mask, camera)) for camera in starts]
    chosen = [starts[i] for i in np.argsort(scores)[::-1][:STARTS]]
    return [*(_adjust(head, PosedMask(mask, camera), rng) for camera in chosen[:ADJUSTED]), *chosen]


def surface_of(head: FittedHead) -> Surface:
    """Points spread over the head above the neck, with their normals, in millimetres."""
    assert head.grid.values is not None
    volume = head.grid.values[0, 0].numpy()
    vertices, _, inwards, _ = marching_cubes(volume, 0.0)
    points_mm = HEAD_FRAME.to_world_mm(vertices[:, ::-1].astype(float) * head.grid.cell - 1.0)
    kept = np.flatnonzero(points_mm[:, 1] > NECK_MM)
    kept = np.random.default_rng(SEED).permutation(kept)[:SURFACE_POINTS]
    return Surface(points_mm[kept], -inwards[kept, ::-1].astype(float))


@torch.no_grad()
def silhouette_iou(head: FittedHead, view: PosedMask) -> float:
    """Intersection over union of mask and head, above the neck."""
    rays, inside = _draw(view, 3000, np.random.default_rng(SEED))
    values, _, counts = head.min_sdf(*rays)
    predicted, true = values[counts] < 0.0, inside[counts] > 0.5
    return float((predicted & true).sum() / (predicted | true).sum().clamp(min=1))


@torch.no_grad()
def _refresh(head: FittedHead, latent: Float[Tensor, " l"]) -> None:
    assert head.field.latent is not None
    head.field.latent.copy_(latent)
    head.grid.refresh(head.field.sdf, latent.device)


def _mask_loss(
    sdf: Float[Tensor, " n"], inside: Float[Tensor, " n"], counts: Bool[Tensor, " n"], done: float
) -> Float[Tensor, ""]:
    sharpness = SHARPNESS[0] ** (1.0 - done) * SHARPNESS[1] ** done
    return (torch.sigmoid(-sharpness * sdf) - inside)[counts].abs().mean()


def _draw(
    view: PosedMask, count: int, rng: np.random.Generator
) -> tuple[tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]], Float[Tensor, " n"]]:
    """Rays (origins, directions) in the unit frame through random pixels round the mask, and whether they lie in it."""
    rows, columns = np.nonzero(view.mask)
    low = np.array([columns.min(), rows.min()], dtype=float)
    high = np.array([columns.max(), rows.max()], dtype=float)
    margin = 0.1 * (high - low)
    limit = np.array([view.mask.shape[1] - 1, view.mask.shape[0] - 1])
    pixels = rng.uniform(np.maximum(low - margin, 0.0), np.minimum(high + margin, limit), (count, 2)).round()
    inside = view.mask[pixels[:, 1].astype(int), pixels[:, 0].astype(int)]
    origin = HEAD_FRAME.to_unit(np.broadcast_to(view.camera.centre_mm, (count, 3)))
    origins, directions = (torch.tensor(part, dtype=torch.float32) for part in (origin, view.camera.rays(pixels)))
    return (origins, directions), torch.tensor(inside, dtype=torch.float32)


def _aimed(head: FittedHead, mask: Bool[np.ndarray, "h w"], like: Pinhole, yaw_deg: float) -> Pinhole:
    """Upright camera at a yaw whose picture of the head's middle lies in the middle of the mask's upper part."""
    outwards = Rotation.from_euler("y", yaw_deg, degrees=True).as_matrix()
    rotation = OPENCV_TO_OPENGL @ outwards.T
    middle_mm = _middle_mm(head)
    depth = float((like.rotation @ middle_mm + like.translation_mm)[2])
    rows, columns = np.nonzero(mask)
    camera = replace(like, rotation=rotation, translation_mm=np.array([0.0, 0.0, depth]) - rotation @ middle_mm)
    # The top of the head is seen in every mask, its lower end is not.
    points_mm = _inside_points_mm(head)
    pixels = camera.project(points_mm)
    widths = _upper_width(pixels[:, 0], pixels[:, 1]), _upper_width(columns, rows)
    depth *= widths[0] / widths[1]
    wanted = np.array([0.5 * (columns.min() + columns.max()), rows.min()])
    camera = replace(camera, translation_mm=np.array([0.0, 0.0, depth]) - rotation @ middle_mm)
    pixels = camera.project(points_mm)
    seen = np.array([0.5 * (pixels[:, 0].min() + pixels[:, 0].max()), pixels[:, 1].min()])
    shift = (wanted - seen) * depth / like.intrinsics[0, 0]
    return replace(camera, translation_mm=camera.translation_mm + np.append(shift, 0.0))


def _upper_width(x: np.ndarray, y: np.ndarray) -> float:
    """Width of the part near the top whose height is two thirds of the whole width; 1 where it is a stray pixel."""
    upper = y < y.min() + 0.67 * (x.max() - x.min())
    return max(1.0, float(x[upper].max() - x[upper].min()))


def _inside_points_mm(head: FittedHead) -> Float[np.ndarray, "n 3"]:
    """Grid points inside the head, above the neck, in millimetres."""
    assert head.grid.values is not None
    inside = torch.nonzero(head.grid.values[0, 0] < 0.0).flip(1).numpy()
    points_mm = HEAD_FRAME.to_world_mm(inside * head.grid.cell - 1.0)
    return points_mm[points_mm[:, 1] > NECK_MM]


def _middle_mm(head: FittedHead) -> Float[np.ndarray, " 3"]:
    points = _inside_points_mm(head)
    return 0.5 * (points.min(axis=0) + points.max(axis=0))


def _adjust(head: FittedHead, view: PosedMask, rng: np.random.Generator) -> Pinhole:
    """Pose whose soft silhouette fits the mask best, by Adam on a small motion of the head about its middle."""
    motion = torch.zeros(6, requires_grad=True)
    optimizer = torch.optim.Adam([motion], lr=POSE_RATE)
    middle = torch.tensor(HEAD_FRAME.to_unit(_middle_mm(head)), dtype=torch.float32)
    for step in range(POSE_STEPS):
        done = step / POSE_STEPS
        optimizer.param_groups[0]["lr"] = POSE_RATE * (1.0 - done)
        (origins, directions), inside = _draw(view, POSE_RAYS, rng)
        rigid = exp_map_SO3xR3(motion[None])[0]
        turned = (origins - middle) @ rigid[:, :3].T + middle + rigid[:, 3]
        values, _, counts = head.min_sdf(turned, directions @ rigid[:, :3].T)
        loss = _mask_loss(values, inside, counts.detach(), done)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    final = exp_map_SO3xR3(motion[None])[0].detach().double().numpy()
    centre, turn = HEAD_FRAME.to_world_mm(middle.double().numpy()), final[:, :3]
    rotation = view.camera.rotation @ turn.T
    moved_centre = turn @ (view.camera.centre_mm - centre) + centre + HEAD_FRAME.radius_mm * final[:, 3]
    return replace(view.camera, rotation=rotation, translation_mm=-rotation @ moved_centre)
