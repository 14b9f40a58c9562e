"""Any scan of a head: files in any unit, worlds that have nothing to do with the head's, parts that are missing."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from egg_head import head, sphere, wavy
from scipy.spatial.transform import Rotation
from trimesh.exchange.ply import export_ply

from baseh3d_ns.data.head_size import likely_unit
from baseh3d_ns.errors import InputError
from baseh3d_ns.evaluation import any_scan, global_alignment
from baseh3d_ns.evaluation.any_scan import ScaleAligned, ScanScores, score_against_scan, score_with_likely_nose
from baseh3d_ns.evaluation.distance import Surface
from baseh3d_ns.evaluation.evaluate_run import evaluate_run
from baseh3d_ns.evaluation.global_alignment import spread_rotations
from baseh3d_ns.evaluation.icp import REACH, SHARE, align_by_similarity, align_plainly, align_rigidly, descend
from baseh3d_ns.evaluation.nose import nose_tips
from baseh3d_ns.evaluation.protocol import FACE_RADIUS_MM
from baseh3d_ns.evaluation.rigid import RigidScores, TwoWayDistances
from baseh3d_ns.evaluation.scan_file import read_scan
from baseh3d_ns.evaluation.scan_run import score_with_scan, views_of_scan
from baseh3d_ns.evaluation.write import SCORES, write_files
from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.heads.opened import OpenedHead
from baseh3d_ns.heads.readers import BUILTIN, open_head
from baseh3d_ns.mesh.extract import mesh_of_head
from baseh3d_ns.mesh.files import save_mesh

FRAME = SceneFrame((0.0, 0.0, 0.0), 150.0)
NOSE = np.array([0.0, 0.0, 105.0])


@pytest.fixture
def quick(monkeypatch):
    """A coarser search: the egg's nose is a landmark that persons lack."""
    for name, value in {"ROTATIONS": 200, "CANDIDATES": 6, "LEAST_VOXEL_MM": 16.0, "SCAN_POINTS": 10_000}.items():
        monkeypatch.setattr(global_alignment, name, value)
    monkeypatch.setattr(any_scan, "SCAN_POINTS", 8_000)
    monkeypatch.setattr(any_scan, "ALIGNED_POINTS", 800)


def moved(mesh: trimesh.Trimesh, degrees: float = 137.0) -> tuple[trimesh.Trimesh, np.ndarray]:
    """The mesh in another world, and the motion there."""
    motion = trimesh.transformations.rotation_matrix(np.radians(degrees), [0.3, 1.0, -0.6])
    motion[:3, 3] = [700.0, -300.0, 250.0]
    mesh = mesh.copy()
    return mesh.apply_transform(motion), motion


def test_a_scan_in_another_world_is_found_and_scored(quick):
    scan, motion = moved(head())
    prediction = wavy(head())
    scores = score_against_scan(prediction, scan, NOSE, FRAME)
    assert np.allclose(scores.rigid.pred_to_world, motion, atol=1.0)
    at_home = score_against_scan(prediction, head(), NOSE, FRAME).rigid
    assert scores.rigid.face.mean_mm == pytest.approx(at_home.face.mean_mm, abs=0.05) and at_home.face.mean_mm > 0.2
    assert at_home.rotation_deg < 2.0 and not scores.warnings and scores.covered_face == 1.0


def test_a_scan_in_another_world_is_found_beside_other_things(quick):
    """ICP alone, from where the scan lies, ends on the table that stands where the head is."""
    scan, motion = moved(head())
    table = trimesh.creation.box([300.0, 10.0, 300.0])
    scores = score_against_scan(wavy(head()), trimesh.util.concatenate([scan, table]), NOSE, FRAME)
    assert np.allclose(scores.rigid.pred_to_world, motion, atol=3.0)


def test_a_head_is_found_on_its_torso(monkeypatch):
    """Many wrong rotations look as promising on voxels as coarse as a large scan divided by a few."""
    monkeypatch.setattr(global_alignment, "ROTATIONS", 200)
    person = mesh_of_head(open_head(BUILTIN), BUILTIN, 6.0, torch.device("cpu"))
    vertices = person.vertices.view(np.ndarray)
    face = vertices[np.linalg.norm(vertices - nose_tips(person, np.eye(3))[0], axis=1) < FACE_RADIUS_MM]
    torso = sphere(1.0)
    torso.apply_scale([220.0, 330.0, 130.0])
    torso.apply_translation(vertices.mean(axis=0) - [0.0, 460.0, 0.0])
    scan, motion = moved(trimesh.util.concatenate([person, torso]), degrees=20.0)
    assert np.allclose(global_alignment.align_from_anywhere(face, scan, Surface(scan)), motion, atol=1.0)


