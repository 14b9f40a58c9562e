"""Pretrained networks: fetched as a user does, faces at any turn, silhouettes of heads."""

import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from scipy.spatial.transform import Rotation
from skimage.data import astronaut

from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.data.obj import read_obj
from baseh3d_ns.data.scan_files import read_landmarks
from baseh3d_ns.errors import InputError
from baseh3d_ns.pretrained import irises, landmarks, model_files, silhouettes
from baseh3d_ns.pretrained.face_boxes import FaceBox
from baseh3d_ns.pretrained.irises import iris_diameters_px
from baseh3d_ns.pretrained.landmark_model import load_landmark_model
from baseh3d_ns.pretrained.landmarks import LEFT_EYE, RELIABLE, RIGHT_EYE, FaceLandmarks, find_face, find_faces
from baseh3d_ns.pretrained.model_files import MODELS, fetch, model_file, models_folder
from baseh3d_ns.pretrained.networks import Crop
from baseh3d_ns.pretrained.silhouettes import guess_silhouette, touches_border

FRONT, LEFT, BACK = 1, 0, 3
"""Views of the synthetic person: from the front, from its left, from behind."""
ROOT_OF_NOSE = 168
"""Landmark between the eyes."""
SAME = {"right_eye": 133, "left_eye": 362, "nose_tip": 1, "right_lips": 61, "left_lips": 291}
"""Landmarks of H3DS that are among the 468."""


@pytest.fixture(scope="module")
def front(person: HeadDataset) -> np.ndarray:
    return person.photo(FRONT)


@pytest.fixture(scope="module")
def face(front: np.ndarray) -> FaceLandmarks:
    found = find_face(front)
    assert found is not None
    return found


def no_index(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))


def test_models_come_with_their_licences_and_are_mended(tmp_path):
    originals = {name: model_file(name).read_bytes() for name in MODELS}
    folder = Path(shutil.copytree(models_folder(), tmp_path / "models"))
    damaged = folder / MODELS["u2netp"].name
    damaged.write_bytes(damaged.read_bytes()[:-1])
    (folder / MODELS["u2netp"].licence_name).unlink()
    fetch(folder)
    assert {name: (folder / model.name).read_bytes() for name, model in MODELS.items()} == originals
    for model in MODELS.values():
        assert "icense" in (folder / model.licence_name).read_text()


def test_networks_that_are_all_there_need_no_folder_that_can_be_written_to(monkeypatch):
    model_file("u2netp")
    monkeypatch.setattr(model_files, "check_writable", None)
    fetch(models_folder())


def test_without_network_one_sentence_says_what_to_do(tmp_path, monkeypatch):
    no_index(monkeypatch, tmp_path)
    with pytest.raises(InputError, match="on a computer with network run `python -m pip .*mediapipe==") as said:
        model_file("face_landmark")
    assert str(models_folder()) in str(said.value) and models_folder().is_relative_to(tmp_path)
    assert [path.name for path in models_folder().iterdir()] == ["fetch.lock"]


def test_a_cache_that_cannot_be_written_to_names_its_own_setting(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match="cannot write to .*file/cache .*: free some space there, or set XDG_CACHE_"):
        fetch(tmp_path / "file" / "cache")


def test_a_wheel_that_holds_something_else_is_refused(tmp_path, monkeypatch):
    no_index(monkeypatch, tmp_path)
    models_folder().mkdir(parents=True)
    with zipfile.ZipFile(models_folder() / "mediapipe-0.10.21-py3-none-any.whl", "w") as wheel:
        for member in {model.member for model in MODELS.values()} | {MODELS["face_landmark"].wheel.licence_file}:
            wheel.writestr(member, "not a network")
    with pytest.raises(InputError, match="SHA-256"):
        model_file("face_landmark")
    assert not (models_folder() / MODELS["face_landmark"].name).exists()
    assert not FileLock(models_folder() / "fetch.lock").is_locked


