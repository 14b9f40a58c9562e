"""Landmarks and regions that do not fit are noticed; the scores themselves stay what they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh
from egg_head import SCENE, head, wavy, write_h3ds
from tiny_root import SCENE as TINY

from baseh3d_ns.data.h3ds_package import H3DS
from baseh3d_ns.data.h3ds_root import open_h3ds
from baseh3d_ns.data.h3ds_scene import load_scene
from baseh3d_ns.evaluation.scan_checks import doubts_of_alignment, misfits_of_scan, misfits_with_photos
from baseh3d_ns.evaluation.scores import evaluate_mesh


def with_robe() -> trimesh.Trimesh:
    """The egg head, with a collar before its chin that no photo calls head."""
    collar = trimesh.creation.box([130.0, 40.0, 8.0]).subdivide_to_size(16.0)
    collar.apply_translation([0.0, -70.0, 80.0])
    return trimesh.util.concatenate([head(), collar])


def doubts(warnings) -> list[str]:
    return [said for said in warnings if "as for the official head score" in said]


def test_a_robe_counted_as_face_is_noticed(tmp_path: Path):
    robed = write_h3ds(tmp_path / "robed", with_robe())
    evaluation = evaluate_mesh(robed, SCENE, head())
    assert len(doubts(evaluation.warnings)) == 1
    assert evaluation.rigid.rotation_deg < 0.1 and evaluation.rigid.shift_mm < 0.1
    assert evaluation.rigid.face.gt_to_pred.mean_mm > 2.0  # the collar counts, but moves nothing
    assert any("make up most of its face error" in said for said in evaluation.warnings)
    clean = write_h3ds(tmp_path / "clean", head())
    assert doubts_of_alignment(clean, SCENE, wavy(head()), np.eye(4)) == []


def test_landmarks_and_regions_that_contradict_each_other(tmp_path: Path):
    h3ds = write_h3ds(tmp_path, head())
    assert misfits_of_scan(h3ds, SCENE) == []
    vertices = h3ds.load_mesh(SCENE).vertices
    back = int(vertices[:, 2].argmin())
    landmarks = tmp_path / SCENE / "landmarks.txt"
    written = landmarks.read_text()
    landmarks.write_text(written.replace(f"left_eye {h3ds.load_landmarks(SCENE)['left_eye']}", f"left_eye {back}"))
    (said,) = misfits_of_scan(h3ds, SCENE)
    assert "left_eye" in said
    landmarks.write_text(written.replace(f"nose_tip {h3ds.load_landmarks(SCENE)['nose_tip']}", f"nose_tip {back}"))
    said = " ".join(misfits_of_scan(h3ds, SCENE))
    assert "outside region 'face'" in said and "counts more than a face" in said


def test_a_scan_cut_off_between_two_faces_is_doubted(tmp_path: Path):
    h3ds = write_h3ds(tmp_path, head())
    path = tmp_path / SCENE / "full_head.obj"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for number, line in enumerate(lines) if number < 0.75 * len(lines)))
    cut = H3DS(h3ds.path, h3ds.config_path)
    assert any("belong to no face" in said for said in misfits_of_scan(cut, SCENE))


@pytest.mark.parametrize(
    ("shift_mm", "said"),
    [((0, 0, 0), []), ((60, 0, 0), ["off the masks"]), ((0, -80, 0), ["outside the ball", "off the masks"])],
)
def test_a_scan_that_the_photos_do_not_show(own_root: Path, shift_mm, said: list[str]):
    scan = own_root / TINY / "full_head.obj"
    lines = [line.split() for line in scan.read_text().splitlines()]
    moved = [
        " ".join(["v", *map(str, np.array(line[1:], float) + shift_mm)]) if line[0] == "v" else " ".join(line)
        for line in lines
    ]
    scan.write_text("\n".join(moved) + "\n")
    root = open_h3ds(own_root)
    found = misfits_with_photos(root.h3ds, load_scene(root, TINY))
    assert all(any(words in one for words in said) for one in found)
    assert all(any(words in one for one in found) for words in said)
    assert not found or np.all([one.endswith(".") for one in found])