def test_half_a_head_that_lies_on_the_head_stays_there(quick):
    """A wrong place holds as much of the face as the right one, or more."""
    person = mesh_of_head(open_head(BUILTIN), BUILTIN, 6.0, torch.device("cpu"))
    vertices, tip = person.vertices.view(np.ndarray), nose_tips(person, np.eye(3))[0]
    face = vertices[np.linalg.norm(vertices - tip, axis=1) < FACE_RADIUS_MM]
    scan = person.copy()
    scan.update_faces(scan.triangles_center[:, 0] > tip[0])
    motion = global_alignment.align_from_anywhere(face, scan, Surface(scan))
    assert np.linalg.norm(trimesh.transform_points(face, motion) - face, axis=1).mean() < 3.0


def test_icp_starts_with_the_face_on_the_scan(quick):
    scan, motion = moved(head())
    face = head().vertices.view(np.ndarray)
    face = face[np.linalg.norm(face - NOSE, axis=1) < FACE_RADIUS_MM]
    there = trimesh.transform_points(face, motion)
    starts = global_alignment._starts(face, scan)
    away_mm = [np.linalg.norm(trimesh.transform_points(face, start) - there, axis=1).mean() for start in starts]
    assert min(away_mm) < 30.0


def test_the_size_counts_in_the_score_and_is_told_beside_it(quick):
    large = head()
    large.apply_scale(1.05)
    scores = score_against_scan(large, moved(head())[0], 1.05 * NOSE, FRAME)
    assert scores.rigid.face.mean_mm > 0.3 and scores.rigid.head.mean_mm > 1.5
    assert scores.scale_aligned.scale == pytest.approx(1.0 / 1.05, abs=2e-3)
    assert scores.scale_aligned.face_mm < 0.1 * scores.rigid.face.mean_mm


def test_what_lies_outside_the_ball_does_not_count(quick):
    table = trimesh.creation.box([300.0, 10.0, 300.0])
    table.apply_translation([0.0, -170.0, 0.0])
    with_table = score_against_scan(head(), trimesh.util.concatenate([head(), table]), NOSE, FRAME)
    assert with_table.rigid.head.gt_to_pred.mean_mm < 0.2


def test_a_scan_of_half_a_face_and_one_of_something_else_are_doubted(quick):
    half = head()
    half.update_faces((half.triangles_center[:, 1] > -15.0) & (half.triangles_center[:, 2] > 0.0))
    assert any("covers only" in said for said in score_against_scan(head(), half, NOSE, FRAME).warnings)
    box = trimesh.creation.box([40.0, 250.0, 40.0]).subdivide_to_size(20.0)
    assert any("does not fit" in said for said in score_against_scan(head(4), box, NOSE, FRAME).warnings)


def test_a_size_that_is_far_off_is_doubted(quick):
    for factor, said in ((1.1, "its size times 0.91"), (1.6, "No size like its own")):
        large = head()
        large.apply_scale(factor)
        frame = SceneFrame((0.0, 0.0, 0.0), 150.0 * factor)
        warnings = score_against_scan(large, head(), factor * NOSE, frame).warnings
        assert any(said in one and "--unit" in one for one in warnings), warnings


def head_scores(away_mm: float) -> RigidScores:
    """Scores with a face that fits, and a head that lies so far away everywhere."""
    face, whole = (TwoWayDistances.of(np.full(10, mm), np.full(10, mm)) for mm in (1.0, away_mm))
    return RigidScores(face, whole, 0.0, 0.0, np.eye(4), np.full(10, away_mm))


def test_a_size_that_is_a_few_per_cent_off_is_no_end_of_the_scan():
    (said,) = any_scan._warnings(head_scores(6.0), ScaleAligned(1.05, 0.1, 0.1), 1.0, 0.8)
    assert said.startswith("The head fits better with its size times 1.05")
    (said,) = any_scan._warnings(head_scores(3.0), ScaleAligned(1.003, 1.0, 3.0), 1.0, 0.8)
    assert "the scan ends before the head" in said


