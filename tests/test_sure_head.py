"""Guessed silhouettes that leave out what the face in other photos says is head, or hold what it says is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from baseh3d_ns.own_photos.faces import POINTS, Face
from baseh3d_ns.own_photos.head_frame import _hull
from baseh3d_ns.own_photos.hull import Silhouette
from baseh3d_ns.own_photos.lens import Lens
from baseh3d_ns.own_photos.shots import Capture, Shot
from baseh3d_ns.own_photos.sure_head import cleared, completed
from baseh3d_ns.pretrained.landmark_model import load_landmark_model
from baseh3d_ns.similarity import Similarity

SIDE, DISTANCE_MM, FOCAL = 200, 800.0, 400.0
ELSEWHERE = Similarity(195.0, Rotation.from_euler("xyz", [0.4, 1.1, -0.3]).as_matrix(), np.array([30.0, -12.0, 55.0]))
"""From the world of the cameras to the head frame, in millimetres."""


@pytest.fixture
def face() -> Face:
    points_mm = load_landmark_model().mean_mm[list(POINTS.values())]
    return Face(ELSEWHERE.inverse().points(points_mm), (0, 1), ELSEWHERE, 0.0)


def seen_from(yaw_deg: float, mask: np.ndarray) -> Silhouette:
    """A mask in a photo whose middle shows the middle between the ears."""
    rotation = np.diag([1.0, -1.0, -1.0]) @ Rotation.from_euler("y", -yaw_deg, degrees=True).as_matrix()
    centre = ELSEWHERE.inverse().points(-DISTANCE_MM * rotation[2][None])[0]
    middle = (SIDE - 1) / 2.0
    lens = Lens(np.array([[FOCAL, 0.0, middle], [0.0, FOCAL, middle], [0.0, 0.0, 1.0]]), np.zeros(8), SIDE, SIDE)
    return Silhouette(Shot("a", Path("a.jpg"), None, lens, False, rotation @ ELSEWHERE.rotation, centre), mask)


def millimetres() -> tuple[np.ndarray, np.ndarray]:
    """Distance of every pixel to the right of the ears, and above them."""
    rows, columns = (np.indices((SIDE, SIDE)) - (SIDE - 1) / 2.0) * DISTANCE_MM / FOCAL
    return columns, -rows


def test_from_behind_the_chin_is_in_the_silhouette_and_the_neck_is_left_open(face: Face) -> None:
    right, up = millimetres()
    hair = (np.abs(right) < 80.0) & (up > -40.0) & (up < 120.0)
    everywhere = np.ones_like(hair)
    mask, known = completed(seen_from(180.0, hair), everywhere, face)
    middle = np.abs(right) < 5.0
    assert mask[hair].all() and mask[middle & (up < 0.0) & (up > -60.0)].all() and not mask[up < -110.0].any()
    assert not known[(np.abs(right) < 50.0) & (up < -115.0) & (up > -125.0)].any() and known[mask].all()
    assert known[(up < -180.0) | (up > 175.0) | (np.abs(right) > 140.0)].all()
    whole = hair | ((np.abs(right) < 70.0) & (up < 0.0) & (up > -150.0))
    np.testing.assert_array_equal(completed(seen_from(180.0, whole), everywhere, face), (whole, everywhere))
    # What the networks left open they have not missed.
    left_open = (np.abs(right) < 25.0) & (up > 10.0) & (up < 70.0)
    np.testing.assert_array_equal(
        completed(seen_from(180.0, whole & ~left_open), everywhere & ~left_open, face), (whole, everywhere)
    )


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_hair_that_is_lost_in_a_profile_is_left_open_behind_the_face(side: float, face: Face) -> None:
    """The head looks to the right of the photo, or to its left."""
    right, up = millimetres()
    ahead = side * right
    lost = (ahead > 0.0) & (ahead < 100.0) & (np.abs(up) < 110.0)
    mask, known = completed(seen_from(-90.0 * side, lost), np.ones_like(lost), face)
    assert mask[lost].all() and mask[(ahead > -40.0) & (ahead < 0.0) & (up > 0.0) & (up < 60.0)].all()
    hair = (ahead < -90.0) & (ahead > -130.0) & (np.abs(up - 40.0) < 20.0)
    assert not mask[hair].any() and not known[hair].any()


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_what_stands_before_a_profile_is_no_head(side: float, face: Face) -> None:
    """The head looks to the right of the photo, or to its left."""
    right, up = millimetres()
    ahead = side * right
    guess = np.ones_like(up, bool)
    mask, known = cleared(seen_from(-80.0 * side, guess), np.zeros_like(guess), face)
    eyes, lips = (up < 0.0) & (up > -20.0), (up < -60.0) & (up > -90.0)
    assert not mask[(eyes | lips) & (ahead > 150.0)].any() and known[(eyes | lips) & (ahead > 150.0)].all()
    # Nearer before the eyes than before the lips, where there may be a beard.
    assert not mask[eyes & (ahead > 138.0)].any() and mask[lips & (ahead < 125.0)].all()
    assert mask[(up > 3.0) & (up < 10.0) & (ahead < 108.0)].all()  # the brow
    assert mask[(up > 20.0) | (up < -125.0) | (ahead < 95.0)].all()
    np.testing.assert_array_equal(mask, ~known)


@pytest.mark.parametrize("yaw_deg", [0.0, 40.0, -40.0, 180.0])
def test_things_beside_a_face_that_is_seen_from_ahead_or_behind_are_left_alone(yaw_deg: float, face: Face) -> None:
    guess = np.ones((SIDE, SIDE), bool)
    mask, known = cleared(seen_from(yaw_deg, guess), ~guess, face)
    assert mask.all() and not known.any()


def test_a_silhouette_stays_where_the_camera_is_in_the_head_or_looks_away(face: Face) -> None:
    nothing = np.zeros((SIDE, SIDE), bool)
    shot, away = seen_from(0.0, nothing).shot, np.diag([-1.0, 1.0, -1.0])
    inside = ELSEWHERE.inverse().points(np.array([[0.0, 20.0, 0.0]]))[0]
    for turn, centre in ((np.eye(3), inside), (away, inside), (away, shot.centre)):
        moved = Shot("a", Path("a.jpg"), None, shot.lens, False, turn @ shot.rotation, centre)
        mask, known = completed(Silhouette(moved, nothing), ~nothing, face)
        assert not mask.any() and known.all()
        mask, known = cleared(Silhouette(moved, ~nothing), nothing, face)
        assert mask.all() and not known.any()


def test_what_is_left_open_beside_the_neck_does_not_make_the_hull_larger(face: Face) -> None:
    right, up = millimetres()
    head = (np.abs(right) < 80.0) & (up > -60.0) & (up < 120.0)
    neck = (np.abs(right) < 60.0) & (up < 0.0) & (up > -130.0)
    gravel = (up < -120.0) & (up > -180.0)

    def extent(mask: np.ndarray, left_open: np.ndarray) -> np.ndarray:
        """Largest distance aside, and height of the lowest point, in the average head's frame."""
        heads = [seen_from(yaw_deg, mask) for yaw_deg in (-40.0, 0.0, 40.0)]
        silhouettes = [seen_from(yaw_deg, mask | left_open) for yaw_deg in (-40.0, 0.0, 40.0)]
        capture = Capture(Path("a.json"), tuple(one.shot for one in heads))
        points = face.in_average(_hull(capture, silhouettes, heads, face).points)
        return np.array([np.abs(points[:, 0]).max(), points[:, 1].min()])

    nothing = np.zeros_like(head)
    np.testing.assert_allclose(extent(head, nothing), [80.0, -60.0], atol=15.0)
    np.testing.assert_allclose(extent(head, neck), [80.0, -130.0], atol=15.0)
    np.testing.assert_allclose(extent(head, gravel | neck), [80.0, -150.0], atol=15.0)
    np.testing.assert_allclose(extent(head | neck | gravel, nothing), [200.0, -200.0], atol=25.0)
