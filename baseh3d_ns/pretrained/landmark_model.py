"""Places of the face detector's landmarks on a head, learned from synthetic heads with known cameras.

A detector places its 468 points where they look right from the front of a photo, not on fixed points of the skin: the
outline of the jaw slides along the cheek as the head turns. So a landmark, in mm in the head frame (`HEAD_FRAME`), is

    x_i(a, d, e) = mean_i + S_i a + B_i phi(d) + [r(d) u(d)] N_i e

with shape coefficients a of the head and detector errors e of the photo (both standard normal), and a bias that depends
on the direction d from the face to the camera; r and u are the picture's axes for an upright camera. What remains is
independent noise of a standard deviation that depends on the view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from jaxtyping import Float

from baseh3d_ns.cameras import Pinhole

MODEL_FILE = Path(__file__).with_name("landmark_model.safetensors")
LANDMARKS = 468
"""Points of the detector."""
FACE_CENTRE_MM = np.array([0.0, -30.0, 80.0])
"""Point of the head frame that directions to cameras start from."""
SIDES = np.array([-0.85, -0.5, 0.0, 0.5, 0.85])
"""Sines of the yaws between which the noise is interpolated."""
SHAPES, ERRORS = 30, 10
"""Components of the heads' shapes and of the detector's errors."""
FEATURES = 5
"""Terms of the view-dependent bias."""
BIAS_SD_MM, NOISE_SD_MM = 3.0, 1.5
"""Expected size of the terms of the bias, and of what they do not explain, in millimetres."""
CORRELATION = 2.8
"""Factor on standard deviations: neighbouring landmarks err alike, so 468 count as about sixty."""
ROUNDS = 4
"""Rounds in which places and biases are estimated in turn."""


@dataclass(frozen=True, eq=False)
class LandmarkModel:
    """The model of the file's first lines."""

    mean_mm: Float[np.ndarray, "l 3"]
    """Landmarks of the mean head."""
    shapes_mm: Float[np.ndarray, "k l 3"]
    """Principal components of the heads' landmarks, one standard deviation each."""
    bias_mm: Float[np.ndarray, "f l 3"]
    """Coefficients of the view-dependent bias."""
    errors_mm: Float[np.ndarray, "m l 2"]
    """Principal components of the detector's errors in a photo, one standard deviation each, along r and u."""
    noise_mm: Float[np.ndarray, "b l"]
    """Standard deviation of the rest for the yaws of `SIDES`."""

    def head(self, shape: Float[np.ndarray, " k"]) -> Float[np.ndarray, "l 3"]:
        """Landmarks of a head in mm, without bias."""
        return self.mean_mm + np.tensordot(shape, self.shapes_mm, 1)

    def seen(
        self, head_mm: Float[np.ndarray, "l 3"], centre_mm: Float[np.ndarray, " 3"], errors: Float[np.ndarray, " m"]
    ) -> Float[np.ndarray, "l 3"]:
        """Points that a camera at `centre_mm` sees where the detector is expected to place the landmarks."""
        direction = _direction(centre_mm)
        offset = np.tensordot(_features(direction), self.bias_mm, 1)
        return head_mm + offset + np.tensordot(errors, self.errors_mm, 1) @ _picture_axes(direction)

    def noise(self, centre_mm: Float[np.ndarray, " 3"]) -> Float[np.ndarray, " l"]:
        """Standard deviation in mm of the landmarks that a camera at `centre_mm` sees, along either axis."""
        return _between_sides(float(_direction(centre_mm)[0])) @ self.noise_mm


def soft_l1(residual: Float[np.ndarray, "n d"], softness: float) -> Float[np.ndarray, "n d"]:
    """Residuals whose squares are the soft L1 loss of their length, which grows linearly beyond `softness`."""
    squared = (residual**2).sum(axis=1, keepdims=True)
    loss = 2.0 * softness**2 * (np.sqrt(1.0 + squared / softness**2) - 1.0)
    return residual * np.sqrt(loss / np.maximum(squared, 1e-18))


def load_landmark_model() -> LandmarkModel:
    """The model that comes with the plugin."""
    from safetensors.numpy import load_file

    stored = load_file(MODEL_FILE)
    return LandmarkModel(**{part.name: stored[part.name].astype(np.float64) for part in fields(LandmarkModel)})


def save_landmark_model(model: LandmarkModel, path: Path) -> None:
    """Write the model in half precision, which is finer than a tenth of a millimetre."""
    from safetensors.numpy import save_file

    # Row by row: safetensors writes the memory of a transposed array as it lies.
    save_file({part.name: getattr(model, part.name).astype(np.float16, order="C") for part in fields(model)}, path)


@dataclass(frozen=True, eq=False)
class SeenHead:
    """Detections on the photos of one head whose cameras are known in its head frame."""

    cameras: tuple[Pinhole, ...]
    points_px: Float[np.ndarray, "v l 2"]
    """Detected landmarks (column, row)."""