def test_a_scan_in_a_wrong_place_is_said_to_be():
    (said,) = any_scan._warnings(head_scores(25.0), ScaleAligned(1.0, 1.0, 25.0), 0.97, 0.25)
    assert "aligned wrongly" in said and "head.ply" in said
    (said,) = any_scan._warnings(head_scores(25.0), ScaleAligned(0.78, 1.0, 12.0), 0.97, 0.25)
    assert "aligned wrongly" in said
    (said,) = any_scan._warnings(head_scores(2.0), ScaleAligned(1.0, 1.0, 2.0), 0.97, 0.25)
    assert "aligned wrongly" not in said


def test_a_scan_of_the_face_alone_says_which_direction_to_read(quick):
    """From the back of the head to a scan that has none are many millimetres, which say nothing of the head."""
    face = head()
    face.update_faces(np.linalg.norm(face.triangles_center - NOSE, axis=1) < FACE_RADIUS_MM)
    scores = score_against_scan(head(), face, NOSE, FRAME)
    (said,) = scores.warnings
    assert scores.covered_face > 0.9 > scores.covered_head and scores.rigid.head.mean_mm > 5.0
    assert f"{100.0 * scores.covered_head:.0f} % of the head" in said and said.endswith("alone, 0.00 mm.")


def test_a_scan_that_goes_on_below_the_head_says_which_direction_to_read(quick):
    shoulders = sphere(60.0)
    shoulders.apply_scale([1.8, 0.5, 1.0])
    shoulders.apply_translation([0.0, -128.0, 0.0])
    scores = score_against_scan(head(), trimesh.util.concatenate([head(), shoulders]), NOSE, FRAME)
    (said,) = scores.warnings
    assert scores.rigid.head.mean_mm > 1.0 and "goes on" in said and said.endswith("alone, 0.00 mm.")


def test_a_head_against_its_own_export_and_what_is_written(quick, tmp_path):
    mesh = mesh_of_head(open_head(BUILTIN), BUILTIN, 8.0, torch.device("cpu"))
    save_mesh(mesh, tmp_path / "me.glb")
    run = score_with_scan(OpenedHead.read(BUILTIN), tmp_path / "me.glb", None, tmp_path / "out", 4.0)
    assert run.scores.rigid.face.mean_mm < 0.1 and run.warnings == ()
    known = json.loads((run.folder / "evaluation.json").read_text())["provenance"]
    assert known["scan_unit"] == "m" and np.allclose(known["scan_extents_mm"], mesh.extents, atol=0.01)


def test_a_shape_space_is_scored_against_a_scan_alone(tmp_path):
    """It has no scene, and no photos."""
    with pytest.raises(InputError, match=r"is a shape space, no person's head: fit a head from it .* --scan"):
        evaluate_run(OpenedHead.read(BUILTIN), tmp_path / "out", 4.0)
    for said in ({"data": tmp_path}, {"scene": "scan0"}):
        with pytest.raises(InputError, match="builtin is a shape space and has seen no photo: leave"):
            OpenedHead.read(BUILTIN, **said)


def test_a_folder_that_cannot_be_written_to_is_said_before_anything_is_read(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "scores"):
        with pytest.raises(InputError, match="is no folder you may write to"):
            evaluate_run(OpenedHead.read(BUILTIN), folder, 4.0, tmp_path / "no.ply")
    with pytest.raises(InputError, match=r"no\.ply"):
        evaluate_run(OpenedHead.read(BUILTIN), tmp_path / "out", 4.0, tmp_path / "no.ply")
    assert not (tmp_path / "out").exists()


def test_every_rotation_is_near_one_of_those_spread():
    spread = Rotation.from_matrix(spread_rotations(600))
    away = [(spread.inv() * one).magnitude().min() for one in Rotation.random(50, random_state=1)]
    assert np.degrees(max(away)) < 30.0


def test_the_tip_of_the_nose_wherever_the_head_faces():
    turn = Rotation.from_euler("xyz", [20.0, 130.0, -40.0], degrees=True).as_matrix()
    mesh = head()
    assert np.linalg.norm(nose_tips(mesh, np.eye(3))[0] - mesh.vertices[mesh.vertices[:, 2].argmax()]) < 6.0
    turned = mesh.copy()
    turned.vertices = turned.vertices @ turn.T
    assert np.allclose(nose_tips(turned, turn.T)[0], turn @ nose_tips(mesh, np.eye(3))[0], atol=1e-6)


