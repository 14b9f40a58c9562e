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
from baseh3d_ns.own_photos.looks import Look
from baseh3d_ns.own_photos.scene import _without_contradicted
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
        assert silhouette is not None
        assert (silhouette.mask | ~one.mask).all(), number
        assert (silhouette.mask & ~one.mask).sum() <= 0.6 * (seen[number].mask & ~one.mask).sum(), number


def test_few_silhouettes_contradict_nobody() -> None:
    seen = [with_extra(ball_from(0.0)), *(ball_from(yaw) for yaw in (60.0, 120.0, 180.0))]
    assert without_contradicted(seen, np.zeros(3), 1.5 * RADIUS) == seen


def test_a_silhouette_of_something_else_is_none() -> None:
    seen = [ball_from(yaw) for yaw in np.arange(12) * 30.0]
    half = seen[4].mask.copy()
    half[:, SIDE // 2 :] = False
    found = without_contradicted([*seen[:4], Silhouette(seen[4].shot, half), *seen[5:]], np.zeros(3), 1.5 * RADIUS)
    assert [number for number, silhouette in enumerate(found) if silhouette is None] == [4]


def test_guessed_silhouettes_of_something_else_are_left_out_with_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    seen = [ball_from(yaw) for yaw in np.arange(12) * 30.0]
    nothing = replace(seen[2], mask=np.roll(seen[2].mask, SIDE // 3, axis=1))
    looks = [Look(one, number != 5, 1.0, None) for number, one in enumerate([*seen[:2], nothing, *seen[3:]])]
    kept = _without_contradicted(looks, np.zeros(3), 1.5 * RADIUS)
    assert [look.silhouette.shot.name for look in kept] == [one.shot.name for one in seen if one is not seen[2]]
    assert "60.jpg" in capsys.readouterr().out
