"""Cameras where none are given: each part on made-up landmarks or on photos of a textured ball."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from baseh3d_ns.cameras import Pinhole, centred_intrinsics
from baseh3d_ns.capture import (
    bundle_adjustment,
    face_agreement,
    face_cameras,
    face_view,
    landmark_cameras,
    reprojections,
    structure_from_motion,
    track_residuals,
    turned_views,
)
from baseh3d_ns.capture import solve as solve_room
from baseh3d_ns.capture.bundle_adjustment import adjusted
from baseh3d_ns.capture.checks import check_apart, check_faces, check_one_head, say_cropped
from baseh3d_ns.capture.face_agreement import MotionTry, cameras_apart, share_of_faces_that_meet
from baseh3d_ns.capture.face_size import average_scale, scale_by_face, scale_by_pupils
from baseh3d_ns.capture.face_tracks import Surface, Tracks, face_points, find_patch, find_tracks
from baseh3d_ns.capture.landmark_cameras import FREE_FOCAL_SD, FaceView, LandmarkSolution, solve_with_tracks
from baseh3d_ns.capture.own_lenses import with_own_lenses
from baseh3d_ns.capture.photos import USUAL_FOCAL, Photo, load_photo, resized, small_photo, with_likely_focals
from baseh3d_ns.capture.silhouettes import _upper_width
from baseh3d_ns.capture.solved import SolvedView, scaled
from baseh3d_ns.capture.structure_from_motion import MotionConfig, solve_motion
from baseh3d_ns.capture.turned_views import KnownView, TurnedView, _pose
from baseh3d_ns.errors import InputError
from baseh3d_ns.own_photos import iris_size
from baseh3d_ns.own_photos.metric_scale import BY_FACE, BY_FACE_AND_IRISES, IRIS_MM, doubt
from baseh3d_ns.pretrained.landmark_model import LANDMARKS, SeenHead, learn_landmark_model, load_landmark_model
from baseh3d_ns.pretrained.landmarks import FaceLandmarks

BALL_MM = 100.0
"""Radius of the textured ball, whose centre is the origin."""


STANDS = ((-24, 0), (-16, 8), (-8, -6), (0, 6), (8, -4), (16, 5), (24, 0))
"""Yaws and pitches of photos that overlap, in degrees."""


def camera_at(yaw_deg: float, pitch_deg: float = 0.0, distance_mm: float = 700.0, size: int = 320) -> Pinhole:
    """A camera that looks at the origin, for which a head fills most of the photo."""
    outwards = Rotation.from_euler("YX", [yaw_deg, -pitch_deg], degrees=True).as_matrix()
    focal = 2.6 * size
    intrinsics = np.array([[focal, 0.0, (size - 1) / 2.0], [0.0, focal, (size - 1) / 2.0], [0.0, 0.0, 1.0]])
    rotation = np.diag([1.0, -1.0, -1.0]) @ outwards.T
    return Pinhole(intrinsics, rotation, np.array([0.0, 0.0, distance_mm]), size, size)


def angle_deg(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.degrees(Rotation.from_matrix(one @ other.T).magnitude()))


def relative_errors_deg(found: list[Pinhole], true: list[Pinhole]) -> list[float]:
    """Errors of the rotations against the first camera's."""
    return [
        angle_deg(f.rotation @ found[0].rotation.T, t.rotation @ true[0].rotation.T)
        for f, t in zip(found[1:], true[1:], strict=True)
    ]


def photo_of_ball(camera: Pinhole) -> np.ndarray:
    """Grey photo of a ball before a wall, both covered with blotches."""
    texture = np.random.default_rng(3).uniform(40.0, 250.0, (60, 120))
    rays = camera.rays(camera.pixels())
    along = -(rays @ camera.centre_mm)
    under = BALL_MM**2 - (camera.centre_mm @ camera.centre_mm - along**2)
    points = camera.centre_mm + (along - np.sqrt(np.maximum(under, 0.0)))[:, None] * rays
    x, y, z = (points / BALL_MM).T
    place = [(np.arcsin(y.clip(-1.0, 1.0)) / np.pi + 0.5) * 59.0, (np.arctan2(x, z) / (2.0 * np.pi) + 0.5) * 119.0]
    wall = camera.centre_mm - ((camera.centre_mm[2] + BALL_MM) / rays[:, 2])[:, None] * rays
    behind = map_coordinates(texture, [wall[:, 1] / 6.0 + 30.0, wall[:, 0] / 6.0 + 60.0], order=3, mode="mirror")
    grey = np.where(under > 0.0, map_coordinates(texture, place, order=3, mode="nearest"), behind)
    return grey.clip(0.0, 255.0).astype(np.uint8).reshape(camera.height, camera.width)


def ball_surface(error_mm: float = 0.0) -> Surface:
    """Points in front of the ball, with their normals."""
    grid = np.stack(np.meshgrid(np.linspace(-60.0, 60.0, 13), np.linspace(-60.0, 60.0, 13)), -1).reshape(-1, 2)
    normals = np.column_stack([grid, np.sqrt(BALL_MM**2 - (grid**2).sum(-1))]) / BALL_MM
    return Surface((BALL_MM + error_mm) * normals, normals)


def seen_landmarks(cameras: list[Pinhole], noise_px: float) -> tuple[list[np.ndarray], np.ndarray]:
    """Detections on an unusual head, with noise, and the head."""
    model, rng = load_landmark_model(), np.random.default_rng(1)
    head = model.head(rng.normal(0.0, 1.0, len(model.shapes_mm)))
    none = np.zeros(len(model.errors_mm))
    return [
        camera.project(model.seen(head, camera.centre_mm, none)) + rng.normal(0.0, noise_px, (LANDMARKS, 2))
        for camera in cameras
    ], head


def test_landmarks_of_three_photos_give_their_cameras() -> None:
    true = [camera_at(0.0, 5.0), camera_at(42.0), camera_at(-38.0, -6.0)]
    detected, _ = seen_landmarks(true, noise_px=0.3)
    views = [FaceView(points, 320, 320, 1.1 * 2.6 * 320, FREE_FOCAL_SD, 0) for points in detected]
    without_tracks = [np.zeros((320, 320), np.uint8)] * len(views)
    found = solve_with_tracks(views, without_tracks, load_landmark_model())
    assert max(relative_errors_deg(list(found.cameras), true)) < 1.0
    # Faces say little of the focal length, but the right thing.
    assert found.cameras[0].intrinsics[0, 0] / (2.6 * 320) < 1.08
    assert found.errors_px.max() < 1.0


def test_tracks_are_searched_for_until_the_cameras_settle(monkeypatch: pytest.MonkeyPatch) -> None:
    true = [camera_at(0.0, 5.0), camera_at(-38.0), camera_at(42.0, -6.0)]
    detected, head = seen_landmarks([*true[:2], camera_at(57.0, -6.0)], noise_px=0.3)
    face, rounds = face_points(load_landmark_model().mean_mm), []

    def within_range(_: Any, cameras: list[Pinhole], surface: Surface, search_mm: float) -> Tracks:
        """Spots of the head where the photos show them, unless that is further away than is searched."""
        spots, index = face.on(head), np.arange(len(surface.points_mm))
        pixels = np.stack([camera.project(spots) for camera in true])
        start = cameras[0].centre_mm + cameras[0].rays(pixels[0]) * np.linalg.norm(
            surface.points_mm - cameras[0].centre_mm, axis=1, keepdims=True
        )
        shifts = [np.linalg.norm(pixels[view] - cameras[view].project(start), axis=1) for view in (1, 2)]
        found = [index[shift * 700.0 / (2.6 * 320) < search_mm] for shift in shifts]
        rounds.append(len(found[1]))
        view = np.repeat([1, 2], [len(points) for points in found])
        points = np.concatenate(found)
        return Tracks(0 * index, pixels[0], index, surface.normals, points, view, pixels[view, points])

    monkeypatch.setattr(landmark_cameras, "find_tracks", within_range)
    views = [FaceView(points, 320, 320, 2.6 * 320, FREE_FOCAL_SD, 0) for points in detected]
    found = solve_with_tracks(views, [np.zeros((320, 320), np.uint8)] * 3, load_landmark_model())
    assert max(relative_errors_deg(list(found.cameras), true)) < 1.0
    assert rounds[0] < rounds[1] < rounds[2] and len(rounds) < landmark_cameras.MOST_ROUNDS, rounds