@pytest.mark.parametrize("height_mm", [-105.0, -115.0])
def test_debris_that_stands_out_more_than_the_nose_is_not_aligned_on(height_mm: float, quick):
    scan, motion = moved(head())
    debris = sphere(20.0, 2)
    debris.vertices = debris.vertices * [1.0, 1.0, 2.5] + [0.0, height_mm, 60.0]
    prediction = trimesh.util.concatenate([wavy(head()), debris])
    tips = nose_tips(prediction, np.eye(3))
    assert np.linalg.norm(tips[0] - NOSE) > 90.0 and np.linalg.norm(tips[1:] - NOSE, axis=1).min() < 6.0
    scores = score_with_likely_nose(prediction, scan, tips, FRAME)
    assert np.allclose(scores.rigid.pred_to_world, motion, atol=1.0) and scores.rigid.face.mean_mm < 1.0
    assert np.linalg.norm(scores.nose_tip - NOSE) < 6.0


def test_another_tip_of_the_nose_counts_where_the_scan_fits_much_better_by_it(quick, monkeypatch):
    """A chin fits as well as the nose, to a hair, and nothing may lie near the first tip."""
    true = score_against_scan(wavy(head()), head(), NOSE, FRAME)
    assert not true.is_doubtful and replace(true, covered_face=0.5).is_doubtful

    def scores(median_mm: float, covered: float) -> ScanScores:
        gt_to_pred = replace(true.rigid.head.gt_to_pred, median_mm=median_mm)
        rigid = replace(true.rigid, head=replace(true.rigid.head, gt_to_pred=gt_to_pred))
        return replace(true, rigid=rigid, covered_face=covered)

    def chosen(*by_tip: ScanScores | None) -> tuple[int, int]:
        """Number of the chosen tip, and how many were tried."""
        tried = []

        def score(_: object, __: object, nose_tip: np.ndarray, ___: object) -> ScanScores:
            tried.append(found := by_tip[int(nose_tip[0])])
            if found is None:
                raise InputError("no surface")
            return found

        monkeypatch.setattr(any_scan, "score_against_scan", score)
        tips = np.arange(len(by_tip))[:, None] * np.ones(3)
        return by_tip.index(score_with_likely_nose(head(), head(), tips, FRAME)), len(tried)

    half, chin, good = scores(1.0, 0.5), scores(0.9, 1.0), scores(0.4, 1.0)
    assert chosen(scores(5.9, 0.9), good) == (0, 1)
    assert chosen(half, chin, chin) == (0, 3) and chosen(half, chin, good) == (2, 3)
    assert chosen(scores(20.0, 1.0), scores(11.0, 1.0)) == (0, 2) and chosen(scores(20.0, 1.0), half) == (1, 2)
    assert chosen(scores(20.0, 1.0), scores(1.0, 0.5), scores(1.1, 1.0), scores(0.9, 1.0)) == (2, 4), (
        "where it is covered"
    )
    assert chosen(None, chin, good) == (1, 2) and chosen(None, half, good) == (2, 3)
    with pytest.raises(InputError, match="no surface"):
        chosen(None)


def test_robust_icp_ignores_what_has_no_counterpart_and_a_similarity_finds_the_size():
    surface = Surface(head())
    motion = trimesh.transformations.rotation_matrix(np.radians(3.0), [0.2, 1.0, 0.1])
    points = trimesh.transform_points(head().vertices, motion)
    points[::5] += [0.0, 0.0, 30.0]
    back = np.linalg.inv(motion)
    assert np.abs(align_plainly(points, surface) - back)[:3, 3].max() > 2.0
    assert np.allclose(align_rigidly(points, surface), back, atol=0.05)
    larger = 1.04 * head().vertices.view(np.ndarray)
    larger[::5] += [0.0, 0.0, 60.0]
    smaller = align_by_similarity(larger, surface)
    assert np.cbrt(np.linalg.det(smaller[:3, :3])) == pytest.approx(1.0 / 1.04, abs=2e-3)


@pytest.mark.parametrize("off_mm", [5.0, 8.0, 30.0])
def test_hair_that_the_fit_lacks_turns_no_head_wherever_it_starts(off_mm: float):
    surface, points = Surface(head()), head().vertices.view(np.ndarray).copy()
    hair = points[:, 1] > np.quantile(points[:, 1], 0.8)
    points[hair] += off_mm * points[hair] / np.linalg.norm(points[hair], axis=1, keepdims=True)
    start = trimesh.transformations.rotation_matrix(np.radians(2.0), [1.0, 0.3, 0.1])
    start[:3, 3] = [2.0, -3.0, 3.0]
    for begin in (np.eye(4), start):
        end = align_rigidly(trimesh.transform_points(points, begin), surface) @ begin
        assert np.abs(trimesh.transform_points(points, end) - points).max() < 1.0