def test_landmarks_lie_where_the_scan_has_them(person: HeadDataset, person_root: Path, face: FaceLandmarks):
    assert face.score > 0.5 and abs(face.turn_deg) < 15.0
    scene = next(path for path in person_root.iterdir() if path.is_dir())
    vertices, _ = read_obj(scene / "full_head.obj")
    known = read_landmarks(scene / "landmarks.txt", len(vertices))
    projection = np.load(scene / "cameras.npz")[f"world_mat_{FRONT}"][:3]
    for name, index in SAME.items():
        image = projection @ np.append(vertices[known[name]], 1.0)
        error_px = np.linalg.norm(face.points_px[index] - image[:2] / image[2])
        assert error_px < 0.06 * face.size_px, name


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_photo_gives_turned_points(front: np.ndarray, face: FaceLandmarks, quarters: int):
    turned = find_face(np.ascontiguousarray(np.rot90(front, quarters)))
    assert turned is not None
    points, size = face.points_px, len(front)
    for _ in range(quarters):
        points = np.column_stack([points[:, 1], size - 1 - points[:, 0]])
    assert np.linalg.norm(turned.points_px - points, axis=1).mean() < 0.03 * face.size_px
    away = (turned.turn_deg + 90.0 * quarters - face.turn_deg + 180.0) % 360.0 - 180.0
    assert abs(away) < 5.0


def test_two_people_and_nobody(person: HeadDataset, front: np.ndarray):
    # The second is smaller; both must fill enough of the photo to be seen in it whole.
    both = np.full((192, 384, 3), 128, np.uint8)
    both[:, :192] = front
    both[32:176, 216:360] = Crop(np.array([95.5, 95.5]), 192.0, 0.0).sample(front, 144)
    found = find_faces(both)
    assert len(found) == 2 and found[0].size_px > found[1].size_px
    assert found[0].points_px[1, 0] < 192.0 < found[1].points_px[1, 0]
    assert find_face(np.full((100, 140, 3), 90, np.uint8)) is None
    behind = find_face(person.photo(BACK))
    assert behind is None or behind.score < 0.3


def test_a_face_to_be_relied_upon_comes_before_a_larger_one(front: np.ndarray, face: FaceLandmarks, monkeypatch):
    """A bystander who is nearer, but out of focus or half turned away, makes no photo one without a face."""
    nearer = replace(face, points_px=2.0 * face.points_px + 500.0, score=0.5 * RELIABLE)
    farther = replace(face, points_px=0.5 * face.points_px - 500.0)
    found = iter([nearer, face, farther])
    boxes = [FaceBox(Crop(np.array([1e6, 1e6]), 1.0, 0.0), 1.0)] * 3
    monkeypatch.setattr(landmarks, "face_boxes", lambda photo, side: boxes)
    monkeypatch.setattr(landmarks, "_landmarks_from", lambda photo, box: next(found))
    assert find_faces(front) == [face, farther, nearer]


def test_silhouette_of_a_head(person: HeadDataset, front: np.ndarray, face: FaceLandmarks):
    found = guess_silhouette(front, face)
    truth = person.mask(FRONT)
    assert (found.mask & truth).sum() / (found.mask | truth).sum() > 0.9
    assert 0.7 < found.agreement <= 1.0


def test_a_real_person_before_a_flag_and_a_model_of_a_shuttle():
    """A portrait by NASA, in the public domain, that comes with scikit-image."""
    photo = astronaut()
    found = find_face(photo)
    assert found is not None and found.score > 0.9
    right, left, nose = (found.points_px[SAME[name]] for name in ("right_eye", "left_eye", "nose_tip"))
    assert np.abs([right - (212, 104), left - (237, 105), nose - (222, 129)]).max() < 5.0  # seen by eye
    mask = guess_silhouette(photo, found).mask
    seen = {"hair": (225, 25), "hair at the side": (165, 90), "forehead": (222, 80), "chin": (220, 172)}
    beside = {"flag": (40, 100), "wall": (120, 60), "shuttle": (400, 150), "wall above": (330, 30)}
    assert all(mask[y, x] for x, y in seen.values()), seen
    assert not any(mask[y, x] for x, y in beside.values()), beside


