"""Rigid alignment of a head to a scan in another world, from any start: rotations, then translations, then ICP.

1. Turn the face by each of many rotations that cover SO(3) evenly (super-Fibonacci spirals).
2. For each rotation, score all translations at once: correlate the face's points with the truncated closeness to the
   scan, both on voxels, by FFT.
3. From the best rotations, trimmed point-to-plane ICP with few points; the least trimmed distance wins.
4. A scan that lies on the head already stays there, also where it holds no more than half of the face: such a half lies
   as well on wrong places as on the right one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh
from jaxtyping import Complex, Float
from scipy import fft
from scipy.ndimage import distance_transform_edt
from scipy.spatial.transform import Rotation

from baseh3d_ns.evaluation.distance import Surface
from baseh3d_ns.evaluation.icp import SHARE, descend, trimmed_mean

ROTATIONS = 600
"""Starting rotations: every rotation lies within about 25 degrees of one of them."""
CANDIDATES = 48
"""Rotations that go on to ICP: beside a torso or a wall, many wrong ones look as promising as the right ones."""
VOXELS = 144
"""Voxels across the scan, unless these were smaller than `LEAST_VOXEL_MM`: coarse ones blur a face in a large scan."""
LEAST_VOXEL_MM = 12.0
REACH_VOXELS = 3.0
"""Distance from the scan, in voxels, beyond which a point of the face is simply off it."""
ICP_POINTS = 400
ICP_STEPS = 40
SCAN_POINTS = 60_000
HALF_SHARE = 0.45
"""Share of a face that a scan cut through its middle still holds."""
STAYS_MM = 25.0
"""Mean movement of the face up to which a scan lay on the head already."""


@dataclass(frozen=True)
class Closeness:
    """Truncated closeness to a scan on voxels: `REACH_VOXELS` on it, 0 from there on."""

    spectrum: Complex[np.ndarray, "x y half"]
    """Real FFT of the closeness, padded."""
    origin_mm: Float[np.ndarray, " 3"]
    """Centre of voxel (0, 0, 0) in the scan's world."""
    voxel_mm: float
    shape: tuple[int, int, int]
    """Voxels with padding."""


def align_from_anywhere(
    face: Float[np.ndarray, "n 3"], scan: trimesh.Trimesh, surface: Surface
) -> Float[np.ndarray, "4 4"]:
    """The rigid motion that brings points of a face onto a scan that holds that face somewhere.

    Args:
        face: points in mm, spread evenly over the face.
        scan: in mm, in any world.
        surface: the scan, prepared for distances.
    """
    few = face[:: max(1, len(face) // ICP_POINTS)]
    starts = [np.eye(4), *_starts(few, scan)]
    found, misfits_mm = [], []
    for start in starts:
        step = descend(trimesh.transform_points(few, start), surface, share=SHARE, iterations=ICP_STEPS)
        found.append(step @ start)
        distances_mm = surface.closest(trimesh.transform_points(few, found[-1])).distances
        misfits_mm.append(trimmed_mean(distances_mm, SHARE))
    best = found[int(np.argmin(misfits_mm))]
    here = descend(few, surface, share=HALF_SHARE, iterations=ICP_STEPS)
    moved = [trimesh.transform_points(few, motion) for motion in (here, best)]
    fits_mm = [trimmed_mean(surface.closest(points).distances, HALF_SHARE) for points in moved]
    stays = np.linalg.norm(moved[0] - few, axis=1).mean() < STAYS_MM and fits_mm[0] <= fits_mm[1]
    return here if stays else best


def _starts(face: Float[np.ndarray, "n 3"], scan: trimesh.Trimesh) -> list[Float[np.ndarray, "4 4"]]:
    """The most promising of `ROTATIONS`, each with its best translation."""
    centre = face.mean(axis=0)
    centred = face - centre
    closeness = _closeness(scan, float(np.linalg.norm(centred, axis=1).max()))
    rated = []
    for rotation in spread_rotations(ROTATIONS):
        score, shift = _best_shift(centred @ rotation.T, closeness)
        motion = np.eye(4)
        motion[:3, :3], motion[:3, 3] = rotation, shift - rotation @ centre
        rated.append((score, motion))
    rated.sort(key=lambda pair: -pair[0])
    return [motion for _, motion in rated[:CANDIDATES]]


def _closeness(scan: trimesh.Trimesh, reach_mm: float) -> Closeness:
    """The scan on voxels, with room for a face of that radius beyond its ends."""
    points = np.asarray(trimesh.sample.sample_surface(scan, SCAN_POINTS, seed=0)[0])
    low, extent = points.min(axis=0), np.ptp(points, axis=0)
    voxel = max(LEAST_VOXEL_MM, float(extent.max()) / VOXELS)
    margin = int(REACH_VOXELS) + 1
    inner = np.ceil(extent / voxel).astype(int) + 1 + 2 * margin
    shape = [fft.next_fast_len(int(size + 2 * np.ceil(reach_mm / voxel) + 1), real=True) for size in inner]
    empty = np.ones(inner, dtype=bool)
    empty[tuple((np.rint((points - low) / voxel).astype(int) + margin).T)] = False
    closeness = np.maximum(0.0, REACH_VOXELS - distance_transform_edt(empty)).astype(np.float32)
    x, y, z = shape
    return Closeness(fft.rfftn(closeness, (x, y, z)), low - margin * voxel, voxel, (x, y, z))


def _best_shift(points: Float[np.ndarray, "n 3"], closeness: Closeness) -> tuple[float, Float[np.ndarray, " 3"]]:
    """The translation of the points with most closeness, and how much: the peak of a cross-correlation."""
    x, y, z = closeness.shape
    voxels = np.rint(points / closeness.voxel_mm).astype(int)
    cells = np.ravel_multi_index((voxels % closeness.shape).T, closeness.shape)
    density = np.bincount(cells, minlength=x * y * z).reshape(closeness.shape).astype(np.float32)
    score = fft.irfftn(closeness.spectrum * fft.rfftn(density).conj(), closeness.shape)
    best = int(score.argmax())
    place = np.array(np.unravel_index(best, closeness.shape))
    # A circular correlation: large indices are translations below 0.
    low = -voxels.max(axis=0)
    place = low + (place - low) % closeness.shape
    return float(score.flat[best]), closeness.origin_mm + closeness.voxel_mm * place


def spread_rotations(count: int) -> Float[np.ndarray, "count 3 3"]:
    """Rotations spread evenly over SO(3): super-Fibonacci spirals (Alexa, CVPR 2022, algorithm 1)."""
    phi, psi = np.sqrt(2.0), 1.533751168755204288118041
    s = np.arange(count) + 0.5
    inner, outer = np.sqrt(s / count), np.sqrt(1.0 - s / count)
    alpha, beta = 2.0 * np.pi * s / phi, 2.0 * np.pi * s / psi
    quaternions = [inner * np.sin(alpha), inner * np.cos(alpha), outer * np.sin(beta), outer * np.cos(beta)]
    return Rotation.from_quat(np.stack(quaternions, axis=1)).as_matrix()