def test_a_head_of_the_wrong_size_is_not_fitted_on_one_side_alone():
    points, surface = 1.05 * head().vertices.view(np.ndarray), Surface(head())
    robust, trimmed = align_rigidly(points, surface), descend(points, surface, share=SHARE)
    # All points count, as in plain ICP. (From a few points first, as both begin, the processor decides where they end.)
    assert np.array_equal(descend(points, surface, reach=REACH), descend(points, surface))
    far, near = (np.abs(trimesh.transform_points(points, motion) - points).max() for motion in (trimmed, robust))
    assert near < 2.0 < 10.0 < far


def test_scan_and_head_are_shown_from_the_same_sides():
    ball = sphere(60.0)
    views = views_of_scan(ball, np.eye(3), FRAME)
    for view, x in zip(views, (0.0, 1.0, -1.0), strict=True):
        row, column = np.nonzero((view.image != 255).any(axis=2))
        assert (row.mean(), column.mean()) == pytest.approx([(view.camera.height - 1) / 2] * 2, abs=0.6)
        assert np.sign(round(view.camera.centre_mm[0])) == x and view.camera.centre_mm[2] > 0.0


def test_an_evaluation_in_the_folder_one_stands_in_replaces_nothing(tmp_path: Path, monkeypatch):
    """`--output-dir .`, where an export has left its head.ply: `.` has no name to put a number behind."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("head.ply").write_bytes(b"exported")
    assert write_files(Path("."), {SCORES: b"{}"}) == tmp_path / "here-2"
    assert Path("head.ply").read_bytes() == b"exported" and (tmp_path / "here-2" / SCORES).read_bytes() == b"{}"


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("suffix", "factor", "unit"), [(".glb", 1e-3, None), (".obj", 0.1, "cm"), (".stl", 1.0, None)])
def test_a_scan_is_read_in_millimetres(suffix: str, factor: float, unit, tmp_path: Path):
    mesh = head(2)
    mesh.apply_scale(factor).export(tmp_path / f"scan{suffix}")
    read = read_scan(tmp_path / f"scan{suffix}", unit)
    assert np.allclose(np.sort(read.bounds, axis=0), head(2).bounds, atol=1e-2) and len(read.faces) == len(mesh.faces)


@pytest.mark.parametrize(
    ("sign", "change"), [("tabs", ("\t", " ")), ("comments", ("  # end\n", "\n")), ("mark", ("\ufeffv", "v"))]
)
def test_an_obj_of_any_hand_is_read(sign: str, change: tuple[str, str], tmp_path: Path):
    """trimesh alone finds no faces, or nothing at all, in these files."""
    plain, path = head(2).export(file_type="obj", include_normals=False), tmp_path / f"{sign}.obj"
    written, usual = change
    plain = plain[plain.index("v ") :]
    path.write_text(plain.replace(usual, written, 1 if sign == "mark" else -1), encoding="utf-8")
    read = read_scan(path, None)
    assert np.allclose(read.vertices, head(2).vertices, atol=1e-4) and np.array_equal(read.faces, head(2).faces)


def test_relative_numbers_of_an_obj_count_from_their_face(tmp_path: Path):
    """trimesh counts them from the end of the file, so that all groups but the last are torn."""
    lines = []
    for part in np.array_split(head(1).triangles, 3):
        lines += [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in part.reshape(-1, 3)]
        lines += [f"f {first} {first + 1} {first + 2}" for first in range(-3 * len(part), 0, 3)]
    (tmp_path / "groups.obj").write_text("\n".join(lines) + "\n")
    read = read_scan(tmp_path / "groups.obj", None)
    np.testing.assert_allclose(read.triangles, head(1).triangles, atol=1e-5)


def test_a_scan_that_single_precision_has_rounded_is_refused(tmp_path: Path):
    """Coordinates of a map in metres: 500 km east, 5400 km north. A binary .ply may hold them either way."""
    far = head(2)
    far.apply_scale(1e-3)
    far.apply_translation([500_000.1, 5_400_000.4, 312.7])
    far.export(tmp_path / "single.ply", vertex_normal=False)
    with pytest.raises(
        InputError, match=r"single\.ply .* rounded it to 500 mm: export it near the origin, or in double"
    ):
        read_scan(tmp_path / "single.ply", "m")
    far.export(tmp_path / "far.obj", digits=6)
    read = read_scan(tmp_path / "far.obj", "m")
    assert np.allclose(read.extents, head(2).extents, atol=0.01)


def test_parts_of_a_scene_lie_where_it_places_them(tmp_path: Path):
    scene = trimesh.Scene()
    for x in (-0.1, 0.1):
        scene.add_geometry(sphere(0.05, 1), transform=trimesh.transformations.translation_matrix([x, 0.0, 0.0]))
    scene.export(tmp_path / "two.glb")
    assert read_scan(tmp_path / "two.glb", None).extents[0] == pytest.approx(300.0, abs=1.0)


def ply(vertices: str, faces: int) -> bytes:
    head_lines = "ply\nformat ascii 1.0\nelement vertex 3\n" + "".join(f"property float {x}\n" for x in "xyz")
    table = "element face 1\nproperty list uchar int vertex_indices\n" if faces else ""
    return (head_lines + table + "end_header\n" + vertices + ("3 0 1 2\n" if faces else "")).encode()


def half_of_lines(content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    return b"".join(lines[: len(lines) // 2])


def triangle_and_quad() -> bytes:
    """A binary .ply, as Blender writes polygons."""
    header = "ply\nformat binary_little_endian 1.0\nelement vertex 4\nproperty float x\nproperty float y\n"
    header += "property float z\nelement face 2\nproperty list uchar int vertex_indices\nend_header\n"
    corners = np.array([[0, 0, 0], [90, 0, 0], [90, 90, 0], [0, 90, 0]], "<f4").tobytes()
    return header.encode() + corners + struct.pack("<B3iB4i", 3, 0, 1, 2, 4, 0, 1, 2, 3)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("scan.txt", b"1 2 3", "no mesh format"),
        ("scan.npz", b"PK", "no mesh format"),
        ("scan.ply", b"", "empty, damaged or no mesh"),
        ("scan.glb", b"glTF nonsense", "empty, damaged or no mesh"),
        (
            "scan.glb",
            b'glTF {"extensionsRequired":["KHR_draco_mesh_compression"]}',
            "is compressed .Draco or meshopt.: exp",
        ),
        ("scan.obj", b"hello\n", "holds no surface"),
        ("scan.obj", b"v 1 2\nv 3 4\nv 5 7\nf 1 2 3\n", "no vertex, which is three numbers"),
        ("scan.obj", head(1).export(file_type="obj").encode()[:-305], "is cut off: its last line has no end, and"),
        ("scan.ply", triangle_and_quad(), "a binary .ply with nothing but triangles"),
        ("scan.ply", ply("0 0 0\n90 0 0\n0 90 0\n", 0), "points but no faces"),
        ("scan.stl", head(1).export(file_type="stl")[:1000], "points but no faces, or is cut off"),
        ("scan.ply", half_of_lines(export_ply(head(1), encoding="ascii")), "cut off: it holds 56 of the 122 vertices"),
        ("scan.off", half_of_lines(head(1).export(file_type="off").encode()), "cut off: it holds .* of the 122 "),
        ("scan.ply", ply("0 0 0\n90 nan 0\n0 90 0\n", 1), "not finite"),
        ("scan.ply", ply("0 0 0\n0.2 0 0\n0 0.3 0\n", 1), "pass --unit m$"),
        ("scan.ply", ply("0 0 0\n20 0 0\n0 28 0\n", 1), "pass --unit cm$"),
        ("person.ply", ply("0 0 0\n1.1 0 0\n0 1.6 0\n", 1), "pass --unit m$"),
    ],
)
def test_a_bad_scan_is_one_sentence(name: str, content: bytes, said: str, tmp_path: Path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said) as refused:
        read_scan(tmp_path / name, None)
    assert name in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(("extent", "unit"), [(280.0, "mm"), (28.0, "cm"), (0.28, "m"), (11.0, "in"), (1e-6, None)])
def test_the_unit_of_a_head_is_known_by_its_size(extent: float, unit: str | None):
    assert likely_unit(extent) == unit


def test_a_scan_that_is_not_there_or_in_the_wrong_unit(tmp_path: Path):
    with pytest.raises(InputError, match="no such file"):
        read_scan(tmp_path / "scan.ply", None)
    head(2).export(tmp_path / "scan.ply")
    with pytest.raises(InputError, match="read in m it is .* pass --unit mm$"):
        read_scan(tmp_path / "scan.ply", "m")
    head(2).apply_scale(20.0).export(tmp_path / "person.ply")
    with pytest.raises(InputError, match="person.ply: read in mm it is .*; or cut the head out, if it shows more than"):
        read_scan(tmp_path / "person.ply", None)
