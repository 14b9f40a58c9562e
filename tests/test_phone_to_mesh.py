"""From phone photos without cameras, masks or a scale to a mesh in millimetres, by the commands of the README."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import trimesh
from processes import COARSE, QUICK_START, SMALL, call
from scipy.spatial.transform import Rotation

FACES = (0, 1, 2)
"""Views of five that show a face."""


@pytest.fixture(scope="module")
def photos(phone_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("own")
    (person,) = (path for path in phone_root.iterdir() if path.is_dir())
    folder = root / "photos"
    folder.mkdir()
    for number, photo in enumerate(sorted(person.glob("*.jpg"))):
        if number in FACES:
            shutil.copy(photo, folder)
    shutil.copytree(person / "truth", root / "truth")
    return folder


@pytest.fixture(scope="module")
def captured(photos: Path) -> tuple[Path, str]:
    return photos / "head", call("baseh3d", "capture", photos, "--pupils-mm", 62)


def rotations(transforms: Path) -> dict[str, Rotation]:
    """Camera to world, by the name of the photo."""
    frames = json.loads(transforms.read_text())["frames"]
    return {
        Path(frame["file_path"]).name: Rotation.from_matrix(np.array(frame["transform_matrix"])[:3, :3])
        for frame in frames
    }


def test_cameras_are_found_and_reported(photos, captured):
    head, said = captured
    assert "Cameras by landmarks" in said and "pupils 62 mm" in said and (head / "capture.png").is_file()
    ours, truth = rotations(head / "transforms.json"), rotations(photos.parent / "truth" / "transforms.json")
    assert len(ours) == 3
    front, *others = sorted(ours)
    for other in others:
        between = [found[front].inv() * found[other] for found in (ours, truth)]
        assert np.degrees((between[0].inv() * between[1]).magnitude()) < 8.0


def test_a_mesh_stands_upright_in_millimetres(captured, tmp_path):
    head, _ = captured
    names = ["--output-dir", tmp_path, "--experiment-name", "t", "--timestamp", "t"]
    call("ns-train", "baseh3d-fast", *SMALL, *COARSE, *QUICK_START, *names, "--epochs", 4, "--data", head, "head-data")
    run = tmp_path / "t" / "baseh3d-fast" / "t"
    call("baseh3d", "export", "--load-config", run, "--output", tmp_path / "me.stl", "--spacing-mm", 4.0)
    mesh = trimesh.load(tmp_path / "me.stl")
    assert mesh.is_watertight and (mesh.extents > 150.0).all() and (mesh.extents < 450.0).all()
    assert mesh.extents[1] == max(mesh.extents)
    said = call("baseh3d", "evaluate", "--load-config", run, "--spacing-mm", 4.0)
    assert "no accuracy" in said and (run / "evaluation" / "evaluation.json").is_file()