def test_of_many_photos_some_tell_the_head_and_the_others_stand_round_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landmark_cameras, "MOST_TOGETHER", 3)
    true = [camera_at(yaw, pitch) for yaw, pitch in ((-20.0, 3.0), (42.0, 0.0), (2.0, 5.0), (-38.0, -6.0), (25.0, 8.0))]
    true[4] = replace(true[4], intrinsics=centred_intrinsics(3.5 * 320, 320, 320))  # a lens of its own
    detected, _ = seen_landmarks(true, noise_px=0.3)
    views = [FaceView(points, 320, 320, 2.9 * 320, FREE_FOCAL_SD, i // 4) for i, points in enumerate(detected)]
    assert landmark_cameras._furthest_apart(views, load_landmark_model(), 3) == [1, 2, 3]
    together = solve_with_tracks(views[1:4], [np.zeros((320, 320), np.uint8)] * 3, load_landmark_model())
    found = solve_with_tracks(views, [np.zeros((320, 320), np.uint8)] * 5, load_landmark_model())
    assert np.allclose(found.head_mm, together.head_mm)
    for one, other in zip(found.cameras[1:4], together.cameras, strict=True):
        assert np.allclose(one.rotation, other.rotation) and np.allclose(one.intrinsics, other.intrinsics)
    assert max(relative_errors_deg(list(found.cameras), true)) < 1.5
    assert found.errors_px.max() < 1.0 and found.residuals.shape == (5, LANDMARKS)
    focals = [camera.intrinsics[0, 0] for camera in found.cameras]
    assert focals[0] == pytest.approx(focals[1], rel=0.01), "a lens that others have told"
    assert focals[4] / focals[1] == pytest.approx(3.5 / 2.6, rel=0.1), "a lens of its own"


@pytest.mark.parametrize("longer_sides", [0.75, 1.25])
def test_one_photo_without_exif_tells_a_phones_main_camera_from_its_portrait_lens(longer_sides: float) -> None:
    focal = longer_sides * 320
    true = camera_at(5.0, distance_mm=600.0 * longer_sides)
    true = replace(true, intrinsics=centred_intrinsics(focal, 320, 320))
    (points,), _ = seen_landmarks([true], noise_px=0.1)
    view = FaceView(points, 320, 320, USUAL_FOCAL * 320, FREE_FOCAL_SD, 0)
    found = solve_with_tracks([view], [np.zeros((320, 320), np.uint8)], load_landmark_model()).cameras[0]
    assert found.intrinsics[0, 0] == pytest.approx(focal, rel=0.06)


def test_few_photos_without_exif_are_mapped_with_focal_lengths_of_all_lenses_of_phones() -> None:
    tried = USUAL_FOCAL * np.array(structure_from_motion.FEW_FOCALS)
    for focal in np.linspace(0.69, 2.0, 20):
        assert np.abs(np.log(tried / focal)).min() < np.log(1.12), f"none near {focal:.2f} longer sides"


def test_the_landmark_model_learns_a_bias_that_depends_on_the_view() -> None:
    rng = np.random.default_rng(0)
    mean = load_landmark_model().mean_mm
    sliding = np.array([4.0, 0.0, 0.0])
    heads = []
    for _ in range(8):
        place = mean + rng.normal(0.0, 1.0, mean.shape)
        cameras = tuple(camera_at(yaw, rng.uniform(-15.0, 15.0)) for yaw in (-45.0, -20.0, 0.0, 20.0, 45.0))
        shifted = [place + np.sin(np.radians(45.0)) * sliding * (c.centre_mm[0] / 700.0) ** 2 for c in cameras]
        heads.append(SeenHead(cameras, np.stack([c.project(p) for c, p in zip(cameras, shifted, strict=True)])))
    model = learn_landmark_model(heads)
    camera = camera_at(35.0)
    none = np.zeros(len(model.errors_mm))
    seen = camera.project(model.seen(model.mean_mm, camera.centre_mm, none)) - camera.project(model.mean_mm)
    moved_px = camera.project(mean + 0.707 * sliding * (camera.centre_mm[0] / 700.0) ** 2) - camera.project(mean)
    assert np.abs(seen - moved_px).mean() < 0.4 * np.abs(moved_px[:, 0]).mean()


def test_tracks_lie_where_both_photos_show_the_spot() -> None:
    cameras = [camera_at(0.0), camera_at(24.0)]
    turned = Rotation.from_euler("xyz", [0.4, 0.6, 0.0], degrees=True).as_matrix()
    about = [cameras[0], replace(cameras[1], rotation=turned @ cameras[1].rotation)]
    tracks = find_tracks([photo_of_ball(camera) for camera in cameras], about, ball_surface(1.5), 14.0)
    assert len(tracks.observed_px) > 60
    rays = np.stack([cameras[r].rays(p[None])[0] for r, p in zip(tracks.reference, tracks.reference_px, strict=True)])
    centres = np.stack([cameras[r].centre_mm for r in tracks.reference])
    along = -(rays * centres).sum(-1)
    depth = along - np.sqrt(BALL_MM**2 - ((centres**2).sum(-1) - along**2))
    spots = (centres + depth[:, None] * rays)[tracks.point]
    where = np.stack([cameras[v].project(s[None])[0] for v, s in zip(tracks.view, spots, strict=True)])
    assert np.median(np.linalg.norm(where - tracks.observed_px, axis=1)) < 0.4


def test_spots_that_three_photos_far_apart_show_are_tracked_in_all() -> None:
    cameras = [camera_at(0.0), camera_at(-47.0), camera_at(47.0)]
    tracks = find_tracks([photo_of_ball(camera) for camera in cameras], cameras, ball_surface(3.0), 8.0)
    in_all = np.bincount(tracks.point) == 2
    assert in_all.sum() > 45
    assert (tracks.reference[in_all] == 0).all()


def test_a_turned_photo_is_chained_to_known_ones() -> None:
    cameras = [camera_at(-15.0), camera_at(10.0)]
    known = [KnownView(photo_of_ball(c), np.ones((320, 320), dtype=bool), c) for c in cameras]
    true = camera_at(30.0, 4.0)
    view = TurnedView(photo_of_ball(true), np.ones((320, 320), dtype=bool), cameras[0])
    found = _pose(known, ball_surface(2.0), view, camera_at(26.0, 1.0))
    assert found is not None
    assert angle_deg(found.camera.rotation, true.rotation) < 0.5
    flat = TurnedView(np.full((320, 320), 90, dtype=np.uint8), view.mask, cameras[0])
    assert _pose(known, ball_surface(), flat, camera_at(26.0)) is None


def test_structure_from_motion_finds_the_cameras_of_a_ball(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structure_from_motion, "FEW", 0)  # as of many photos
    true = [camera_at(yaw, pitch, size=480) for yaw, pitch in STANDS]
    photos = [
        small_photo(f"{i}.jpg", np.repeat(photo_of_ball(c)[..., None], 3, axis=2), None, 2.6 * 480)
        for i, c in enumerate(true)
    ]
    blank = small_photo("blank.jpg", np.full((480, 480, 3), 128, dtype=np.uint8))
    asked = []
    monkeypatch.setattr(
        structure_from_motion, "with_own_lenses", lambda _, model, unnamed: asked.append(unnamed) or model
    )
    views = solve_motion([*photos, blank], MotionConfig())
    assert asked == [{f"{len(true):05d}.png"}], "only EXIF tells which photos are of one lens"
    cameras = [view.camera for view in views[:-1] if view.camera is not None]
    assert len(cameras) == len(true) and views[-1].camera is None
    assert max(relative_errors_deg(cameras, true)) < 0.04
    assert max(view.reprojection_error_px or 9.0 for view in views[:-1]) < 1.0


def test_faint_features_of_many_photos_are_looked_for_where_too_few_cameras_are_found_without(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They take long; frames of a video are near each other, and of very many photos all pairs take long enough."""
    model, asked = reconstruction_with_one_lens([1.0] * len(STANDS)), []
    photos = [photo_by(100.0)] * (structure_from_motion.FEW + 1)

    def solve(_: Any, __: Any, ___: Any, few: bool, neighbours_only: bool) -> Any:
        asked.append((few, neighbours_only))
        return model if len(asked) > 1 else None

    monkeypatch.setattr(structure_from_motion, "_reconstructed", solve)
    assert solve_motion(photos, MotionConfig())[1].camera is not None and asked == [(False, False), (True, False)]
    assert f"0 of {len(photos)} photos are connected: faint features" in " ".join(capsys.readouterr().out.split())
    asked.clear()
    assert solve_motion(photos, MotionConfig(ordered=True))[1].camera is None and asked == [(False, True)]
    asked.clear()
    assert solve_motion(4 * photos, MotionConfig())[1].camera is not None and asked == [(False, True), (False, False)]
    assert f"0 of {4 * len(photos)} photos are connected: all pairs" in " ".join(capsys.readouterr().out.split())
    asked.clear()
    assert solve_motion(7 * photos, MotionConfig())[1].camera is None and asked == [(False, True)]
    asked.clear()
    monkeypatch.setattr(structure_from_motion, "FEW", 7)
    monkeypatch.setattr(structure_from_motion, "_reconstructed", lambda *_: asked.append(None) or model)
    solve_motion(photos[:8], MotionConfig())
    assert len(asked) == 1, "seven of eight have a camera"


@pytest.mark.parametrize("few", [True, False])
def test_no_photo_is_placed_by_matches_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, few: bool) -> None:
    """Most stood degrees off that way, with errors as small as all others'."""
    pycolmap, asked = pytest.importorskip("pycolmap"), []
    monkeypatch.setattr(pycolmap, "incremental_mapping", lambda *given: asked.append(given[-1]) or {})
    assert structure_from_motion._map(pycolmap, tmp_path, few) == []
    assert not asked[0].structure_less_registration_fallback


def reconstruction_with_one_lens(zooms: Sequence[float], count: int = 300, noise_px: float = 0.3, seed: int = 0) -> Any:
    """Reconstruction of points in a ball whose photos share a lens, seen with these zooms by features that err."""
    pycolmap = pytest.importorskip("pycolmap")
    rng = np.random.default_rng(seed)
    points = BALL_MM * rng.uniform(-0.7, 0.7, (count, 3))
    model, lens, tracks = pycolmap.Reconstruction(), 2.6 * 480, [pycolmap.Track() for _ in points]
    size = {"width": 480, "height": 480}
    params = [lens, 240.0, 240.0, 0.0]
    model.add_camera_with_trivial_rig(pycolmap.Camera(model="SIMPLE_RADIAL", camera_id=1, params=params, **size))
    for number, ((yaw, pitch), zoom) in enumerate(zip(STANDS, zooms, strict=True), start=1):
        true = camera_at(yaw, pitch, size=480)
        seen = zoom * (true.project(points) - 239.5) + 240.0 + rng.normal(0.0, noise_px, (len(points), 2))
        image = pycolmap.Image(f"{number:05d}.png", keypoints=seen, camera_id=1, image_id=number)
        nearer = np.column_stack([true.rotation, true.translation_mm / zoom])
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(nearer))
        for index, track in enumerate(tracks):
            track.add_element(number, index)
    for point, track in zip(points, tracks, strict=True):
        model.add_point3D(point, track)
    return adjusted(pycolmap, model)


def test_photos_that_were_zoomed_in_between_have_lenses_of_their_own() -> None:
    """A lens that all share would be wrong for each of them, and their distances too."""
    pycolmap = pytest.importorskip("pycolmap")
    zooms = [1.3 if i % 2 else 1.0 for i in range(len(STANDS))]
    zoomed, unnamed = reconstruction_with_one_lens(zooms), {f"{i + 1:05d}.png" for i in range(len(STANDS))}
    found = with_own_lenses(pycolmap, zoomed, unnamed)
    images = [found.find_image_with_name(f"{i + 1:05d}.png") for i in range(len(STANDS))]
    focals = np.array([image.camera.focal_length for image in images]) / zooms
    assert focals / focals[0] == pytest.approx(1.0, abs=0.03)
    assert found.num_points3D() == zoomed.num_points3D()
    cameras = [replace(camera_at(0.0), rotation=image.cam_from_world().matrix()[:, :3]) for image in images]
    assert max(relative_errors_deg(cameras, [camera_at(yaw, pitch) for yaw, pitch in STANDS])) < 0.2
    assert with_own_lenses(pycolmap, zoomed, {"00001.png"}) is zoomed, "the others are of one lens, by EXIF"
    same = reconstruction_with_one_lens([1.0] * len(STANDS))
    assert with_own_lenses(pycolmap, same, unnamed) is same, "sharing explains them as well"
    for seed in range(3):
        few = reconstruction_with_one_lens([1.0] * len(STANDS), 30, 0.8, seed)
        assert with_own_lenses(pycolmap, few, unnamed) is few, "what few features gain is chance"


def photo_by(focal_px: float | None, width: int = 80, height: int = 60) -> Photo:
    """A black photo of a lens."""
    name = f"{focal_px}-{width}x{height}.jpg"
    return small_photo(name, np.zeros((height, width, 3), np.uint8), exif_focal_px=focal_px)


def test_photos_of_one_lens_whatever_their_resolution_and_however_held() -> None:
    whole, half = photo_by(4000.0, 4800, 3600), photo_by(2000.0, 2400, 1800)
    assert whole.lens == half.lens == photo_by(2000.0, 1800, 2400).lens
    assert photo_by(4000.0, 2400, 1800).lens != whole.lens, "zoomed by the half: the same focal length in its pixels"


def test_photos_without_exif_are_likely_of_the_lens_that_others_name() -> None:
    only = with_likely_focals([photo_by(100.0), photo_by(None, 60, 80), photo_by(None, 160, 120)])
    assert [photo.expected_focal_px for photo in only] == pytest.approx([100.0, 100.0, 200.0])
    assert only[1].lens == only[0].lens and only[2].exif_focal_px is None
    several = with_likely_focals([photo_by(100.0), photo_by(300.0), photo_by(100.0), photo_by(None)])
    assert several[3].exif_focal_px is None and several[3].expected_focal_px == pytest.approx(100.0)
    assert with_likely_focals([photo_by(None)])[0].expected_focal_px == pytest.approx(USUAL_FOCAL * 80)


def test_photos_of_one_size_but_two_lenses_have_two_cameras(tmp_path: Path) -> None:
    pycolmap = pytest.importorskip("pycolmap")
    photos = [photo_by(50.0), photo_by(150.0), photo_by(50.0)]
    structure_from_motion._extract(pycolmap, photos, tmp_path, in_masks_only=False, few=True)
    with pycolmap.Database.open(tmp_path / "database.db") as database:
        focals = {camera.camera_id: camera.focal_length for camera in database.read_all_cameras()}
        by_photo = {image.name: focals[image.camera_id] for image in database.read_all_images()}
    assert by_photo == {"00000.png": 50.0, "00001.png": 150.0, "00002.png": 50.0}


def test_photos_are_numbered_in_their_order_however_long_their_features_take(tmp_path: Path) -> None:
    """Another order gives other cameras, and the threads' order hangs on what else the machine does."""
    pycolmap = pytest.importorskip("pycolmap")
    noise = np.random.default_rng(0).integers(0, 255, (400, 400, 3), dtype=np.uint8)
    photos = [small_photo(f"{i}.jpg", noise if i % 3 == 0 else np.zeros_like(noise)) for i in range(6)]
    structure_from_motion._extract(pycolmap, photos, tmp_path, in_masks_only=False, few=True)
    with pycolmap.Database.open(tmp_path / "database.db") as database:
        names = {image.image_id: image.name for image in database.read_all_images()}
        features = [database.num_keypoints_for_image(number) for number in sorted(names)]
    assert [names[number] for number in sorted(names)] == [f"{i:05d}.png" for i in range(6)]
    assert [count > 0 for count in features] == [True, False, False, True, False, False]


@pytest.mark.parametrize(
    ("lenses", "off_px", "distortion", "tried"),
    [
        ([0] * 15, 10.0, 0.1, [(True, True)]),
        ([0] * 15 + [1], 10.0, 0.1, [(False, True)]),
        ([0] * 15, 30.0, 0.1, [(True, True), (False, True)]),
        ([0] * 15, 10.0, 0.7, [(True, True), (False, True), (False, False)]),
        # A wide lens's photo would fold over in its corners long before.
        ([0] * 15, 10.0, 0.32, [(True, True), (False, True), (False, False)]),
        ([0] * 14, 30.0, 0.7, [(False, True), (False, False)]),
    ],
)
def test_principal_point_and_distortion_are_found_where_they_are_a_lens_s(
    lenses: list[int], off_px: float, distortion: float, tried: list[tuple[bool, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The adjustment asks for a principal point and a distortion; those of no lens are not allowed again."""
    pycolmap = pytest.importorskip("pycolmap")
    asked = []

    def adjust(_: Any, model: Any, options: Any) -> None:
        asked.append((options.refine_principal_point, options.refine_extra_params))
        for camera in model.cameras.values():
            camera.principal_point_x = 320.0 + off_px * options.refine_principal_point
            camera.params = [*camera.params[:3], -distortion * options.refine_extra_params]

    monkeypatch.setattr(pycolmap, "Reconstruction", lambda model: model)
    monkeypatch.setattr(bundle_adjustment, "_solve", adjust)
    images = {i: SimpleNamespace(camera_id=lens, has_pose=True) for i, lens in enumerate(lenses)}
    cameras = {lens: pycolmap.Camera.create(lens, "SIMPLE_RADIAL", 400.0, 640, 480) for lens in set(lenses)}
    bundle_adjustment.adjusted(pycolmap, SimpleNamespace(images=images, cameras=cameras))
    assert asked[::3] == tried


def test_photos_with_faces_share_what_their_lens_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[FaceView] = []

    def solve(views: list[FaceView], *_: Any) -> Any:
        given.extend(views)
        raise InterruptedError

    monkeypatch.setattr(face_cameras, "solve_with_tracks", solve)
    photos = [photo_by(100.0), photo_by(100.0, 60, 80), photo_by(300.0)]
    with pytest.raises(InterruptedError):
        face_cameras.cameras_of_faces(photos, [[face(0.9, 20.0)]] * 3, load_landmark_model())
    assert given[0].lens == given[1].lens != given[2].lens


def made_up_tracks(counts: tuple[int, int], away_px: tuple[float, float]) -> tuple[Tracks, list[Pinhole], np.ndarray]:
    """Spots of the first of three photos that the second and third show, with noise; the cameras; the spots."""
    cameras, rng = [camera_at(0.0), camera_at(25.0), camera_at(-25.0)], np.random.default_rng(0)
    surface = ball_surface()
    index = np.arange(len(surface.points_mm))
    points, view = np.concatenate([np.arange(count) for count in counts]), np.repeat([1, 2], counts)
    pixels = np.stack([camera.project(surface.points_mm) for camera in cameras])
    observed = pixels[view, points] + rng.normal(0.0, np.array([0.0, *away_px])[view, None], (len(view), 2))
    tracks = Tracks(0 * index, pixels[0], index, surface.normals, points, view, observed)
    return tracks, cameras, surface.points_mm


@pytest.mark.parametrize(
    ("count", "away_px", "share", "sure"),
    [(160, 0.1, 0.35, True), (160, 6.0, 0.35, False), (30, 0.1, 0.35, False), (160, 1.7, 0.9, False)],
)
def test_tracks_support_a_camera_that_sees_the_same_spots(
    count: int, away_px: float, share: float, sure: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(track_residuals, "LEAST_SHARE", share)
    tracks = made_up_tracks((160, count), (0.1, away_px))
    found = track_residuals.support(*tracks, np.array([True, False, False]))
    assert found[0] == np.inf and (found[2] >= 1.0) == sure
    assert found[1] == np.inf or not sure


@pytest.mark.parametrize(("count", "away_px", "share"), [(160, 0.1, 1.0), (160, 6.0, 0.03), (60, 6.0, np.nan)])
def test_the_photo_that_agrees_least_is_the_one_that_is_off(count: int, away_px: float, share: float) -> None:
    """Where too few spots were compared, nothing is said."""
    first, second, third = track_residuals.agreement(*made_up_tracks((160, count), (0.1, away_px)))
    assert third == pytest.approx(share, abs=0.03, nan_ok=True)
    assert (third < min(first, second)) == (share < 1.0)


def test_a_camera_that_moves_into_the_face_fits_nothing_better() -> None:
    """Errors of the detector are pixels of the photo, wherever its camera is thought to stand."""
    detected, _ = seen_landmarks([camera_at(0.0)], 0.3)
    view = FaceView(detected[0], 320, 320, 2.6 * 320, FREE_FOCAL_SD, 0)
    problem = landmark_cameras._Problem([view], load_landmark_model())
    there, nearer = problem.start(), problem.start()
    pose = len(problem.lenses) + problem.shapes
    nearer[pose + 5] *= 0.2
    (_, sd_there), (_, sd_nearer) = (problem.offsets(unknowns)[0] for unknowns in (there, nearer))
    np.testing.assert_allclose(sd_nearer, sd_there, rtol=0.05)


@pytest.mark.parametrize("depth_mm", [-24.0, 0.5, 700.0])
def test_pixels_of_a_millimetre_do_not_depend_on_how_near_a_camera_is_thought_to_stand(depth_mm: float) -> None:
    """PnP with a wrong focal length may put it behind the face."""
    detected, head = seen_landmarks([camera_at(0.0)], 0.0)
    view = FaceView(detected[0], 320, 320, 2.6 * 320, FREE_FOCAL_SD, 0)
    pose = np.array([np.pi, 0.0, 0.0, 0.0, 0.0, depth_mm / 100.0])
    assert face_view.pixels_per_mm(view, pose, head) == pytest.approx(2.6 * 320 / (700.0 - head[:, 2].mean()), rel=0.02)


def test_faces_are_looked_at_no_finer_than_says_something(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patches of few millimetres were found in wrong places, and photos of one head left out as another person's."""
    model, seen = load_landmark_model(), []
    detected, _ = seen_landmarks([camera_at(0.0, size=1600)], 0.0)
    points = FaceLandmarks(points_px=detected[0], depth_px=np.zeros(LANDMARKS), score=1.0, turn_deg=0.0)
    photo = small_photo("large.jpg", np.zeros((1600, 1600, 3), np.uint8), exif_focal_px=2.6 * 1600)

    def solve(views: list[FaceView], photos: list[np.ndarray], _: Any) -> LandmarkSolution:
        seen.extend([*views, *photos])
        solution = solve_with_tracks(views, photos, model)
        return replace(solution, errors_px=np.array([1.0]))

    monkeypatch.setattr(face_cameras, "solve_with_tracks", solve)
    (solved,), _ = face_cameras.cameras_of_faces([photo], [[points]], model)
    view, grey = seen
    at = face_view.first_pose(view, model.mean_mm)
    assert face_view.pixels_per_mm(view, at, model.mean_mm) == pytest.approx(face_view.FINEST_PX_PER_MM, rel=0.01)
    assert grey.shape == (view.height, view.width)
    assert solved.camera is not None and solved.camera.width == 1600
    assert solved.camera.intrinsics[0, 0] == pytest.approx(2.6 * 1600, rel=0.1)
    assert solved.reprojection_error_px == pytest.approx(1600 / view.width), "in pixels of the whole photo"
    coarse = replace(view, points_px=view.points_px / 2.0)
    assert face_view.no_finer(coarse, model.mean_mm).width == coarse.width


def test_no_patch_is_searched_for_by_a_camera_within_the_face() -> None:
    surface, photo = ball_surface(), np.random.default_rng(0).integers(0, 255, (320, 320), dtype=np.uint8)
    middle = int(surface.normals[:, 2].argmax())
    for away_mm in (BALL_MM + 1.0, BALL_MM - 20.0):  # in front by a millimetre, and behind
        cameras = [camera_at(0.0, distance_mm=away_mm), camera_at(1.0, distance_mm=away_mm)]
        assert find_patch([photo, photo], cameras, surface, middle, (0, 1), 8.0, 0.65) is None


def test_photos_that_support_only_each_other_are_not_trusted() -> None:
    """Two photos of the back of a head before one and the same poster with a face."""
    tracks, cameras, points = made_up_tracks((160, 160), (0.1, 0.1))
    alone = track_residuals.support(tracks, cameras, points, np.zeros(3, bool))
    assert (alone == 0.0).all()
    by_the_last = track_residuals.support(tracks, cameras, points, np.array([False, False, True]))
    assert (by_the_last == np.inf).all()  # the first by the last, the second by the first


def test_a_face_of_low_score_counts_where_other_photos_show_the_same_spots(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, camera = [], camera_at(0.0)
    spoilt, misfit, outside = 2, 3, 4

    def solve(views: list[FaceView], *_: Any) -> Any:
        numbers = [round(view.points_px[0, 0] - face(1.0, 20.0).points_px[0, 0]) for view in views]
        asked.append(numbers)
        support = {0: np.inf, 1: np.inf, spoilt: 2.0 if outside not in numbers else 0.9, misfit: 3.0, outside: 0.1}
        residuals = np.array([[9.0 if number == misfit else 1.0] * LANDMARKS for number in numbers])
        cameras, head = (camera,) * len(views), np.zeros((LANDMARKS, 3))
        borne, agreement = np.array([support[n] for n in numbers]), np.ones(len(views))
        return LandmarkSolution(cameras, residuals, residuals[:, 0], borne, agreement, head)

    monkeypatch.setattr(face_cameras, "solve_with_tracks", solve)
    monkeypatch.setattr(face_cameras, "MOST_TOGETHER", 5)
    scores = {0: 0.9, 1: 0.9, spoilt: 0.2, misfit: 0.3, outside: 0.4, 5: 0.1}  # no place for the last
    found = [[face(score, 20.0, left=float(number))] for number, score in scores.items()]
    views, _ = face_cameras.cameras_of_faces([photo_by(100.0)] * 7, [*found, []], load_landmark_model())
    assert asked == [[0, 1, 2, 3, 4], [0, 1, 2, 4], [0, 1, 2]]
    assert [view.camera is not None for view in views] == [True] * 3 + [False] * 4


@pytest.mark.parametrize(
    ("count", "rest", "borne", "left_out"),
    [(3, 0.8, 9.0, True), (3, 0.2, 9.0, False), (2, 0.8, 9.0, False), (4, 0.3, 9.0, False)]
    + [(3, np.nan, 9.0, False), (3, 0.8, 0.5, False)],
)
def test_a_photo_of_another_person_is_left_out_where_the_others_then_agree(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    count: int,
    rest: float,
    borne: float,
    left_out: bool,
) -> None:
    """Two photos only tell that one of them is wrong, as do photos that share too little; an unsure one must be borne
    out without it, too."""
    stranger = 1

    def solve(views: list[FaceView], *_: Any) -> Any:
        numbers = [round(view.points_px[0, 0] - face(1.0, 20.0).points_px[0, 0]) for view in views]
        share = {number: 0.22 if stranger in numbers else rest for number in numbers} | {stranger: 0.05}
        cameras, residuals = (camera_at(0.0),) * len(views), np.ones((len(views), LANDMARKS))
        agreement, support = np.array([share[number] for number in numbers]), np.full(len(views), np.inf)
        support[-1] = np.inf if stranger in numbers else borne
        return LandmarkSolution(cameras, residuals, residuals[:, 0], support, agreement, np.zeros((LANDMARKS, 3)))

    monkeypatch.setattr(face_cameras, "solve_with_tracks", solve)
    found = [[face(0.9, 20.0, left=float(number))] for number in range(count)]
    photos = [replace(photo_by(100.0), name=f"{number}.jpg") for number in range(count)]
    views, _ = face_cameras.cameras_of_faces(photos, found, load_landmark_model())
    assert [view.name for view in views if view.camera is None] == (["1.jpg"] if left_out else [])
    assert [view.name for view in views if view.odd] == (["1.jpg"] if left_out else [])
    said = " ".join(capsys.readouterr().out.split())
    assert ("Left out, as hardly any spot of skin is where the others show it: 1.jpg" in said) == left_out
    assert ("Little skin is where the others show it in 0.jpg, 1.jpg" in said) != left_out


@pytest.mark.parametrize(
    ("shares", "doubted"), [((0.32, 0.3, 0.31), True), ((0.3, 0.7, 0.6), False), ((np.nan,), False)]
)
def test_photos_of_which_none_shows_the_others_skin_are_doubted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shares: tuple[float, ...], doubted: bool
) -> None:
    """Another person's photo among three, or photos that are all blurred, take all cameras with them."""
    count = len(shares)
    solution = LandmarkSolution(
        (camera_at(0.0),) * count,
        np.ones((count, LANDMARKS)),
        np.ones(count),
        np.full(count, np.inf),
        np.array(shares),
        np.zeros((LANDMARKS, 3)),
    )
    monkeypatch.setattr(face_cameras, "solve_with_tracks", lambda *_: solution)
    photos = [replace(photo_by(100.0), name=f"{number}.jpg") for number in range(count)]
    face_cameras.cameras_of_faces(photos, [[face(0.9, 20.0)]] * count, load_landmark_model())
    said = " ".join(capsys.readouterr().out.split())
    assert ("% of the skin is where the other photos show it" in said) == doubted
    assert not doubted or "Only 31%" in said


def test_a_photo_without_a_face_has_the_camera_of_its_own_lens_and_size(monkeypatch: pytest.MonkeyPatch) -> None:
    wide, tele, upright = photo_by(100.0), photo_by(300.0), photo_by(300.0, 60, 80)
    place = replace(camera_at(10.0), width=80, height=60)
    known = [
        (photo, replace(place, intrinsics=centred_intrinsics(focal, 80, 60)))
        for photo, focal in ((wide, 110.0), (wide, 110.0), (tele, 270.0))
    ]
    like = solve_room.camera_like(upright, known)
    assert np.allclose(like.intrinsics, [[270.0, 0.0, 29.5], [0.0, 270.0, 39.5], [0.0, 0.0, 1.0]])
    assert (like.width, like.height) == (60, 80) and np.allclose(like.centre_mm, place.centre_mm)
    assert solve_room.camera_like(photo_by(200.0), known).intrinsics[0, 0] == pytest.approx(220.0)
    by_guess = [(photo_by(None), known[0][1])]
    assert solve_room.camera_like(photo_by(200.0), by_guess).intrinsics[0, 0] == pytest.approx(200.0)

    begun = []
    monkeypatch.setattr(turned_views, "fit_head", lambda *_: None)
    monkeypatch.setattr(turned_views, "surface_of", lambda _: ball_surface())
    monkeypatch.setattr(turned_views, "poses_from_silhouette", lambda *given: begun.append(given[2]) or [])
    flat = np.zeros((80, 60), np.uint8)
    row = KnownView(flat.T, flat.T > 0, known[0][1])
    assert turned_views.chain([row], [TurnedView(flat, flat > 0, like)], np.zeros((2, 3))) == [None]
    assert begun == [like]


@pytest.mark.parametrize("columns", [0, 1])
def test_a_photo_with_nothing_of_a_head_has_no_camera(columns: int) -> None:
    """A slip of paper between the photos: no face, and no silhouette or a line that is none."""
    face, paper = (replace(photo_by(100.0), mask=np.tile(np.arange(80) < n, (60, 1))) for n in (80, columns))
    views = [SolvedView("face", camera_at(10.0)), SolvedView("paper", None)]
    assert solve_room._with_turned([face, paper], views, np.zeros((2, 3)), load_landmark_model()) == views


def test_a_stray_pixel_above_a_head_has_a_width() -> None:
    x, y = np.array([50.0, 0.0, 100.0]), np.array([0.0, 300.0, 300.0])
    assert _upper_width(x, y) == 1.0 and _upper_width(x[1:], y[1:]) == 100.0


def made_up_reconstruction(seed: int, outliers: float = 0.0) -> tuple[Any, dict[str, np.ndarray]]:
    """A reconstruction of 8 photos whose features are off by 0.2 px, some by 15 px, and the true rotations."""
    pycolmap = pytest.importorskip("pycolmap")
    pycolmap.set_random_seed(seed)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_frames_per_rig, options.num_points3D = 1, 8, 200
    model, rng = pycolmap.synthesize_dataset(options), np.random.default_rng(seed)
    true = {image.name: image.cam_from_world().rotation.matrix() for image in model.images.values()}
    for image in model.images.values():
        for point in image.points2D:
            point.xy = point.xy + rng.normal(0.0, 15.0 if rng.uniform() < outliers else 0.2, 2)
    return model, true


def test_wrong_matches_do_not_turn_the_cameras() -> None:
    model, true = made_up_reconstruction(0, outliers=0.15)
    for point in model.points3D.values():
        point.xyz = point.xyz + 0.05
    model = bundle_adjustment.adjusted(pytest.importorskip("pycolmap"), model)
    found = {image.name: image.cam_from_world().rotation.matrix() for image in model.images.values()}
    between = [found[one] @ found[other].T for one, other in pairwise(sorted(found))]
    should = [true[one] @ true[other].T for one, other in pairwise(sorted(true))]
    assert max(angle_deg(one, other) for one, other in zip(between, should, strict=True)) < 0.05


def test_a_bundle_adjustment_is_silent_and_leaves_colmap_so(capfd: pytest.CaptureFixture[str]) -> None:
    pycolmap = pytest.importorskip("pycolmap")
    pycolmap.logging.minloglevel = pycolmap.logging.Level.FATAL.value
    bundle_adjustment.adjusted(pycolmap, made_up_reconstruction(0)[0])
    assert pycolmap.logging.minloglevel == pycolmap.logging.Level.FATAL.value
    said = capfd.readouterr()
    assert "bundle" not in said.err + said.out


@pytest.mark.parametrize(
    ("features", "off_px", "photos", "odd"),
    [(200, 0.2, 1, 0), (200, 0.5, 1, 0), (200, 1.5, 1, 1), (14, 0.2, 1, 1), (200, 1.5, 3, 3), (200, 1.5, 8, 0)]
    + [(14, 0.2, 5, 0)],
)
def test_photos_that_few_features_hold_or_the_others_disagree_with_are_odd(
    features: int, off_px: float, photos: int, odd: int
) -> None:
    """One that is a little blurred is not, nor are all photos where all are, nor most of them."""
    model, _ = made_up_reconstruction(0)
    images, rng = list(model.images.values())[:photos], np.random.default_rng(1)
    for image in images:
        for index in image.get_observation_point2D_idxs()[features:]:
            model.delete_observation(image.image_id, index)
        for point in image.points2D:
            point.xy = point.xy + rng.normal(0.0, off_px, 2)
    assert reprojections.odd_photos(model) == {image.name for image in images[:odd]}


def test_of_soft_photos_one_that_few_features_hold_is_odd() -> None:
    """Features are as sharp as the photos."""
    model, _ = made_up_reconstruction(0)
    images, rng = list(model.images.values()), np.random.default_rng(1)
    for image in images:
        for point in image.points2D:
            point.xy = point.xy + rng.normal(0.0, 1.5, 2)
    for index in images[0].get_observation_point2D_idxs()[14:]:
        model.delete_observation(images[0].image_id, index)
    assert reprojections.odd_photos(model) == {images[0].name}


def test_a_reconstruction_with_wrong_matches_loses_against_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pycolmap = pytest.importorskip("pycolmap")
    with pycolmap.Database.open(tmp_path / "database.db") as database:
        database.write_camera(pycolmap.Camera.create(1, "SIMPLE_RADIAL", 1000.0, 640, 480))
    models = {0.8: made_up_reconstruction(0, outliers=0.5)[0], 1.0: made_up_reconstruction(1)[0], 1.25: None}
    focals = []

    def map_once(*_: object) -> list[Any]:
        with pycolmap.Database.open(tmp_path / "database.db") as database:
            focals.append(database.read_all_cameras()[0].focal_length)
        made = models[focals[-1] / 1000.0]
        return [] if made is None else [made]

    monkeypatch.setattr(structure_from_motion, "_map", map_once)
    monkeypatch.setattr(structure_from_motion, "adjusted", lambda _, model: model)
    assert structure_from_motion._map_best(pycolmap, tmp_path, tuple(models), few=True) is models[1.0]
    assert focals == [800.0, 1000.0, 1250.0]
    focals.clear()
    assert structure_from_motion._map_best(pycolmap, tmp_path, (1.0,), few=True) is None  # from 1250 now


def test_points_behind_a_camera_do_not_agree_with_it() -> None:
    model, _ = made_up_reconstruction(0)
    image = next(iter(model.images.values()))
    assert reprojections.errors_px(model, image).max() < 1.5
    first = image.get_observation_points2D()[0].point3D_id
    centre = image.projection_center()
    model.points3D[first].xyz = centre - (model.points3D[first].xyz - centre)
    assert np.isinf(reprojections.errors_px(model, image)[0])
    assert reprojections.agreeing(model)[1] < model.compute_num_observations()


def ball_before_its_own_wall(number: int, camera: Pinhole) -> Photo:
    """Photo with its mask, of the ball before noise that no other photo shows."""
    rays = camera.rays(camera.pixels())
    mask = (np.linalg.norm(np.cross(camera.centre_mm, rays), axis=1) < BALL_MM).reshape(camera.height, camera.width)
    noise = np.random.default_rng(number).uniform(60.0, 200.0, mask.shape)
    grey = np.where(mask, photo_of_ball(camera), noise).astype(np.uint8)
    return small_photo(f"{number}.jpg", np.repeat(grey[..., None], 3, axis=2), mask, camera.intrinsics[0, 0])


def test_few_photos_far_apart_are_registered_by_the_head_alone() -> None:
    true = [camera_at(yaw, pitch) for yaw, pitch in ((-42, 3), (-14, -3), (14, 3), (42, -3))]
    photos = [ball_before_its_own_wall(number, camera) for number, camera in enumerate(true)]
    cameras = [view.camera for view in solve_motion(photos, MotionConfig(in_masks_only=True)) if view.camera]
    assert len(cameras) == len(true)
    assert max(relative_errors_deg(cameras, true)) < 0.5


def test_where_the_whole_photos_do_not_match_the_heads_do(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def solve(photos: list[Photo], config: MotionConfig) -> list[SolvedView]:
        tried.append(config.in_masks_only)
        return [SolvedView(photo.name, camera_at(9.0 * i) if tried[-1] else None) for i, photo in enumerate(photos)]

    monkeypatch.setattr(solve_room, "solve_motion", solve)
    monkeypatch.setattr(solve_room, "find_faces_at_mask", lambda *_: [])
    photo = ball_before_its_own_wall(0, camera_at(0.0, size=64))
    solved = solve_room.solve_cameras([photo] * 9, solve_room.CameraConfig(MotionConfig()))
    assert tried == [False, True] and solved.way == solve_room.MOTION


def test_cameras_of_some_photos_are_kept_where_enough_of_the_faces_are_among_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Right cameras of 18 photos among 26 were thrown away, and a face asked for."""
    photos, solved, with_face = [ball_before_its_own_wall(0, camera_at(0.0, size=64))] * 18, 9, range(18)

    def solve(photos: list[Photo], config: MotionConfig) -> list[SolvedView]:
        count = solved if solved != 12 or config.in_masks_only else 9
        return [SolvedView(str(i), camera_at(9.0 * i) if i < count else None) for i in range(18)]

    monkeypatch.setattr(solve_room, "solve_motion", solve)
    monkeypatch.setattr(
        solve_room, "_faces", lambda _: [[face(0.9, 20.0)] if i in with_face else [] for i in range(18)]
    )
    monkeypatch.setattr(face_agreement, "share_of_faces_that_meet", lambda *_: 1.0)
    monkeypatch.setattr(
        solve_room, "_by_landmarks", lambda *_: solve_room.SolvedCameras((), solve_room.LANDMARKS, None)
    )
    config = solve_room.CameraConfig(MotionConfig())
    assert solve_room.solve_cameras(photos, config).way == solve_room.MOTION
    assert "connects only 9 of 18 photos: it wants" in " ".join(capsys.readouterr().out.split())
    solved = 12
    assert solve_room.solve_cameras(photos, config).views[11].camera is not None
    assert "connects only 12 of 18 photos" in " ".join(capsys.readouterr().out.split()), "the better of two tries"

    def missing(*_: Any) -> None:
        raise InputError("no networks here")

    with monkeypatch.context() as patched:
        patched.setattr(solve_room, "_faces", missing)
        solved = 9
        assert solve_room.solve_cameras(photos, config).way == solve_room.MOTION
        solved = 8
        with pytest.raises(InputError, match="no networks here"):
            solve_room.solve_cameras(photos, config)
    solved, with_face = 9, range(8, 18)
    assert solve_room.solve_cameras(photos, config).way == solve_room.LANDMARKS, "without the faces no head is found"
    with_face = range(0)
    assert solve_room.solve_cameras(photos, config).way == solve_room.MOTION
    solved = 8
    assert solve_room.solve_cameras(photos, config).way == solve_room.LANDMARKS


def test_cameras_that_crowd_on_one_side_contradict_the_faces() -> None:
    true = [camera_at(yaw, pitch) for yaw, pitch in ((-50, 5), (-25, 0), (0, 8), (0, -8), (25, 0), (50, 3))]
    faces, _ = seen_landmarks(true, noise_px=0.5)
    world = Rotation.from_euler("xyz", [40.0, 100.0, -20.0], degrees=True).as_matrix()
    turned = [SolvedView("", replace(camera, rotation=camera.rotation @ world)) for camera in true]
    assert share_of_faces_that_meet(turned, faces) == 1.0
    assert share_of_faces_that_meet([view.scaled(0.01) for view in turned], faces) == 1.0
    assert share_of_faces_that_meet([*turned[:5], SolvedView("", None)], [None, *faces[1:]]) == 1.0
    crowded = [*turned[:3], *(turned[i] for i in (0, 1, 2))]
    assert share_of_faces_that_meet(crowded, faces) <= 0.5
    assert share_of_faces_that_meet(crowded, [None, None, None, None, *faces[4:]]) == 1.0, "two faces say nothing"


def ring_with_faces(wrong: int) -> tuple[list[SolvedView], list[np.ndarray | None]]:
    """Views round a head, and landmarks in the ten from ahead; the last cameras go round it too far."""
    yaws = [*np.linspace(-45.0, 45.0, 10), *np.linspace(90.0, 270.0, 10)]
    true = [camera_at(yaw) for yaw in yaws]
    faces, _ = seen_landmarks(true[:10], noise_px=0.1)
    cameras = [*true[: 20 - wrong], *(camera_at(yaw + 40.0) for yaw in yaws[20 - wrong :])]
    return [SolvedView(str(i), camera) for i, camera in enumerate(cameras)], [*faces, *10 * [None]]


def test_cameras_that_the_background_alone_holds_stand_elsewhere_by_the_heads_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Photos from behind were up to 176 degrees off, all faces met, and the skull lay in their silhouettes."""
    right, ahead = ring_with_faces(wrong=0)
    world = Rotation.from_euler("xyz", [40.0, 100.0, -20.0], degrees=True).as_matrix()
    elsewhere = [replace(view, camera=turned_camera(view.camera, np.eye(3), world)).scaled(0.3) for view in right]
    few_off = [
        replace(view, camera=turned_camera(view.camera, rotation_z(i % 2 * 6.0))) for i, view in enumerate(right)
    ]
    assert cameras_apart(right, elsewhere) == (set(), 20) and cameras_apart(right, few_off) == (set(), 20)
    unsolved = [replace(view, camera=None) for view in right]
    assert cameras_apart([*unsolved[:5], *elsewhere[5:]], ring_with_faces(wrong=3)[0]) == ({17, 18, 19}, 15)
    assert cameras_apart(right, unsolved) == (set(), 0)
    first_off = [replace(right[0], camera=right[5].camera), *right[1:]]
    assert cameras_apart(first_off, elsewhere) == ({0}, 20), "the first photo counts no more than any other"

    heads = MotionTry.of(elsewhere, ahead)
    assert heads.sure and not heads.vouched_for and heads.vouched == 0.5, "no face vouches for photos from behind"
    whole = MotionTry.of(right, ahead)
    assert whole.or_heads(heads, ahead).views == right, "whole photos show more"
    found = MotionTry.of(ring_with_faces(wrong=2)[0], ahead).or_heads(heads, ahead)
    assert [view.camera is None for view in found.views] == 18 * [False] + 2 * [True]
    assert found.solved == 18
    misled = MotionTry.of(ring_with_faces(wrong=3)[0], ahead)
    assert misled.sure and misled.or_heads(heads, ahead) is heads
    face_agreement.say_way([whole, replace(heads, meeting=0.5)], whole)
    assert "The heads alone do not tell, their faces do not meet" in " ".join(capsys.readouterr().out.split())
    lost = MotionTry.of([*elsewhere[:13], *unsolved[13:]], ahead)
    assert misled.or_heads(lost, ahead) is misled, "the heads alone hold too few photos to say anything"


def test_a_film_or_a_set_of_faces_needs_no_second_way() -> None:
    views, ahead = ring_with_faces(wrong=0)
    assert MotionTry.of(views[:11], ahead[:11]).vouched_for, "one of eleven shows no face"
    assert not MotionTry.of(views[:12], ahead[:12]).vouched_for
    statue = MotionTry.of(views, [*ahead[:2], *18 * [None]])
    assert statue.vouched_for, "where hardly a face is seen, faces say nothing"


def turned_camera(camera: Pinhole, turn: np.ndarray, world: np.ndarray | None = None) -> Pinhole:
    """The camera with other axes, at its place, in another world."""
    rotation = turn @ camera.rotation @ (np.eye(3) if world is None else world)
    return replace(camera, rotation=rotation, translation_mm=turn @ camera.translation_mm)


def rotation_z(angle_deg: float) -> np.ndarray:
    return Rotation.from_euler("z", angle_deg, degrees=True).as_matrix()


def test_where_no_face_vouches_for_the_cameras_the_heads_alone_must_say_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried, wrong, held = [], 4, 20

    def solve(_: list[Photo], config: MotionConfig) -> list[SolvedView]:
        tried.append(config.in_masks_only)
        views = ring_with_faces(0 if tried[-1] else wrong)[0]
        return [replace(view, camera=None) if tried[-1] and i >= held else view for i, view in enumerate(views)]

    monkeypatch.setattr(solve_room, "solve_motion", solve)
    right, ahead = ring_with_faces(0)
    photos = [ball_before_its_own_wall(0, camera_at(0.0, size=64))] * 20
    monkeypatch.setattr(solve_room, "_faces", lambda _: [[face(0.9, 20.0)] for _ in photos])
    monkeypatch.setattr(solve_room, "landmarks_from_ahead", lambda *_: ahead)

    def solved(ordered: bool = False) -> tuple[tuple[SolvedView, ...], str]:
        tried.clear()
        config = solve_room.CameraConfig(MotionConfig(ordered=ordered))
        return solve_room.solve_cameras(photos, config).views, " ".join(capsys.readouterr().out.split())

    views, said = solved()
    assert tried == [False, True] and cameras_apart(views, right) == (set(), 20)
    assert "No face vouches for 50% of the cameras" in said and "are those by the heads alone" in said
    assert cameras_apart(solved(ordered=True)[0], right)[0] == {16, 17, 18, 19} and tried == [False]
    wrong = 1
    views, said = solved()
    assert tried == [False, True] and [view.name for view in views if view.camera is None] == ["19"]
    assert "are those by the heads alone" not in said and "too few" not in said
    assert "Left out, as the heads alone put their cameras elsewhere: 19." in said and "as little" not in said
    held = 13
    views, said = solved()
    assert all(view.camera for view in views) and "do not tell, they hold too few photos: look" in said


def test_cameras_that_contradict_the_faces_are_looked_for_in_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    tried, photo = [], ball_before_its_own_wall(0, camera_at(0.0, size=64))

    def solve(photos: list[Photo], config: MotionConfig) -> list[SolvedView]:
        tried.append(config.in_masks_only)
        return [SolvedView("alone" if tried[-1] else "whole", camera_at(9.0 * i)) for i, _ in enumerate(photos)]

    monkeypatch.setattr(solve_room, "solve_motion", solve)
    monkeypatch.setattr(solve_room, "_faces", lambda photos: [[face(0.9, 20.0)]] * len(photos))
    by_landmarks = solve_room.SolvedCameras((), solve_room.LANDMARKS, None)
    monkeypatch.setattr(solve_room, "_by_landmarks", lambda *_: by_landmarks)
    config = solve_room.CameraConfig(MotionConfig())

    def solved(*shares: float) -> solve_room.SolvedCameras:
        tried.clear()
        left = iter(shares)
        monkeypatch.setattr(face_agreement, "share_of_faces_that_meet", lambda *_: next(left))
        return solve_room.solve_cameras([photo] * 9, config)

    assert solved(0.4, 0.5) is by_landmarks and tried == [False, True]
    assert solved(1.0).way == solve_room.MOTION and tried == [False]
    assert solved(0.8, 1.0).views[0].name == "alone"
    assert solved(0.8, 0.5).views[0].name == "whole", "nothing better was found"

    def missing(*_: Any) -> None:
        raise InputError("no networks here")

    monkeypatch.setattr(solve_room, "_faces", missing)
    monkeypatch.setattr(face_agreement, "share_of_faces_that_meet", share_of_faces_that_meet)
    assert solve_room.solve_cameras([photo] * 9, config).way == solve_room.MOTION


def test_a_face_takes_the_size_of_its_pupils_else_of_the_mean_face() -> None:
    model = load_landmark_model()
    small = 0.8 * model.head(np.random.default_rng(1).normal(0.0, 1.0, len(model.shapes_mm)))
    eyes = (scale_by_pupils(small, 61.0).mm_per_unit * small)[[33, 133, 362, 263]]
    assert np.linalg.norm(eyes[:2].mean(axis=0) - eyes[2:].mean(axis=0)) == pytest.approx(61.0)
    assert average_scale(0.8 * model.mean_mm, model) == pytest.approx(1.25)


def test_irises_tell_a_small_face_from_an_adults(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child's irises are as wide as an adult's; photos from the side do not count."""
    model, seen = load_landmark_model(), []
    photos = [small_photo(name, np.zeros((320, 320, 3), np.uint8)) for name in "ab"]
    views = [SolvedView("a", camera_at(0.0)), SolvedView("b", camera_at(40.0))]
    face = FaceLandmarks(np.zeros((468, 2)), np.zeros(468), 0.9, 0.0)
    camera = views[0].camera
    assert camera is not None
    depth = float((model.mean_mm[[33, 133, 362, 263]] @ camera.rotation.T + camera.translation_mm)[:, 2].mean())

    def measured(photo: np.ndarray, landmarks: FaceLandmarks) -> np.ndarray:
        seen.append(photo)
        return np.array([1.25 * IRIS_MM * camera.intrinsics[0, 0] / depth, np.nan])

    monkeypatch.setattr(iris_size, "iris_diameters_px", measured)
    scale = scale_by_face(model.mean_mm, model, photos, [[face]] * 2, views)
    assert len(seen) == 1 and seen[0] is photos[0].rgb
    assert scale.source == BY_FACE_AND_IRISES and scale.uncertainty_percent > 10.0
    # The face alone says 1, the irises 0.8, and they are the surer of the two.
    assert 0.8 < scale.mm_per_unit < np.sqrt(0.8)
    doubted = doubt(scale, None)
    assert doubted is not None and "smaller than the average adult's" in doubted
    unsure = replace(face, score=0.3)
    assert scale_by_face(model.mean_mm, model, photos, [[unsure], []], views).source == BY_FACE


def test_irises_are_done_without_where_their_network_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A computer without network has the four that were enough before."""
    model, photo = load_landmark_model(), small_photo("a", np.zeros((320, 320, 3), np.uint8))
    face = FaceLandmarks(np.zeros((468, 2)), np.zeros(468), 0.9, 0.0)

    def missing(*_: object) -> None:
        raise InputError("pip cannot download it")

    monkeypatch.setattr(iris_size, "iris_diameters_px", missing)
    found = scale_by_face(model.mean_mm, model, [photo], [[face]], [SolvedView("a", camera_at(0.0))])
    assert found.source == BY_FACE and "Irises are not measured: pip cannot" in capsys.readouterr().out
    asked: list[str] = []
    monkeypatch.setattr(solve_room, "model_file", asked.append)
    solve_room.check_tools(3, needs_networks=True)
    assert asked and "iris_landmark" not in asked


def test_scaled_and_resized_cameras_see_the_same() -> None:
    camera, points = camera_at(20.0), np.random.default_rng(0).normal(0.0, 50.0, (9, 3))
    assert scaled(camera, 2.0).project(2.0 * points) == pytest.approx(camera.project(points))
    double = resized(camera, 640, 640).project(points)
    assert double == pytest.approx(2.0 * camera.project(points) + 0.5)


def test_a_photo_keeps_its_size_its_mask_and_its_exif_focal_length(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 26
    whole = Image.new("RGB", (3200, 2400), (90, 80, 70))
    whole.paste((200, 150, 120), (800, 600, 2400, 1800))
    whole.save(tmp_path / "a.jpg", exif=exif)
    mask = np.zeros((2400, 3200), dtype=np.uint8)
    mask[600:1800, 800:2400] = 255
    Image.fromarray(mask).save(tmp_path / "a.png")
    photo = load_photo(tmp_path / "a.jpg", tmp_path / "a.png")
    assert (photo.width, photo.height, photo.rgb.shape) == (3200, 2400, (1200, 1600, 3))
    assert photo.mask is not None and photo.mask.mean() == pytest.approx(0.25, abs=0.01)
    assert photo.exif_focal_px == pytest.approx(26.0 / 43.27 * 4000.0, rel=0.01)
    Image.fromarray(mask[:1200]).save(tmp_path / "b.png")
    with pytest.raises(InputError, match="make the mask again at that size"):
        load_photo(tmp_path / "a.jpg", tmp_path / "b.png")


@pytest.mark.parametrize(
    ("size", "taken", "focal_px"),
    [
        ((800, 600), (4000, 3000), 601.0),  # made smaller
        ((600, 800), (4000, 3000), 601.0),  # turned
        ((900, 600), None, 650.0),
        ((800, 450), (800, 450), 601.0),  # by the phone itself
        ((600, 600), (3000, 3000), 601.0),  # by the phone itself
        ((600, 600), None, 509.9),  # a render
        ((800, 600), (1, 1), 601.0),  # nonsense
        ((800, 600), (0, "x"), 601.0),  # nonsense
        ((400, 500), (4000, 3000), None),
        ((400, 500), None, None),
        ((600, 600), (4000, 3000), None),
        ((800, 600), (4000, 2250), None),
    ],
)
def test_exif_says_nothing_of_the_focal_length_of_a_cropped_photo(
    size: tuple[int, int], taken: tuple[object, object] | None, focal_px: float | None, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 26
    for tag, value in zip((0xA002, 0xA003), taken or (), strict=False):
        exif.get_ifd(0x8769)[tag] = value
    Image.radial_gradient("L").resize(size).save(tmp_path / "a.jpg", exif=exif)
    photo = load_photo(tmp_path / "a.jpg")
    assert photo.exif_focal_px == (None if focal_px is None else pytest.approx(focal_px, rel=0.005))
    assert photo.cropped == (focal_px is None)


def test_cropped_photos_are_said_once_and_get_no_other_ones_lens(capsys: pytest.CaptureFixture[str]) -> None:
    whole, cropped = photo_by(100.0), replace(photo_by(None), cropped=True)
    assert with_likely_focals([whole, cropped])[1].exif_focal_px is None
    say_cropped([whole, cropped, cropped])
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("uncropped") == 1
    assert f"look cropped: 2, the first of them {cropped.name} (80 x 60 pixels);" in said
    say_cropped([whole])
    assert capsys.readouterr().out == ""


def test_a_photo_of_another_shape_may_be_cropped(capsys: pytest.CaptureFixture[str]) -> None:
    """Programs that send photos take their EXIF, which would say so."""
    photos = [photo_by(None), photo_by(None, 60, 80), photo_by(None)]
    say_cropped(photos)
    say_cropped([*photos, photo_by(100.0, 80, 50)])
    say_cropped([photo_by(None), photo_by(None, 80, 50)])
    assert capsys.readouterr().out == ""
    say_cropped([*photos, replace(photo_by(None, 80, 50), name="b.jpg")])
    assert "Photos of another shape than the others: b.jpg; if they were cropped" in " ".join(
        capsys.readouterr().out.split()
    )


def face(score: float, size: float, left: float = 0.0) -> FaceLandmarks:
    points = np.random.default_rng(0).uniform(0.0, size, (LANDMARKS, 2)) + [left, 0.0]
    return FaceLandmarks(points_px=points, depth_px=np.zeros(LANDMARKS), score=score, turn_deg=0.0)


def test_two_people_in_many_photos_are_named_before_cameras_are_looked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cameras of nine photos or more need no face, the head does."""
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8)
    photos = [small_photo(f"{i}.jpg", noise) for i in range(9)]
    one, two = [face(0.9, 90.0)], [face(0.9, 90.0), face(0.8, 80.0, 200.0)]
    monkeypatch.setattr(face_agreement, "share_of_faces_that_meet", lambda *_: 1.0)
    monkeypatch.setattr(solve_room, "solve_motion", None)
    config = solve_room.CameraConfig(MotionConfig())
    monkeypatch.setattr(solve_room, "_faces", lambda _: [one, two, two, one, two, *4 * [[]]])
    with pytest.raises(InputError, match=r"^two people are seen in 1\.jpg, 2\.jpg, 4\.jpg: lay a mask of one"):
        solve_room.solve_cameras(photos, config)
    views = [SolvedView(photo.name, camera_at(9.0 * i)) for i, photo in enumerate(photos)]
    monkeypatch.setattr(solve_room, "solve_motion", lambda *_: views)
    monkeypatch.setattr(solve_room, "_faces", lambda _: [one, two, one, one, one, *4 * [[]]])
    assert solve_room.solve_cameras(photos, config).way == solve_room.MOTION
    assert "Two people are seen in 1.jpg: lay a mask" in " ".join(capsys.readouterr().out.split())


def test_unusable_photos_are_named() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8)
    photos = [small_photo(f"{i}.jpg", noise) for i in range(3)]
    with pytest.raises(InputError, match="no face was found in 0.jpg, 1.jpg, 2.jpg"):
        check_faces(photos, [[], [face(0.2, 90.0)], []])
    with pytest.raises(InputError, match=r"1\.jpg shows two people: lay a mask of one of them"):
        check_faces(photos, [[face(0.9, 90.0)], [face(0.9, 90.0), face(0.8, 80.0, 200.0)], []])
    check_faces(photos, [[face(0.9, 90.0)], [face(0.9, 90.0), face(0.8, 20.0, 200.0)], []])
    with pytest.raises(InputError, match=r"do not fit one head, b\.jpg least"):
        check_one_head(["a.jpg", "b.jpg"], np.stack([np.full(LANDMARKS, 1.0), np.full(LANDMARKS, 9.0)]))
    with pytest.raises(InputError, match="from one spot"):
        check_apart(["a.jpg", "b.jpg"], [camera_at(0.0), camera_at(1.0)])
    check_apart(["a.jpg", "b.jpg"], [camera_at(0.0), camera_at(20.0)])
