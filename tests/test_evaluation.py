"""The scores against closed forms and against a plain call of `h3ds`, on a small H3DS dataset made here."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import trimesh
from egg_head import SCENE, camera, head, photo_view, sphere, wavy, write_h3ds
from h3ds.numeric import unidirectional_chamfer_distance

from baseh3d_ns.data.h3ds_package import H3DS, PackagedH3DS
from baseh3d_ns.errors import InputError
from baseh3d_ns.evaluation import write
from baseh3d_ns.evaluation.distance import Surface
from baseh3d_ns.evaluation.icp import align_rigidly
from baseh3d_ns.evaluation.official import official_scores, to_h3ds_mesh
from baseh3d_ns.evaluation.pictures import error_colours
from baseh3d_ns.evaluation.rigid import DistanceSummary, rigid_scores
from baseh3d_ns.evaluation.scores import evaluate_mesh, mesh_and_score, mesh_spacing_mm
from baseh3d_ns.evaluation.write import write_evaluation


@pytest.fixture(scope="module")
def head_root(tmp_path_factory: pytest.TempPathFactory) -> H3DS:
    return write_h3ds(tmp_path_factory.mktemp("h3ds"), head())


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


def test_what_no_photo_can_show_is_left_out_of_the_shown_face(tmp_path: Path) -> None:
    """A ball within the scan's head, which two cameras look at and no prediction has."""
    hidden = sphere(20.0, subdivisions=3)
    hidden.apply_translation([0.0, 0.0, 50.0])
    root = write_h3ds(tmp_path, trimesh.util.concatenate([head(), hidden]))
    assert rigid_scores(root, SCENE, head()).shown_face is None  # no cameras
    matrices = {f"world_mat_{view}": camera(angle_deg).world_mat for view, angle_deg in enumerate((-10.0, 10.0))}
    np.savez(tmp_path / SCENE / "cameras.npz", scale_mat_0=np.diag([130.0, 130.0, 130.0, 1.0]), **matrices)
    assert rigid_scores(root, SCENE, head()).shown_face is None  # one camera
    config = tmp_path / "config.toml"
    config.write_text(config.read_text().replace("views = 1", "views = 2"))
    scores = rigid_scores(H3DS(str(tmp_path), config_path=str(config)), SCENE, head())
    assert scores.face.gt_to_pred.mean_mm > 1.0
    assert scores.shown_face is not None and scores.shown_face.mean_mm < 0.01
    assert scores.shown_face.points == scores.face.gt_to_pred.points - len(hidden.vertices)


# --- official ---------------------------------------------------------------------------------------------------------


def test_official_numbers_are_those_of_a_plain_call_to_the_last_bit(head_root: H3DS, monkeypatch) -> None:
    prediction = wavy(head(subdivisions=5))
    scores = official_scores(head_root, SCENE, prediction)
    # The package's own readers want what NumPy dropped in 1.24.
    monkeypatch.setattr(np, "int", int, raising=False)
    plain = PackagedH3DS(head_root.path, head_root.config_path)
    face, _, _, _ = plain.evaluate_scene(SCENE, to_h3ds_mesh(prediction), region_id="face_sphere")
    whole, _, _, _ = plain.evaluate_scene(SCENE, to_h3ds_mesh(prediction))
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


def test_two_evaluations_that_end_together_do_not_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Neither while one draws its picture nor while one writes."""
    free, both = write._free_folder, threading.Barrier(2)

    def slowly(folder: Path) -> Path:
        chosen = free(folder)
        time.sleep(0.2)
        return chosen

    def drawn(path: Path) -> None:
        both.wait(timeout=20.0)
        path.write_bytes(b"picture")

    monkeypatch.setattr(write, "_free_folder", slowly)
    scores = [json.dumps(number).encode() for number in range(2)]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda one: write.write_files(tmp_path / "e", {write.SCORES: one}, drawn), scores))
    assert sorted(path.name for path in found) == ["e", "e-2"]
    for folder, score in zip(found, scores, strict=True):
        assert (folder / write.SCORES).read_bytes() == score and (folder / write.PICTURE).read_bytes() == b"picture"


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
    for factor, words in (
        (1 / 25.4, "in inches: multiply its coordinates by 25.4"),
        (25.4, "times 25.4, as if it had been in inches"),
        (0.1, "in centimetres"),
    ):
        odd = head()
        odd.apply_scale(factor)
        with pytest.raises(InputError, match=words):
            evaluate_mesh(head_root, SCENE, odd)
    with pytest.raises(InputError, match="no scene.*nearest: 0123456789abcdef"):
        evaluate_mesh(head_root, "0123456789abcdee", head())
    incomplete = write_h3ds(tmp_path, head(2))
    (tmp_path / SCENE / "landmarks.txt").unlink()
    with pytest.raises(InputError, match="landmarks.txt is missing"):
        evaluate_mesh(incomplete, SCENE, head())
