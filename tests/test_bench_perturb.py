"""Changed copies of scenes: what was to change has, and the head is where its photos and its scan say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_root import SCENE

from baseh3d_ns.benchmark.perturb import CHANGES, perturb
from baseh3d_ns.data.h3ds_root import open_h3ds
from baseh3d_ns.data.h3ds_scene import H3dsScene, load_scene
from baseh3d_ns.data.pictures import read_mask, read_photo
from baseh3d_ns.errors import InputError


def opened(root: Path) -> tuple[H3dsScene, np.ndarray, np.ndarray]:
    """A scene, the vertices of its scan in mm, and those of its face."""
    h3ds_root = open_h3ds(root)
    scan = h3ds_root.h3ds.load_mesh(SCENE)
    face = h3ds_root.h3ds.load_region(SCENE, "face")
    return load_scene(h3ds_root, SCENE), np.asarray(scan.vertices), np.asarray(scan.vertices)[face]


def seen(scene: H3dsScene, points_mm: np.ndarray) -> float:
    """Smallest share of those points that lie in a mask of the scene."""
    shares = []
    for view in scene.views:
        columns, rows = np.rint(view.camera.project(points_mm)).astype(int).T
        mask = read_mask(view.mask_path)
        shares.append(mask[rows.clip(0, mask.shape[0] - 1), columns.clip(0, mask.shape[1] - 1)].mean())
    return min(shares)


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_copy_is_a_scene(name, tiny_root, tmp_path):
    perturb(tiny_root, SCENE, tmp_path, CHANGES[name])
    change, (before, scan, face), (after, copy, moved_face) = CHANGES[name], opened(tiny_root), opened(tmp_path)
    assert len(after.views) == len(before.views)
    # Masks of 48 px that are off by a pixel or two lose much of a head.
    assert seen(after, copy) > (0.4 if change.noise else 0.85), "photos and scan still agree"
    photos = [read_photo(scene.views[0].image_path) for scene in (before, after)]
    assert np.array_equal(*photos) == (not change.noise)
    if change.crop:
        assert 0 < len(copy) < len(scan) and seen(after, scan) < seen(after, copy)
        assert after.frame.radius_mm < before.frame.radius_mm
        return
    # A rigid motion: the face keeps its size.
    spread = np.linalg.norm(moved_face - moved_face.mean(0), axis=1)
    assert spread == pytest.approx(np.linalg.norm(face - face.mean(0), axis=1), abs=0.01)
    assert (np.abs(moved_face - face).max() > 5.0) == any(change.rotation_deg)
    assert after.frame.radius_mm == pytest.approx(before.frame.radius_mm * change.scale)
    with pytest.raises(InputError, match=SCENE):
        perturb(tiny_root, SCENE, tmp_path, change)


def edited(root: Path, name: str, edit: Callable[[str], str]) -> Path:
    path = root / SCENE / name
    path.write_text(edit(path.read_text()))
    return root


def test_a_file_that_a_copy_needs_is_named(own_root, tmp_path):
    edited(own_root, "landmarks.txt", lambda text: text.replace("nose_base", "nose_bottom"))
    perturb(own_root, SCENE, tmp_path / "turned", CHANGES["turned by 15 degrees"])
    with pytest.raises(InputError, match=r"landmarks.txt has no landmark nose_base"):
        perturb(own_root, SCENE, tmp_path / "cropped", CHANGES["cropped at the neck"])
    edited(own_root, "regions/nose.txt", lambda text: text + "-3\n")
    with pytest.raises(InputError, match=r"nose.txt: '-3' is no vertex number"):
        perturb(own_root, SCENE, tmp_path / "again", CHANGES["turned by 15 degrees"])


def test_a_landmark_that_is_cropped_away_is_left_out(own_root, tmp_path):
    scan = open_h3ds(own_root).h3ds.load_mesh(SCENE)
    lowest = int(np.asarray(scan.vertices)[:, 1].argmin())
    edited(own_root, "landmarks.txt", lambda text: f"{text}collar {lowest}\n")
    perturb(own_root, SCENE, tmp_path, CHANGES["cropped at the neck"])
    copy = open_h3ds(tmp_path).h3ds
    before, after = open_h3ds(own_root).h3ds.load_landmarks(SCENE), copy.load_landmarks(SCENE)
    assert "nose_base" in after and "collar" not in after
    for name, vertex in after.items():
        np.testing.assert_allclose(copy.load_mesh(SCENE).vertices[vertex], scan.vertices[before[name]], atol=0.01)
