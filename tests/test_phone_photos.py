"""Synthetic phone photos: the truth beside them tells where the head is in them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh
from PIL import Image
from scipy.ndimage import binary_dilation

from baseh3d_ns.data.pictures import picture_size, read_mask, read_photo
from baseh3d_ns.errors import InputError
from baseh3d_ns.own_photos.looks import look_at
from baseh3d_ns.own_photos.scene import read_capture
from baseh3d_ns.pretrained.landmarks import find_face
from baseh3d_ns.synthetic.anatomy import load_body_model
from baseh3d_ns.synthetic.identity import draw_identity
from baseh3d_ns.synthetic.phone_photos import EXIF_IFD, FOCAL_35MM, Lens, synthesize_photos

VIEWS, SIZE, FRONT = 5, 288, 1
ARGUMENTS = {"subjects": 1, "views": VIEWS, "size": SIZE, "seed": 5}
"""Those of `phone_root`."""
RIM_PX = 2.0 * SIZE / 160
"""Height of what the scan lacks at its rim, with a pixel's rounding."""


@pytest.fixture(scope="module")
def folder(phone_root: Path) -> Path:
    return next(path for path in phone_root.iterdir() if path.is_dir())


def projected(folder: Path, view: int, points_mm: np.ndarray) -> np.ndarray:
    """Pixels of world points by OpenCV's own camera with distortion, from what transforms.json says alone."""
    truth = json.loads((folder / "truth" / "transforms.json").read_text())
    c2w = np.array(truth["frames"][view]["transform_matrix"]) @ np.diag([1.0, -1.0, -1.0, 1.0])
    w2c = np.linalg.inv(c2w)
    k = np.array([[truth["fl_x"], 0.0, truth["cx"] - 0.5], [0.0, truth["fl_y"], truth["cy"] - 0.5], [0.0, 0.0, 1.0]])
    bend = np.array([truth[name] for name in ("k1", "k2", "p1", "p2")])
    assert abs(bend[0]) > 0.001
    pixels, _ = cv2.projectPoints(points_mm, cv2.Rodrigues(w2c[:3, :3])[0], w2c[:3, 3], k, bend)
    return pixels[:, 0]


def test_the_scan_fills_the_masks(folder: Path):
    scan = trimesh.load_mesh(folder / "truth" / "scan.ply", process=False)
    truth = json.loads((folder / "truth" / "transforms.json").read_text())
    assert len(truth["frames"]) == VIEWS
    for view, frame in enumerate(truth["frames"]):
        mask = read_mask(folder / "truth" / frame["mask_path"])
        assert mask.shape == read_photo(folder / "truth" / frame["file_path"]).shape[:2] == (SIZE, SIZE)
        pixels = projected(folder, view, scan.vertices)
        columns, rows = pixels.round().astype(int).clip(0, SIZE - 1).T
        # Single hairs, and shreds of the rim below, are thinner than half a pixel.
        assert binary_dilation(mask, iterations=1)[rows, columns].mean() > 0.998
        box = [np.flatnonzero(mask.any(axis=axis))[[0, -1]] for axis in (0, 1)]
        # The scan lacks what no scanner sees, at the rim below at most.
        np.testing.assert_allclose(pixels.min(axis=0), [span[0] for span in box], atol=RIM_PX)
        np.testing.assert_allclose(pixels.max(axis=0)[0], box[0][1], atol=RIM_PX)


def test_the_truth_finds_the_face_in_the_photo(folder: Path):
    scan = trimesh.load_mesh(folder / "truth" / "scan.ply", process=False)
    landmarks = json.loads((folder / "truth" / "landmarks.json").read_text())
    face = find_face(read_photo(folder / f"IMG_{FRONT + 1:04d}.jpg"))
    assert face is not None and face.score > 0.5
    for name, index in {"right_eye": 133, "left_eye": 362, "nose_tip": 1}.items():
        known = projected(folder, FRONT, scan.vertices[landmarks[name]][None])[0]
        assert np.linalg.norm(face.points_px[index] - known) < 0.06 * face.size_px, name


def test_photos_say_what_phones_say(folder: Path):
    truth = json.loads((folder / "truth" / "transforms.json").read_text())
    orientations = set()
    for path in sorted(folder.glob("IMG_*.jpg")):
        orientations.add(picture_size(path)[2])
        with Image.open(path) as image:
            film = image.getexif().get_ifd(EXIF_IFD)[FOCAL_35MM]
        # Whole millimetres, as phones write them.
        assert film / 43.27 * np.hypot(SIZE, SIZE) == pytest.approx(truth["fl_x"], rel=0.5 / film + 1e-6)
    assert 1 in orientations and len(orientations) > 1


def test_a_lens_bends_and_unbends():
    from baseh3d_ns.cameras import Pinhole

    k = np.array([[90.0, 0.0, 31.0], [0.0, 90.0, 33.0], [0.0, 0.0, 1.0]])
    lens = Lens(k1=-0.1, k2=0.02)
    straight = lens.source_pixels(Pinhole(k, np.eye(3), np.zeros(3), 64, 64)).reshape(-1, 2)
    rays = np.column_stack([(straight - k[:2, 2]) / 90.0, np.ones(len(straight))])
    bent, _ = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), k, np.array([-0.1, 0.02, 0.0, 0.0]))
    rows, columns = np.indices((64, 64)).reshape(2, -1)
    np.testing.assert_allclose(bent[:, 0], np.column_stack([columns, rows]), atol=0.05)


def test_a_set_is_not_made_twice_nor_over_another(phone_root: Path, capsys):
    synthesize_photos(phone_root, **ARGUMENTS)
    assert "nothing to do" in capsys.readouterr().out
    with pytest.raises(InputError, match="other arguments"):
        synthesize_photos(phone_root, **{**ARGUMENTS, "seed": 6})


def test_irises_are_seen_as_wide_as_they_were_painted(folder: Path):
    """Whatever the size of the head."""
    shots = read_capture(folder / "truth").shots
    identity = draw_identity(ARGUMENTS["seed"], 0, load_body_model().local_change_labels)
    _, face = look_at(shots, True, measure_irises=True)
    assert face is not None and face.iris == pytest.approx(identity.iris_mm, rel=0.06)
    _, face = look_at(shots, True)
    assert face is not None and face.iris is None