@pytest.mark.parametrize("quarters", [0, 1])
def test_irises_of_a_real_person_and_of_closed_eyes(quarters: int):
    photo = np.ascontiguousarray(np.rot90(astronaut(), quarters))
    found = find_face(photo)
    assert found is not None
    irises_px = iris_diameters_px(photo, found)
    eyes = [found.points_px[list(corners)].mean(axis=0) for corners in (RIGHT_EYE, LEFT_EYE)]
    # Millimetres between her pupils if her irises are 11.7 mm wide: women have 62.3 in the mean (Dodgson 2004).
    assert 11.7 * np.linalg.norm(eyes[1] - eyes[0]) / irises_px == pytest.approx(62.3, abs=4.0)
    closed = photo.copy()
    for centre in eyes:
        column, row = centre.round().astype(int)
        closed[row - 6 : row + 7, column - 14 : column + 15] = photo[row + 18, column] if not quarters else 120
    assert np.isnan(iris_diameters_px(closed, found)).all()


def test_irises_of_eyes_that_look_aside_are_not_measured(monkeypatch: pytest.MonkeyPatch):
    """They look narrow, and the face too large."""
    photo = astronaut()
    found = find_face(photo)
    assert found is not None
    width_px = np.linalg.norm(found.points_px[RIGHT_EYE[1]] - found.points_px[RIGHT_EYE[0]])
    moved = found.points_px.copy()
    moved[[*RIGHT_EYE, *LEFT_EYE], 0] += 0.15 * width_px  # as if both irises were nearer to the left of the photo
    assert np.isfinite(iris_diameters_px(photo, found)).all()
    assert np.isnan(iris_diameters_px(photo, replace(found, points_px=moved))).all()
    # Eyes that look at something near turn towards each other.
    near = iter([(8.0, 0.15), (8.0, -0.14)])
    monkeypatch.setattr(irises, "_iris", lambda *_: next(near))
    assert (iris_diameters_px(photo, found) == 8.0).all()


def test_a_turned_face_does_not_fill_the_hollow_before_its_nose(monkeypatch: pytest.MonkeyPatch):
    # What landmarks alone call the head: the networks see nothing.
    monkeypatch.setattr(silhouettes, "probabilities", lambda copy, *_: (np.zeros(copy.shape[:2]),) * 2)
    turn = Rotation.from_euler("y", 75.0, degrees=True).as_matrix()
    seen = load_landmark_model().mean_mm @ turn.T * [1.0, -1.0, -1.0]
    points = seen[:, :2] + 150.0
    photo = np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8)
    mask = guess_silhouette(photo, FaceLandmarks(points, seen[:, 2], 1.0, 0.0)).mask
    column, row = points[ROOT_OF_NOSE].round().astype(int)
    assert mask[row, column - 40 : column - 20].all() and mask.sum() > 5000
    assert not mask[row, column + 1 :].any()


def test_a_border_is_touched_where_the_head_is_cut_off():
    mask = np.zeros((50, 80), bool)
    mask[10:40, 20:60] = True
    assert touches_border(mask) == ()
    mask[40:, 30:50] = True
    assert touches_border(mask) == ("bottom",)
    mask[:12, 40:50] = True
    assert touches_border(mask) == ("top", "bottom")


def test_a_crop_samples_what_it_says():
    rows, columns = np.indices((80, 100))
    ramp = np.stack([columns, rows, np.full_like(rows, 50)], axis=-1).astype(np.uint8)
    crop = Crop(np.array([50.0, 40.0]), 30.0, 30.0)
    size = 15
    inside = (np.indices((size, size)).reshape(2, -1).T[:, ::-1] + 0.5) / size
    sampled = crop.sample(ramp, size).reshape(-1, 3)
    np.testing.assert_allclose(sampled[:, :2], crop.to_photo(inside), atol=1.0)


