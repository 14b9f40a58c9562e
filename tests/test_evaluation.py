"""The scores against closed forms and against a plain call of `h3ds`, on a small H3DS dataset made here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from h3ds.numeric import unidirectional_chamfer_distance
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from baseh3d_ns.cameras import Pinhole
from baseh3d_ns.data.h3ds_package import H3DS, numpy_int
from baseh3d_ns.errors import InputError
from baseh3d_ns.evaluation.distance import Surface
from baseh3d_ns.evaluation.official import official_scores, to_h3ds_mesh
from baseh3d_ns.evaluation.pictures import (
    UNKNOWN_GREY,
    PhotoView,
    error_colours,
    evaluation_picture,
    heatmap_mesh,
    render,
    three_sides,
)
from baseh3d_ns.evaluation.rigid import DistanceSummary, align_rigidly, rigid_scores
from baseh3d_ns.evaluation.scores import evaluate_mesh, mesh_and_score, mesh_spacing_mm
from baseh3d_ns.evaluation.write import write_evaluation

SCENE = "0123456789abcdef"
LANDMARKS = {
    "right_eye": (-30.0, 30.0, 90.0),
    "left_eye": (30.0, 30.0, 90.0),
    "nose_tip": (0.0, 0.0, 130.0),
    "nose_base": (0.0, -15.0, 110.0),
    "right_lips": (-20.0, -40.0, 95.0),
    "left_lips": (20.0, -40.0, 95.0),
}
CONFIG = f"""
version = "test-1"
[scenes.{SCENE}]
tags = ["test"]
views = 1
[scenes.{SCENE}.default_views_configs]
1 = [0]
"""


def sphere(radius_mm: float = 100.0, subdivisions: int = 4) -> trimesh.Trimesh:
    return trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius_mm)


def head(subdivisions: int = 4) -> trimesh.Trimesh:
    """An egg with a nose towards +z and two ears: nothing that could slide along itself."""
    mesh = sphere(1.0, subdivisions)
    directions = mesh.vertices.view(np.ndarray)
    radius_mm = 80.0 + 30.0 * directions[:, 1] ** 2 + 10.0 * directions[:, 1]
    for direction, height_mm, width in [
        ((0, 0, 1), 25.0, 0.03),
        ((1, 0.1, 0), 15.0, 0.05),
        ((-1, 0.0, 0.2), 15.0, 0.05),
    ]:
        towards = np.array(direction) / np.linalg.norm(direction)
        radius_mm += height_mm * np.exp((directions @ towards - 1.0) / width)
    return trimesh.Trimesh(directions * radius_mm[:, None], mesh.faces, process=False)


def write_h3ds(folder: Path, mesh: trimesh.Trimesh, whole_face: bool = False) -> H3DS:
    """A one-scene dataset on disk; without photos, which scoring does not read."""
    scene = folder / SCENE
    (scene / "regions").mkdir(parents=True)
    (folder / "config.toml").write_text(CONFIG)
    (folder / "version.txt").write_text("test-1\n")
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in mesh.vertices]
    lines += [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in mesh.faces]
    (scene / "full_head.obj").write_text("\n".join(lines) + "\n")
    vertices = mesh.vertices.view(np.ndarray)
    landmarks = {name: int(np.linalg.norm(vertices - at, axis=1).argmin()) for name, at in LANDMARKS.items()}
    (scene / "landmarks.txt").write_text("".join(f"{name} {index}\n" for name, index in landmarks.items()))
    from_nose = np.linalg.norm(vertices - vertices[landmarks["nose_tip"]], axis=1)
    regions = {
        "face": np.full(len(vertices), True) if whole_face else vertices[:, 2] > -20.0,
        "face_sphere": from_nose < 95.0,
        "nose": from_nose < 20.0,
    }
    for name, inside in regions.items():
        (scene / "regions" / f"{name}.txt").write_text("".join(f"{i}\n" for i in np.flatnonzero(inside)))
    return H3DS(str(folder), config_path=str(folder / "config.toml"))


@pytest.fixture(scope="module")
def head_root(tmp_path_factory: pytest.TempPathFactory) -> H3DS:
    return write_h3ds(tmp_path_factory.mktemp("h3ds"), head())


def wavy(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """A prediction with errors: displaced by up to a millimetre, differently everywhere."""
    return trimesh.Trimesh(mesh.vertices + np.sin(mesh.vertices[:, [1, 2, 0]] / 9.0), mesh.faces, process=False)


# --- distances --------------------------------------------------------------------------------------------------------


def test_closest_points_of_a_surface_are_exact_on_a_coarse_mesh() -> None:
    coarse = head(subdivisions=3)
    points = wavy(head(subdivisions=4)).vertices.view(np.ndarray)[::7]
    expected_points, expected, _ = trimesh.proximity.closest_point(coarse, points)
    surface = Surface(coarse)
    closest = surface.closest(points)
    assert np.abs(closest.distances - expected).max() < 1e-9
    assert np.abs(closest.points - expected_points).max() < 1e-9
    corners = coarse.triangles.view(np.ndarray)[closest.faces]
    assert np.abs(np.einsum("nx,nx->n", closest.points - corners[:, 0], surface.normals[closest.faces])).max() < 1e-9
    # The nearest vertex is millimetres away: the test would see a point-to-vertex distance.
    assert (unidirectional_chamfer_distance(points, coarse.vertices) - expected).mean() > 1.0
    with pytest.raises(ValueError, match="no surface"):
        Surface(trimesh.Trimesh([[0.0, 0.0, 0.0]], np.zeros((0, 3), int), process=False))


def test_summary_of_known_distances() -> None:
    summary = DistanceSummary.of(np.array([0.5, 1.5, 3.0, 7.0]))
    assert summary.mean_mm == 3.0 and summary.median_mm == 2.25 and summary.points == 4
    assert summary.p90_mm == pytest.approx(5.8)
    assert (summary.within_1mm, summary.within_2mm, summary.within_5mm) == (0.25, 0.5, 0.75)


# --- rigid ------------------------------------------------------------------------------------------------------------


def test_spheres_of_100_and_103_mm_are_3_mm_apart(tmp_path: Path) -> None:
    root = write_h3ds(tmp_path, sphere(100.0), whole_face=True)
    larger = sphere(103.0, subdivisions=6)
    scores = rigid_scores(root, SCENE, larger)
    for two_way in (scores.face, scores.head):
        assert two_way.mean_mm == pytest.approx(3.0, abs=0.05)
        assert two_way.gt_to_pred.mean_mm == pytest.approx(3.0, abs=0.05)
        assert two_way.pred_to_gt.mean_mm == pytest.approx(3.0, abs=0.1)
    to_vertices = unidirectional_chamfer_distance(sphere(100.0).vertices, larger.vertices)
    assert to_vertices.mean() == pytest.approx(3.0, abs=0.15)


def test_rigid_alignment_undoes_a_motion_but_neither_scale_nor_mirroring(head_root: H3DS) -> None:
    moved = head(subdivisions=5)
    motion = trimesh.transformations.rotation_matrix(np.radians(4.0), [0.2, 1.0, 0.1])
    motion[:3, 3] = [3.0, -2.0, 1.0]
    moved.apply_transform(motion)
    scores = rigid_scores(head_root, SCENE, moved)
    assert scores.head.mean_mm < 0.15
    assert scores.rotation_deg == pytest.approx(4.0, abs=0.1)
    assert np.allclose(scores.pred_to_world @ motion, np.eye(4), atol=0.1)

    mirrored = align_rigidly(moved.vertices * [-1.0, 1.0, 1.0], Surface(head()))
    assert np.linalg.det(mirrored[:3, :3]) == pytest.approx(1.0, abs=1e-6)
    assert np.allclose(mirrored[:3, :3] @ mirrored[:3, :3].T, np.eye(3))


def test_floaters_count_from_prediction_to_ground_truth_only(head_root: H3DS) -> None:
    floater = sphere(10.0, subdivisions=3)
    floater.apply_translation([0.0, 10.0, 170.0])
    scores = rigid_scores(head_root, SCENE, trimesh.util.concatenate([head(), floater]))
    assert scores.face.gt_to_pred.mean_mm < 0.01
    assert scores.face.pred_to_gt.mean_mm > 5.0
    assert scores.pred_to_gt_mm[: len(head().vertices)].max() < 0.01
    assert scores.pred_to_gt_mm[len(head().vertices) :].min() > 20.0


# --- official ---------------------------------------------------------------------------------------------------------


def test_official_numbers_are_those_of_a_plain_call_to_the_last_bit(head_root: H3DS) -> None:
    prediction = wavy(head(subdivisions=5))
    scores = official_scores(head_root, SCENE, prediction)
    with numpy_int():
        face, _, _, _ = head_root.evaluate_scene(SCENE, to_h3ds_mesh(prediction), region_id="face_sphere")
        whole, _, _, _ = head_root.evaluate_scene(SCENE, to_h3ds_mesh(prediction))
    assert scores.face_mm == face.mean() > 0.1
    assert scores.head_mm == whole.mean() > 0.1
    assert not scores.mirrored
    assert scores.predicted_vertices == len(prediction.vertices)


def test_a_head_20_percent_too_big_passes_officially_and_fails_rigidly(head_root: H3DS) -> None:
    big = head()
    big.apply_scale(1.2)
    evaluation = evaluate_mesh(head_root, SCENE, big)
    assert evaluation.official.face_mm < 0.01 and evaluation.official.head_mm < 0.01
    assert evaluation.official.face_icp_scale == pytest.approx(1 / 1.2, abs=1e-4)
    assert evaluation.official.head_icp_scale == pytest.approx(1 / 1.2, abs=1e-4)
    assert evaluation.rigid.head.mean_mm > 5.0
    assert any("scaled the mesh by 0.833" in warning for warning in evaluation.warnings)


def test_numpy_int_exists_only_around_the_call() -> None:
    assert "int" not in vars(np)
    with pytest.raises(RuntimeError), numpy_int():
        assert np.int is int
        with numpy_int():
            pass
        assert np.int is int
        raise RuntimeError
    assert "int" not in vars(np)


# --- report -----------------------------------------------------------------------------------------------------------


def test_evaluation_is_written_with_its_provenance_and_never_overwritten(head_root: H3DS, tmp_path: Path) -> None:
    prediction = wavy(head())
    evaluation = evaluate_mesh(head_root, SCENE, prediction, provenance={"method": "idr", "steps": 6000, "views": [0]})
    first = write_evaluation(tmp_path / "run" / "scores", evaluation, prediction, [photo_view()])
    before = {file.name: file.read_bytes() for file in first.iterdir()}
    assert first == tmp_path / "run" / "scores"
    assert sorted(before) == ["error_heatmap.ply", "evaluation.json", "evaluation.png", "head.ply"]
    assert write_evaluation(first, evaluation, prediction).name == "scores-2"
    assert write_evaluation(first, evaluation, prediction).name == "scores-3"
    assert {file.name: file.read_bytes() for file in first.iterdir()} == before

    content = json.loads(before["evaluation.json"])
    assert content["official"]["face_mm"] == evaluation.official.face_mm
    assert content["rigid"]["head"]["pred_to_gt"]["points"] == len(prediction.vertices)
    expected = {"scene": SCENE, "dataset_version": "test-1", "config_version": "test-1", "method": "idr", "steps": 6000}
    assert expected.items() <= content["provenance"].items()
    assert content["provenance"]["packages"]["h3ds"] and content["provenance"]["date"].startswith("20")
    heat = trimesh.load(first / "error_heatmap.ply", process=False)
    assert np.array_equal(heat.visual.vertex_colors[:, :3], error_colours(evaluation.rigid.pred_to_gt_mm, 5.0))


def test_a_coarse_mesh_is_warned_about_and_its_spacing_told(head_root: H3DS) -> None:
    evaluation = evaluate_mesh(head_root, SCENE, head())
    assert evaluation.face_spacing_mm == pytest.approx(6.0, abs=1.0)
    assert any("mm apart" in warning for warning in evaluation.warnings)
    divided = evaluate_mesh(head_root, SCENE, head(), halvings=1)
    assert divided.face_spacing_mm == pytest.approx(evaluation.face_spacing_mm / 2.0, rel=0.05)
    assert divided.official == official_scores(head_root, SCENE, head().subdivide())
    assert divided.rigid.head == evaluation.rigid.head
    mesh, scored = mesh_and_score(head_root, SCENE, lambda spacing_mm: head() if spacing_mm == 6.0 else sphere(), 3.0)
    assert scored.official == divided.official and len(mesh.vertices) == len(head().vertices)
    square = trimesh.Trimesh([[0, 0, 0], [2, 0, 0], [0, 2, 0], [90, 90, 0]], [[0, 1, 2], [1, 3, 2]], process=False)
    inside = np.array([True, True, True, False])
    assert mesh_spacing_mm(square, inside) == pytest.approx((2 + 2 + 8**0.5) / 3)
    assert np.isnan(mesh_spacing_mm(square, np.zeros(4, bool)))


def test_a_mesh_in_metres_far_away_or_of_an_unknown_scene_is_one_sentence(head_root: H3DS, tmp_path: Path) -> None:
    metres = head()
    metres.apply_scale(1e-3)
    with pytest.raises(InputError, match="metres"):
        evaluate_mesh(head_root, SCENE, metres)
    with pytest.raises(InputError, match="no scene.*nearest: 0123456789abcdef"):
        evaluate_mesh(head_root, "0123456789abcdee", head())
    incomplete = write_h3ds(tmp_path, head(2))
    (tmp_path / SCENE / "landmarks.txt").unlink()
    with pytest.raises(InputError, match="landmarks.txt is missing"):
        evaluate_mesh(incomplete, SCENE, head())


# --- pictures ---------------------------------------------------------------------------------------------------------


def camera(angle_deg: float = 0.0, side: int = 101) -> Pinhole:
    """A camera 500 mm from the origin, turned about +y; it sees the origin at pixel (50, 40)."""
    turn = np.radians(angle_deg)
    backward = np.array([np.sin(turn), 0.0, np.cos(turn)])
    right = np.array([np.cos(turn), 0.0, -np.sin(turn)])
    rotation = np.stack([right, [0.0, -1.0, 0.0], -backward])
    intrinsics = np.array([[150.0, 0.0, 50.0], [0.0, 150.0, 40.0], [0.0, 0.0, 1.0]])
    return Pinhole(intrinsics, rotation, np.array([0.0, 0.0, 500.0]), side, side)


def photo_view(angle_deg: float = 0.0, side: int = 101) -> PhotoView:
    return PhotoView(np.full((side, side, 3), 60, np.uint8), camera(angle_deg, side))


def test_a_rendered_sphere_has_its_outline_normals_and_colours() -> None:
    ball = sphere(100.0, subdivisions=5)
    ball.visual.vertex_colors = np.where(ball.vertices[:, :1] > 0, [250, 0, 0], [0, 0, 250]).astype(np.uint8)
    heat = error_colours(np.full(len(ball.vertices), 2.0), 5.0)
    seen = render(ball, heat, camera())
    row, column = np.nonzero((seen.heat != 255).any(axis=2))
    # Pixel centres at integers: half a pixel of offset would show in the centre of the outline.
    assert (column.mean(), row.mean()) == pytest.approx((50.0, 40.0), abs=0.05)
    radius_px = 150.0 * 100.0 / np.sqrt(500.0**2 - 100.0**2)
    assert len(row) == pytest.approx(np.pi * radius_px**2, rel=0.02)
    assert (seen.heat[row, column] == heat[0]).all()
    # x right is red, y up is green, towards the viewer is blue.
    assert np.allclose(seen.normals[40, 50], [127.5, 127.5, 255], atol=2)
    assert seen.normals[40, 75, 0] > 210 and seen.normals[15, 50, 1] > 210
    assert seen.colour[40, 60].tolist() == [250, 0, 0] and seen.colour[40, 40].tolist() == [0, 0, 250]


def test_heat_colours_grow_to_the_end_of_the_bar_and_stop_where_nothing_is_known() -> None:
    ball = sphere(100.0, subdivisions=1)
    distances_mm = np.linspace(0.0, 30.0, len(ball.vertices))
    colours = heatmap_mesh(ball, distances_mm).visual.vertex_colors[:, :3]
    assert (colours[distances_mm > 20.0] == UNKNOWN_GREY).all()
    assert len(np.unique(colours[(distances_mm >= 5.0) & (distances_mm <= 20.0)], axis=0)) == 1
    assert len(np.unique(colours[distances_mm < 5.0], axis=0)) == (distances_mm < 5.0).sum()


def test_three_sides_are_front_left_and_right_of_the_subject() -> None:
    cameras = [camera(angle) for angle in (170.0, -55.0, 15.0, 80.0, -5.0, 50.0, -90.0)]
    assert three_sides(cameras, np.zeros(3)) == [4, 5, 1]


@given(st.lists(st.floats(-180.0, 180.0), min_size=1, max_size=12))
def test_three_sides_are_the_nearest_in_angle(angles_deg: list[float]) -> None:
    chosen = three_sides([camera(angle) for angle in angles_deg], np.zeros(3))
    for index, wanted in zip(chosen, (0.0, 60.0, -60.0), strict=True):
        away = [abs((angle - wanted + 180.0) % 360.0 - 180.0) for angle in angles_deg]
        assert away[index] == pytest.approx(min(away), abs=1e-4)


def test_large_photos_are_reduced_and_still_fit_their_camera() -> None:
    full = photo_view(side=1100)
    small = full.reduced()
    assert small.image.shape == (367, 367, 3) == (small.camera.height, small.camera.width, 3)
    point = np.array([[30.0, -50.0, 20.0]])
    assert np.allclose(small.camera.project(point), full.camera.project(point) / 3.0)


def test_the_picture_shows_every_view_four_times(tmp_path: Path) -> None:
    mesh = head()
    views = [photo_view(angle) for angle in (0.0, 60.0, -60.0)]
    evaluation_picture(tmp_path / "picture.png", views, mesh, np.abs(mesh.vertices[:, 0]) / 20.0, "scores")
    picture = np.asarray(Image.open(tmp_path / "picture.png").convert("RGB")).astype(int)
    height, width = picture.shape[:2]
    assert height > 900 and width > 1300
    columns = np.split(picture[:, : width // 5 * 4], 4, axis=1)
    spread = [float(column.std()) for column in columns]
    assert min(spread) > 10.0 and len({round(value, 3) for value in spread}) == 4
