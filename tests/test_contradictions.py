"""Silhouettes that the other photos contradict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from baseh3d_ns.own_photos.contradictions import without_contradicted
from baseh3d_ns.own_photos.hull import Silhouette
from baseh3d_ns.own_photos.lens import Lens
from baseh3d_ns.own_photos.shots import Shot

SIDE = 96
RADIUS = 1.0
"""Radius of the ball that the photos show, in that of the scene."""


def ball_from(yaw_deg: float) -> Silhouette:
    """Silhouette of a ball at the origin, before the camera as far as six of its radii."""
    rotation = np.diag([1.0, -1.0, -1.0]) @ Rotation.from_euler("y", -yaw_deg, degrees=True).as_matrix()
    focal = 1.6 * SIDE
    intrinsics = np.array([[focal, 0.0, (SIDE - 1) / 2.0], [0.0, focal, (SIDE - 1) / 2.0], [0.0, 0.0, 1.0]])
    centre = -6.0 * RADIUS * rotation[2]
    lens = Lens(intrinsics, np.zeros(8), SIDE, SIDE)
    shot = Shot(f"{yaw_deg:.0f}.jpg", Path("a.jpg"), None, lens, False, rotation, centre)
    rows, columns = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2.0
    return Silhouette(shot, np.hypot(rows, columns) < focal * RADIUS / np.sqrt(36.0 - 1.0) / RADIUS)


def with_extra(silhouette: Silhouette) -> Silhouette:
    """The silhouette with a piece of background beside the ball."""
    mask = silhouette.mask.copy()
    mask[40:56, 70:86] = True
    return Silhouette(silhouette.shot, mask)


@pytest.mark.parametrize("wrong", [1, 2])
def test_background_in_few_silhouettes_is_left_out_and_nothing_else(wrong: int) -> None:
    true = [ball_from(yaw) for yaw in np.arange(12) * 30.0]
    seen = [with_extra(one) if number < wrong else one for number, one in enumerate(true)]
    found = without_contradicted(seen, np.zeros(3), 1.5 * RADIUS)
    for number, (silhouette, one) in enumerate(zip(found, true, strict=True)):
        assert (silhouette.mask | ~one.mask).all(), number
        assert (silhouette.mask & ~one.mask).sum() <= 0.6 * (seen[number].mask & ~one.mask).sum(), number


def test_few_silhouettes_contradict_nobody() -> None:
    seen = [with_extra(ball_from(0.0)), *(ball_from(yaw) for yaw in (60.0, 120.0, 180.0))]
    assert without_contradicted(seen, np.zeros(3), 1.5 * RADIUS) == seen


def test_a_profile_among_frontal_photos_stays_as_it_is() -> None:
    """The hull of the others is far longer than the ball."""
    seen = [ball_from(yaw) for yaw in (*np.linspace(-25.0, 25.0, 10), 90.0)]
    found = without_contradicted(seen, np.zeros(3), 1.5 * RADIUS)
    assert (found[-1].mask == seen[-1].mask).mean() > 0.99


def test_a_camera_that_looks_away_keeps_its_silhouette() -> None:
    seen = [ball_from(yaw) for yaw in np.arange(12) * 30.0]
    away = replace(seen[0].shot, rotation=np.diag([1.0, -1.0, -1.0]) @ seen[0].shot.rotation)
    found = without_contradicted([replace(seen[0], shot=away), *seen[1:]], np.zeros(3), 1.5 * RADIUS)
    assert (found[0].mask == seen[0].mask).all()