@pytest.mark.parametrize("yaw_deg", [0.0, 40.0])
def test_the_skull_over_a_face_is_head_whatever_the_networks_see(yaw_deg: float, monkeypatch: pytest.MonkeyPatch):
    seen = load_landmark_model().mean_mm @ Rotation.from_euler("y", yaw_deg, degrees=True).as_matrix().T
    points = 240.0 + 1.2 * seen[:, :2] * [1.0, -1.0]
    nothing = np.zeros((480, 480), np.float32)
    monkeypatch.setattr(silhouettes, "probabilities", lambda *_: (nothing.copy(), nothing.copy()))
    photo = np.random.default_rng(0).integers(0, 255, (480, 480, 3)).astype(np.uint8)

    def is_head(above_eyes_mm: float, score: float) -> bool:
        face = FaceLandmarks(points, -1.2 * seen[:, 2], score, 0.0)
        mask = silhouettes.guess_silhouette(photo, face).mask
        return bool(mask[round(240.0 - 1.2 * above_eyes_mm), 240])

    assert is_head(90.0, 0.9) and not is_head(125.0, 0.9)
    assert not is_head(90.0, 0.3), "a face that may lie anywhere"


@pytest.mark.parametrize("bald", [False, True])
def test_hair_that_the_networks_lose_is_left_open_and_a_bald_head_is_not(bald: bool, monkeypatch: pytest.MonkeyPatch):
    seen = load_landmark_model().mean_mm
    points = 240.0 + 1.2 * seen[:, :2] * [1.0, -1.0]
    rows, columns = np.indices((480, 480))
    above_ears_mm, across_mm = (240.0 - rows) / 1.2, (columns - 240.0) / 1.2
    head = (np.abs(across_mm) < 75.0) & (above_ears_mm > -120.0) & (above_ears_mm < (110.0 if bald else 70.0))
    monkeypatch.setattr(silhouettes, "probabilities", lambda *_: (head.astype(np.float32),) * 2)
    photo = np.random.default_rng(0).integers(0, 255, (480, 480, 3)).astype(np.uint8)
    guess = silhouettes.guess_silhouette(photo, FaceLandmarks(points, -1.2 * seen[:, 2], 0.9, 0.0))
    hair = (np.hypot(across_mm / 100.0, (above_ears_mm - 45.0) / 100.0) < 1.0) & (above_ears_mm > 115.0)
    jaw = (above_ears_mm < -70.0) | (above_ears_mm > 160.0)
    assert guess.known[hair].all() == bald and guess.known[hair].any() == bald
    assert guess.known[jaw].all() and guess.known[guess.mask].all()


@pytest.mark.parametrize(("beside_px", "is_open"), [(8, False), (60, True)])
def test_what_only_one_network_sees_is_left_open_beyond_an_edge(
    beside_px: int, is_open: bool, monkeypatch: pytest.MonkeyPatch
):
    """A thing in the background that stands out to one network becomes no horn before the forehead."""
    seen = load_landmark_model().mean_mm
    points = 240.0 + 1.2 * seen[:, :2] * [1.0, -1.0]
    rows, columns = np.indices((480, 480))
    head = (np.abs(columns - 240) < 90) & (np.abs(rows - 240) < 130)
    beside = (columns >= 330) & (columns < 330 + beside_px) & (np.abs(rows - 200) < 50)
    elsewhere = (columns < 110) & (rows > 370)
    one = (head | beside | elsewhere).astype(np.float32)
    monkeypatch.setattr(silhouettes, "probabilities", lambda *_: (one, head.astype(np.float32)))
    photo = np.random.default_rng(0).integers(0, 255, (480, 480, 3)).astype(np.uint8)
    guess = silhouettes.guess_silhouette(photo, FaceLandmarks(points, -1.2 * seen[:, 2], 0.9, 0.0))
    share = (~guess.known[beside]).mean()  # a disc leaves the corners of a rectangle
    assert share > 0.9 if is_open else share == 0.0
    assert guess.known[~beside].all() and guess.mask[head].mean() > 0.99