def learn_landmark_model(heads: Sequence[SeenHead]) -> LandmarkModel:
    """Places by triangulation and biases by ridge regression in turn, then components of shapes and errors."""
    places = np.zeros((len(heads), LANDMARKS, 3))
    bias = np.zeros((FEATURES, LANDMARKS, 3))
    for _ in range(ROUNDS):
        places = np.stack([triangulate(head, bias) for head in heads])
        bias = _fit_bias(heads, places)
    mean, shapes = _components(places.reshape(len(heads), -1), SHAPES)
    residuals, sides = [], []
    for head, place in zip(heads, places, strict=True):
        for camera, points in zip(head.cameras, head.points_px, strict=True):
            residuals.append(_residual(camera, points, place, bias) @ _picture_axes(_direction(camera.centre_mm)).T)
            sides.append(float(_direction(camera.centre_mm)[0]))
    rows = np.stack(residuals).reshape(len(residuals), -1)
    _, errors = _components(rows, ERRORS)
    explained = rows @ np.linalg.pinv(errors) @ errors
    rest = (rows - explained).reshape(len(rows), LANDMARKS, 2)
    return LandmarkModel(
        mean.reshape(LANDMARKS, 3),
        shapes.reshape(-1, LANDMARKS, 3),
        bias,
        errors.reshape(-1, LANDMARKS, 2),
        _noise_of_sides(rest, np.array(sides)),
    )


def _direction(centre_mm: Float[np.ndarray, " 3"]) -> Float[np.ndarray, " 3"]:
    away = centre_mm - FACE_CENTRE_MM
    return away / np.linalg.norm(away)


def _features(direction: Float[np.ndarray, " 3"]) -> Float[np.ndarray, " f"]:
    """Terms of the bias: they vanish for a camera straight ahead."""
    x, y, _ = direction
    return np.array([x, y, x * x, y * y, x * y])


def _picture_axes(direction: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "2 3"]:
    """Right and up in the picture of an upright camera in that direction, in the head frame."""
    right = np.cross([0.0, 1.0, 0.0], direction)
    right = right / np.linalg.norm(right)
    return np.stack([right, np.cross(direction, right)])


def _between_sides(side: float) -> Float[np.ndarray, " b"]:
    """Weights of linear interpolation between `SIDES`."""
    return np.array([np.interp(side, SIDES, row) for row in np.eye(len(SIDES))])


def triangulate(head: SeenHead, bias: Float[np.ndarray, "f l 3"]) -> Float[np.ndarray, "l 3"]:
    """Point of every landmark nearest to its rays, the bias taken off, robust by iterated reweighting (Huber)."""
    across, centres = [], []
    for camera, points in zip(head.cameras, head.points_px, strict=True):
        rays = camera.rays(points)
        across.append(np.eye(3) - rays[:, :, None] * rays[:, None, :])
        centres.append(camera.centre_mm - np.tensordot(_features(_direction(camera.centre_mm)), bias, 1))
    projectors, offsets = np.stack(across), np.stack(centres)
    weights = np.ones(projectors.shape[:2])
    for _ in range(5):
        weighted = weights[..., None, None] * projectors
        place = np.linalg.solve(weighted.sum(0), np.einsum("vlij,vlj->li", weighted, offsets)[..., None])[..., 0]
        distance = np.linalg.norm(np.einsum("vlij,vlj->vli", projectors, place - offsets), axis=-1)
        weights = np.minimum(1.0, 2.0 * NOISE_SD_MM / np.maximum(distance, 1e-6))
    return place


def _residual(
    camera: Pinhole,
    points_px: Float[np.ndarray, "l 2"],
    place: Float[np.ndarray, "l 3"],
    bias: Float[np.ndarray, "f l 3"],
) -> Float[np.ndarray, "l 3"]:
    """Offset from the expected places to the rays of the detections, at right angles to the rays, in mm."""
    expected = place + np.tensordot(_features(_direction(camera.centre_mm)), bias, 1)
    rays = camera.rays(points_px)
    away = expected - camera.centre_mm
    return (away * rays).sum(-1, keepdims=True) * rays - away


def _fit_bias(heads: Sequence[SeenHead], places: Float[np.ndarray, "h l 3"]) -> Float[np.ndarray, "f l 3"]:
    """Ridge regression of the offsets on the view's features, across the rays only."""
    normal = np.zeros((LANDMARKS, 3 * FEATURES, 3 * FEATURES))
    right = np.zeros((LANDMARKS, 3 * FEATURES))
    none = np.zeros((FEATURES, LANDMARKS, 3))
    for head, place in zip(heads, places, strict=True):
        for camera, points in zip(head.cameras, head.points_px, strict=True):
            features = _features(_direction(camera.centre_mm))
            rays = camera.rays(points)
            across = np.eye(3) - rays[:, :, None] * rays[:, None, :]
            offset = _residual(camera, points, place, none)
            weight = np.minimum(1.0, 2.0 * NOISE_SD_MM / np.maximum(np.linalg.norm(offset, axis=-1), 1e-6))
            normal += weight[:, None, None] * np.kron(np.outer(features, features)[None], across)
            right += weight[:, None] * np.kron(features[None], offset)
    ridge = (NOISE_SD_MM / BIAS_SD_MM) ** 2 * np.eye(3 * FEATURES)
    solved = np.linalg.solve(normal + ridge, right[..., None])[..., 0]
    return solved.reshape(LANDMARKS, FEATURES, 3).transpose(1, 0, 2)


def _components(rows: Float[np.ndarray, "n d"], count: int) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, "k d"]]:
    """Mean and first principal components, one standard deviation each."""
    mean = rows.mean(axis=0)
    _, singular, axes = np.linalg.svd(rows - mean, full_matrices=False)
    return mean, singular[:count, None] / np.sqrt(len(rows) - 1) * axes[:count]


def _noise_of_sides(rest: Float[np.ndarray, "n l 2"], sides: Float[np.ndarray, " n"]) -> Float[np.ndarray, "b l"]:
    """Standard deviation of the rest of every landmark for the photos near each of `SIDES`."""
    weights = np.stack([_between_sides(side) for side in sides])
    variance = np.einsum("nb,nl->bl", weights, (rest**2).mean(axis=-1)) / weights.sum(axis=0)[:, None]
    return np.sqrt(variance)
