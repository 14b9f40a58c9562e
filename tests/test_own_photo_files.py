"""Files of own photos: pixels turned by EXIF, masks by name and by the face they hold, names, photos without camera."""

from __future__ import annotations

import json
import shutil
import unicodedata
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from nerfstudio.utils.rich_utils import CONSOLE
from own_capture import ELSEWHERE, rewrite, write_colmap
from PIL import Image, ImageOps
from scipy.spatial.transform import Rotation

from baseh3d_ns.cameras import Pinhole
from baseh3d_ns.capture import command
from baseh3d_ns.capture.command import CaptureOptions, capture
from baseh3d_ns.capture.photos import Photo, load_photo
from baseh3d_ns.capture.solve import SolvedCameras, check_tools
from baseh3d_ns.capture.solved import SolvedView
from baseh3d_ns.capture.sources import find_photos
from baseh3d_ns.capture.video import frame_name
from baseh3d_ns.data.pictures import picture_size, read_mask, read_trimap
from baseh3d_ns.errors import InputError
from baseh3d_ns.own_photos import looks, masks
from baseh3d_ns.own_photos.dataparser import HeadDataParserConfig
from baseh3d_ns.own_photos.head_frame import _axes
from baseh3d_ns.own_photos.hull import Silhouette
from baseh3d_ns.own_photos.masks import faces_in_masks, find_faces_at_mask, find_mask, given_trimap
from baseh3d_ns.own_photos.metric_scale import ScaleOptions
from baseh3d_ns.own_photos.photo_sizes import STORED, as_shown, counted_size, read_counted, up_as_shown
from baseh3d_ns.own_photos.scene import OwnScene, read_capture
from baseh3d_ns.pretrained.landmarks import FaceLandmarks
from baseh3d_ns.pretrained.model_files import MODELS, OPTIONAL

ORIENTATIONS = range(1, 9)


pytestmark = pytest.mark.usefixtures("no_faces")


@pytest.fixture
def said(monkeypatch) -> list[str]:
    """Lines of the log."""
    lines: list[str] = []
    monkeypatch.setattr(CONSOLE, "log", lines.append)
    return lines


def opened(folder: Path) -> OwnScene:
    return HeadDataParserConfig(data=folder, mm_per_unit=1.0 / ELSEWHERE.scale).setup().scene


def without_masks(folder: Path) -> None:
    rewrite(folder, lambda meta: [frame.pop("mask_path") for frame in meta["frames"]])


def save_as_shown(shown: Image.Image, path: Path, orientation: int) -> None:
    """Save a photo that EXIF turns, so that it is shown as it was."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    turned = ImageOps.exif_transpose(_with(shown, inverse))
    turned.save(path, exif=exif)
    with Image.open(path) as saved:
        assert saved.getexif()[0x0112] == orientation
        np.testing.assert_array_equal(np.asarray(ImageOps.exif_transpose(saved)), np.asarray(shown))


def save_as_stored(stored: Image.Image, path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(path, exif=exif)


def _with(image: Image.Image, orientation: int) -> Image.Image:
    copy = image.copy()
    copy.getexif()[0x0112] = orientation
    return copy


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("says", ["stored", "shown", "old capture", "nothing"])
def test_turned_square_photos_are_read_as_the_file_says(own, orientation, says):
    """EXIF turns a square photo: cameras of other programs count its stored pixels, ours say what they count."""
    path = own / "images" / "p01.png"
    counted = Image.open(path).copy()
    as_stored = says in ("stored", "nothing")
    (save_as_stored if as_stored else save_as_shown)(counted, path, orientation)
    if says in ("stored", "shown"):
        rewrite(own, lambda meta: meta["frames"][1].update(as_stored=as_stored))
    if says == "nothing":
        rewrite(own, lambda meta: meta.pop("head"))
    shot = read_capture(own).shots[1]
    assert shot.as_stored == (as_stored and orientation > 1)
    np.testing.assert_array_equal(read_counted(path, shot.as_stored), np.asarray(counted))


@pytest.mark.parametrize("orientation", [3, 6, 8])
@pytest.mark.parametrize("counts", ["shown", "stored"])
def test_turned_photos_are_read_as_their_size_says(own, plain, orientation, counts):
    def narrow(picture: Image.Image) -> Image.Image:
        return picture.crop((0, 0, 40, 48))

    as_stored = counts == "stored"
    rewrite(own, lambda meta: meta["frames"][1].update(w=40, h=48, as_stored=as_stored))
    if orientation != 3:  # then the size decides, whatever the file says
        rewrite(own, lambda meta: meta["frames"][1].update(as_stored=not as_stored))
    mask, path = own / "masks" / "p01.png", own / "images" / "p01.png"
    narrow(Image.open(mask)).save(mask)
    (save_as_stored if as_stored else save_as_shown)(narrow(Image.open(path)), path, orientation)
    view, reference = opened(own).views[1], opened(plain).views[1]
    assert view.shot.as_stored == as_stored
    seen = view.picture.photo[view.picture.mask].astype(float)
    assert np.abs(seen.mean(axis=0) - reference.picture.photo[reference.picture.mask].mean(axis=0)).max() < 2.0


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_up_is_where_the_photo_as_shown_has_it(tmp_path, orientation):
    shown = np.full((48, 48, 3), 90, np.uint8)
    shown[:10] = 250
    save_as_shown(Image.fromarray(shown), tmp_path / "a.png", orientation)
    for as_stored in {False, orientation > 1}:
        down, right = np.gradient(read_counted(tmp_path / "a.png", as_stored).mean(axis=2))
        brighter = np.array([right.mean(), down.mean(), 0.0])
        np.testing.assert_allclose(up_as_shown(tmp_path / "a.png", as_stored), brighter / np.linalg.norm(brighter))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mask_of_the_stored_pixels_is_turned_as_shown(tmp_path, orientation):
    shown = np.random.default_rng(0).random((20, 30)) > 0.5
    save_as_shown(Image.fromarray(shown), tmp_path / "a.png", orientation)
    stored = STORED[orientation](shown) if orientation > 1 else shown
    np.testing.assert_array_equal(as_shown(stored, tmp_path / "a.png", True), shown)
    np.testing.assert_array_equal(as_shown(stored, tmp_path / "a.png", False), stored)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_silhouette_is_cut_off_at_the_sides_of_the_photo_as_shown(own, orientation):
    shot, frame = read_capture(own).shots[0], opened(own).frame
    shown = np.zeros((48, 48), bool)
    shown[10:, 10:38] = True
    save_as_shown(Image.open(shot.photo_path).copy(), shot.photo_path, orientation)
    stored = STORED[orientation](shown) if orientation > 1 else shown
    look = looks.Look(Silhouette(replace(shot, as_stored=True), stored), None, False, 1.0, None)
    assert command._photo_report(look, True, {}, 48, frame).cut_off == ("bottom",)


def test_what_is_left_open_at_the_side_of_a_photo_cuts_off_no_head(own):
    shot, frame = read_capture(own).shots[0], opened(own).frame
    may_be, known = np.zeros((48, 48), bool), np.ones((48, 48), bool)
    may_be[10:, 10:] = True
    known[10:, 38:] = False
    look = looks.Look(Silhouette(shot, may_be), known, True, 0.6, None)
    report = command._photo_report(look, True, {}, 48, frame)
    assert report.cut_off == ("bottom",)


@pytest.mark.parametrize(("orientation", "turn_deg"), [(3, 180), (6, -90), (8, 90)])
def test_a_head_without_a_face_stands_as_its_photos_are_shown(own, orientation, turn_deg):
    """Cameras of the stored pixels, about their own axes."""
    rewrite(own, lambda meta: meta.pop("head"))
    rewrite(own, lambda meta: [frame.update(cx=24.0, cy=24.0) for frame in meta["frames"]])

    def axes() -> np.ndarray:
        seen = read_capture(own)
        assert all(shot.as_stored == (picture_size(shot.photo_path)[2] > 1) for shot in seen.shots)
        return _axes(seen, [Silhouette(shot, given_trimap(shot).mask) for shot in seen.shots], None)[0]

    upright, turn = axes(), np.eye(4)
    turn[:3, :3] = Rotation.from_euler("z", turn_deg, degrees=True).as_matrix()
    for frame in json.loads((own / "transforms.json").read_text())["frames"]:
        photo, mask = own / frame["file_path"], own / frame["mask_path"]
        save_as_shown(Image.open(photo).copy(), photo, orientation)
        Image.fromarray(STORED[orientation](np.asarray(Image.open(mask)))).save(mask)

    def turned(frame: dict) -> None:
        frame["transform_matrix"] = (np.array(frame["transform_matrix"]) @ turn).tolist()

    rewrite(own, lambda meta: [turned(frame) for frame in meta["frames"]])
    np.testing.assert_allclose(axes(), upright, atol=0.02)


def test_photos_of_colmap_models_are_counted_as_stored(plain, tmp_path):
    write_colmap(plain, tmp_path, text=False)
    path = tmp_path / "images" / "p01.png"
    stored = Image.open(path).copy()
    save_as_stored(stored, path, 3)
    shot = read_capture(tmp_path).shots[1]
    assert shot.as_stored
    np.testing.assert_array_equal(read_counted(path, shot.as_stored), np.asarray(stored))
    out = tmp_path / "head"
    capture(options(tmp_path, out))
    again = read_capture(out).shots[1]
    assert again.as_stored and again.mask_path is not None
    assert [one.as_stored for one in read_capture(out).shots] == [False, True, False, False, False]


def test_a_size_of_another_shape_is_refused(own):
    with pytest.raises(InputError, match=r"p01\.png is 48x48 but its camera counts 40x48"):
        counted_size(own / "images" / "p01.png", (40, 48), True)


def test_stored_or_shown_is_no_word(own):
    rewrite(own, lambda meta: meta["frames"][1].update(as_stored="yes"))
    with pytest.raises(InputError, match="as_stored that is neither true nor false"):
        read_capture(own)


def test_a_mask_of_the_stored_pixels_is_turned_like_its_photo(tmp_path):
    shown = Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 40, 3)).astype(np.uint8))
    save_as_shown(shown, tmp_path / "a.jpg.png", 6)
    mask = np.zeros((48, 40), np.uint8)
    mask[5:20, 10:20] = 255
    Image.fromarray(np.rot90(mask)).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(load_photo(tmp_path / "a.jpg.png", tmp_path / "mask.png").mask, mask > 0)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("as_stored", [False, True])
def test_the_alpha_of_a_turned_photo_is_turned_with_it(own, orientation, as_stored):
    path, mask = own / "images" / "p01.png", own / "masks" / "p01.png"
    counted = Image.open(path).convert("RGBA")
    counted.putalpha(Image.open(mask).convert("L"))
    (save_as_stored if as_stored else save_as_shown)(counted, path, orientation)
    expected = np.asarray(Image.open(mask)) > 127
    without_masks(own)
    mask.unlink()
    rewrite(own, lambda meta: meta["frames"][1].update(as_stored=as_stored))
    shot = read_capture(own).shots[1]
    assert shot.mask_path == path
    np.testing.assert_array_equal(given_trimap(shot).mask, expected)


@pytest.mark.parametrize("orientation", [1, 6])
def test_nothing_is_concluded_from_what_a_trimap_leaves_open(own, tmp_path, orientation):
    """It is turned with its mask, and a capture keeps it."""
    path = own / "masks" / "p01.png"
    before = next(view for view in opened(own).views if view.shot.name.endswith("p01.png")).picture
    mask = np.asarray(Image.open(path)) > 127
    top = np.flatnonzero(mask.any(axis=1))[0]
    levels = np.where(mask, 255, 0).astype(np.uint8)
    levels[top : top + 4][mask[top : top + 4]] = 128
    counted = Image.open(own / "images" / "p01.png").copy()
    save_as_stored(counted, own / "images" / "p01.png", orientation)
    save_as_stored(Image.fromarray(levels), path, orientation)
    rewrite(own, lambda meta: meta["frames"][1].update(as_stored=True))
    trimap = given_trimap(read_capture(own).shots[1])
    np.testing.assert_array_equal(trimap.known, levels != 128)
    np.testing.assert_array_equal(trimap.mask, levels == 255)
    capture(options(own, tmp_path / "head"))
    for folder in (own, tmp_path / "head"):
        view = next(view for view in opened(folder).views if view.shot.name.endswith("p01.png"))
        lost = before.mask & ~view.picture.known
        assert before.mask.sum() > lost.sum() > 10
        np.testing.assert_array_equal(view.picture.mask, before.mask & ~lost)


@pytest.mark.parametrize(("open_rows", "soft_rows", "left_open"), [(6, 1, True), (1, 6, False)])
def test_a_soft_brush_leaves_a_trimap_one(tmp_path, open_rows, soft_rows, left_open):
    levels = np.zeros((48, 48), np.uint8)
    levels[10:30] = 255
    levels[30 : 30 + open_rows] = 128
    levels[40 : 40 + soft_rows] = np.linspace(140, 220, 48)
    Image.fromarray(levels).save(tmp_path / "a.png")
    trimap = read_trimap(tmp_path / "a.png")
    np.testing.assert_array_equal(trimap.mask, levels > (128 if left_open else 127))
    np.testing.assert_array_equal(trimap.known, (levels != 128) | (not left_open))
    middle = (np.abs(levels.astype(int) - 128) < 64) & (levels != 128 if left_open else True)
    assert trimap.grey == pytest.approx(middle.sum() / trimap.mask.sum())


@pytest.mark.parametrize("orientation", ORIENTATIONS[1:])
@pytest.mark.parametrize("of", ["stored", "shown"])
def test_masks_of_either_way_lie_on_the_edges_of_turned_photos(own, plain, orientation, of):
    """Masks by rembg or Photoshop, without an orientation of their own, of square photos or of some upside down."""
    without_masks(own)
    for name in ("p01.png", "p03.png"):
        photo, mask = own / "images" / name, own / "masks" / name
        save_as_stored(Image.open(photo).copy(), photo, orientation)
        if of == "shown":
            ImageOps.exif_transpose(_with(Image.open(mask), orientation)).save(mask)
    rewrite(own, lambda meta: [meta["frames"][number].update(as_stored=True) for number in (1, 3)])
    scene = opened(own)
    for ours, wanted in zip(scene.views, opened(plain).views, strict=True):
        np.testing.assert_array_equal(ours.picture.mask, wanted.picture.mask)
    capture(options(own, own / "again"))
    for ours, wanted in zip(opened(own / "again").views, scene.views, strict=True):
        np.testing.assert_array_equal(ours.picture.mask, wanted.picture.mask)


@pytest.mark.parametrize("orientation", ORIENTATIONS[1:])
@pytest.mark.parametrize("of", ["stored", "shown"])
def test_masks_of_either_way_are_turned_before_cameras_are_looked_for(own, orientation, of, monkeypatch):
    shots = read_capture(own).shots
    wanted = [np.asarray(Image.open(own / "masks" / f"p{number:02d}.png")) > 127 for number in range(5)]
    for name in ("p01.png", "p03.png"):
        photo, mask = own / "images" / name, own / "masks" / name
        save_as_shown(Image.open(photo).copy(), photo, orientation)
        if of == "stored":
            Image.fromarray(STORED[orientation](np.asarray(Image.open(mask)))).save(mask)
    views = [
        SolvedView(shot.name, Pinhole(lens.intrinsics, shot.rotation, -shot.rotation @ shot.centre, 48, 48))
        for shot, lens in ((shot, shot.lens) for shot in shots)
    ]
    looked_at = []

    def solve(photos: list[Photo], _: object) -> SolvedCameras:
        looked_at.extend(photos)
        return SolvedCameras(tuple(views), "landmarks", None)

    monkeypatch.setattr(command, "solve_cameras", solve)
    found = command._estimate(options(own, own / "again"), {shot.photo_path: shot.mask_path for shot in shots})[0]
    np.testing.assert_array_equal([photo.mask for photo in looked_at], wanted)
    np.testing.assert_array_equal([given_trimap(shot).mask for shot in found.shots], wanted)
    assert [shot.mask_as_stored for shot in found.shots].count(True) == 2 * (of == "stored")


@pytest.mark.parametrize("known_by", ["nothing", "its name in the file", "its own orientation", "symmetry"])
def test_a_mask_that_fits_its_photo_both_ways_is_told(own, known_by, said):
    photo, path = own / "images" / "p01.png", own / "masks" / "p01.png"
    noise = np.random.default_rng(0).integers(0, 255, (48, 48, 3)).astype(np.uint8)
    save_as_stored(Image.fromarray(noise), photo, 3)
    mask = np.asarray(Image.open(path))
    if known_by == "symmetry":
        mask = mask | mask[::-1, ::-1]
    save_as_stored(Image.fromarray(mask), path, 3 if known_by == "its own orientation" else 1)
    if known_by != "its name in the file":
        without_masks(own)
    rewrite(own, lambda meta: meta["frames"][1].update(as_stored=True))
    shots = read_capture(own).shots
    assert [look.silhouette.mask.shape for look in looks.look_at(shots, find_faces=False)[0]] == [(48, 48)] * 5
    doubt = "masks/p01.png of p01.png, EXIF orientation 3) may be of their photos as stored, or as shown"
    assert any(doubt in line for line in said) == (known_by == "nothing")


def test_a_cut_out_photo_brings_its_mask_to_the_search_for_cameras(tmp_path):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 40, 4)).astype(np.uint8))
    alpha = np.zeros((48, 40), np.uint8)
    alpha[5:20, 10:20] = 255
    picture.putalpha(Image.fromarray(alpha))
    picture.save(tmp_path / "a.png")
    picture.convert("RGB").save(tmp_path / "b.png")
    assert find_mask(tmp_path / "b.png") is None
    assert find_mask(tmp_path / "a.png") == tmp_path / "a.png"
    np.testing.assert_array_equal(load_photo(tmp_path / "a.png", find_mask(tmp_path / "a.png")).mask, alpha > 0)


@pytest.mark.parametrize(
    ("photo", "mask"),
    [
        ("a.jpg", "masks/a.png"),
        ("images/a.jpg", "masks/a.jpg.png"),
        ("images/a.jpg", "images/masks/a.PNG"),
        ("images/left/a.jpg", "masks/left/a.png"),
        ("left/a.jpg", "masks/left/a_mask.png"),
        ("images/left/a.jpg", "mask/left/a.webp"),
        ("images/monday/left/a.jpg", "masks/monday/left/a.png"),
    ],
)
def test_masks_lie_beside_photos_or_their_folder(tmp_path, photo, mask):
    for name in (photo, mask):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    assert find_mask(tmp_path / photo) == tmp_path / mask
    (tmp_path / mask).rename((tmp_path / mask).with_name("b.png"))
    assert find_mask(tmp_path / photo) is None


def test_masks_are_found_from_the_folder_of_a_model(plain, tmp_path):
    write_colmap(plain, tmp_path, text=False)
    shots = read_capture(tmp_path / "sparse" / "0").shots
    assert [shot.mask_path for shot in shots] == [tmp_path / "masks" / f"p{number:02d}.png" for number in range(5)]


@pytest.mark.parametrize(
    ("model", "photos", "data"),
    [
        ("sparse/0", "images", ""),
        ("sparse/0", "images", "sparse/0"),
        ("sparse/0", "", "sparse/0"),
        ("sparse/aligned", "", ""),
        ("sparse", "images", "sparse"),
        ("colmap/sparse/0", "images", ""),
        ("colmap/sparse/0", "images", "colmap"),
        ("colmap/sparse/0", "images", "colmap/sparse/0"),
        ("dense/sparse", "dense/images", ""),
        ("dense/sparse", "dense/images", "dense"),
        ("dense/sparse", "dense/images", "dense/sparse"),
        ("", "images", ""),
        ("text", "images", "text"),
    ],
)
def test_photos_are_those_of_the_models_project(plain, tmp_path, monkeypatch, model, photos, data):
    """Others of the same names lie further away: distorted ones, or another person's."""
    project = tmp_path / "people" / "anna"
    write_colmap(plain, tmp_path / "made", text=True)
    shutil.copytree(tmp_path / "made" / "sparse" / "0", project / model, dirs_exist_ok=True)
    shutil.copytree(plain / "images", project / photos, dirs_exist_ok=True)
    further = [project / "images"] if model == "dense/sparse" else []
    for others in (*further, tmp_path / "people", tmp_path / "people" / "images", tmp_path, tmp_path / "images"):
        shutil.copytree(plain / "images", others, dirs_exist_ok=True)
    for start in (project / data, Path(data)):
        monkeypatch.chdir(project)
        folders = {shot.photo_path.resolve().parent for shot in read_capture(start).shots}
        assert folders == {(project / photos).resolve()}
    if model == "text":
        return  # Its project may be any.
    (project / photos / "p01.png").unlink()
    with pytest.raises(InputError, match=r"names the photo 'p01\.png', which is missing: put its photos into"):
        read_capture(project / data)


def test_masks_of_another_folder_are_not_taken(tmp_path):
    for name in ("images/right/a.jpg", "masks/left/a.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    assert find_mask(tmp_path / "images" / "right" / "a.jpg") is None


def test_masks_need_not_be_named_in_the_file(own, plain):
    without_masks(own)
    with_files, named = opened(own), opened(plain)
    for ours, theirs in zip(with_files.views, named.views, strict=True):
        assert ours.shot.mask_path is not None and not any(look.guessed for look in with_files.looks)
        np.testing.assert_array_equal(ours.picture.mask, theirs.picture.mask)


def test_masks_without_the_name_of_a_photo_are_said(own, monkeypatch, said):
    from baseh3d_ns.pretrained import silhouettes

    masks = iter([np.asarray(Image.open(path)) > 127 for path in sorted((own / "masks").iterdir())])
    guess = lambda *_: silhouettes.Silhouette(mask := next(masks), np.ones_like(mask), 1.0)  # noqa: E731
    monkeypatch.setattr(silhouettes, "guess_silhouette", guess)
    without_masks(own)
    for mask in sorted((own / "masks").iterdir()):
        mask.rename(mask.with_name(f"other_{mask.name}"))
    opened(own)
    assert f"{own / 'masks'} holds no mask with the name of a photo, such as p00.png." in said


def test_an_inverted_mask_is_refused(own):
    path = own / "masks" / "p02.png"
    Image.eval(Image.open(path), lambda value: 255 - value).save(path)
    for read in (lambda: opened(own), lambda: load_photo(own / "images" / "p02.png", path)):
        with pytest.raises(InputError, match=r"p02\.png looks inverted"):
            read()


def faces(monkeypatch, *middles: tuple[float, float] | None) -> None:
    """Let a face be found about these points (x, y) of the photos, None for no face."""
    spread = np.random.default_rng(0).normal(0.0, 2.0, (468, 2))
    found = [None if one is None else FaceLandmarks(spread + one, np.zeros(468), 0.9, 0.0) for one in middles]
    monkeypatch.setattr(looks, "_find_landmarks", lambda photos, masks: found)
    monkeypatch.setattr(looks, "_rays", lambda *_: None)
    monkeypatch.setattr(looks, "find_face_in_space", lambda rays: None)


def middle_of(mask: Path) -> tuple[float, float]:
    rows, columns = np.nonzero(np.asarray(Image.open(mask)) > 127)
    return float(columns.mean()), float(rows.mean())


def test_much_grey_in_a_mask_is_said(own, said):
    """Soft edges are usual, and a trimap is meant so; a trimap as JPEG has other greys."""
    paths = sorted((own / "masks").iterdir())[:4]
    soft, *others = (np.asarray(Image.open(path)) for path in paths)
    tops = [(mask > 127) & (np.cumsum(mask > 127).reshape(mask.shape) < 0.3 * (mask > 127).sum()) for mask in others]
    noise = np.random.default_rng(0).integers(-8, 9, soft.shape)
    greys = [np.where(top, grey, mask) for top, grey, mask in zip(tops, (128, 128 + noise, 180), others, strict=True)]
    for path, content in zip(paths, (cv2.GaussianBlur(soft, (3, 3), 0), *greys), strict=True):
        Image.fromarray(content.astype(np.uint8)).save(path)
    opened(own)
    (line,) = [line for line in said if "much grey" in line]
    assert f"counts as head: {paths[2].name}, {paths[3].name}; save them" in line


def test_masks_that_leave_out_the_faces_are_refused(own, monkeypatch):
    """Upside down, or of other photos."""
    rewrite(own, lambda meta: meta["head"].pop("mm_per_unit"))
    inside = [middle_of(path) for path in sorted((own / "masks").iterdir())]
    faces(monkeypatch, (2.0, 2.0), (2.0, 2.0), None, inside[3], None)
    with pytest.raises(InputError, match=r"the mask of images/p00\.png leaves out the face in it: make the mask"):
        opened(own)


def test_a_face_outside_a_mask_is_somebody_elses_where_most_are_inside(own, monkeypatch, said):
    inside = [middle_of(path) for path in sorted((own / "masks").iterdir())]
    faces(monkeypatch, (2.0, 2.0), inside[1], None, inside[3], (500.0, 500.0))
    scene = opened(own)
    assert [look.face_score for look in scene.looks] == [None, 0.9, None, 0.9, None]
    assert any(line.endswith("are taken for other people's: images/p00.png, images/p04.png.") for line in said)


def test_a_mask_says_which_of_two_people_is_meant():
    mask = np.zeros((40, 60), bool)
    mask[5:30, 35:55] = True
    spread = np.random.default_rng(0).normal(0.0, 1.0, (468, 2))
    other, meant, unsure = (
        FaceLandmarks(spread + middle, np.zeros(468), score, 0.0)
        for middle, score in (((10.0, 20.0), 0.9), ((45.0, 15.0), 0.8), ((10.0, 10.0), 0.2))
    )
    # A face that is none, outside a mask, says nothing against the mask.
    found = faces_in_masks(list("abcd"), [mask, None, mask, mask], [[other, meant], [other, meant], [unsure], [unsure]])
    assert found == [[meant], [other, meant], [], []]
    with pytest.raises(InputError, match="the mask of a leaves out the face"):
        faces_in_masks(["a", "b"], [mask, mask], [[other], [unsure]])


def test_photos_without_a_camera_are_named(plain, tmp_path, said):
    write_colmap(plain, tmp_path, text=True)
    shutil.copy(tmp_path / "images" / "p00.png", tmp_path / "images" / "q.png")
    (tmp_path / "images" / "notes.txt").touch()
    for companion in ("p00.depth.png", "p01_mask.png"):
        shutil.copy(tmp_path / "images" / "p00.png", tmp_path / "images" / companion)
    elsewhere = tmp_path.parent / f"{tmp_path.name}-archive"
    elsewhere.mkdir()
    (tmp_path / "images" / "p01.png").rename(elsewhere / "p01.png")
    (tmp_path / "images" / "p01.png").symlink_to(elsewhere / "p01.png")
    shutil.copy(elsewhere / "p01.png", elsewhere / "other.png")
    opened(tmp_path)
    assert "These photos have no camera, so they are not used: q.png." in said
    report = capture(options(tmp_path, tmp_path / "head"))
    assert "1 photo is left out, without a camera or a silhouette of the head: q.png." in report


def test_names_of_text_models_may_hold_spaces(plain, tmp_path):
    write_colmap(plain, tmp_path, text=True)
    file = tmp_path / "sparse" / "0" / "images.txt"
    file.write_text(file.read_text().replace(" p01.png", " my photo  1.png"))
    (tmp_path / "images" / "p01.png").rename(tmp_path / "images" / "my photo  1.png")
    names = [shot.name for shot in read_capture(tmp_path).shots]
    assert names == ["my photo  1.png", "p00.png", "p02.png", "p03.png", "p04.png"]


def test_names_may_be_written_on_windows(own, plain):
    def change(meta):
        for frame in meta["frames"]:
            for key in ("file_path", "mask_path"):
                frame[key] = ".\\" + frame[key].replace("/", "\\")

    (own / "images" / "p01.png").rename(own / "images" / unicodedata.normalize("NFD", "é.png"))
    rewrite(own, change)
    text = (own / "transforms.json").read_text()
    (own / "transforms.json").write_text(text.replace("images\\\\p01.png", "images\\\\é"))
    (named,) = (shot.photo_path for shot in read_capture(own).shots if shot.name.endswith("é"))
    assert unicodedata.normalize("NFC", named.name) == "é.png"
    named.rename(own / "images" / "p01.png")
    (own / "transforms.json").write_text(text)
    for ours, theirs in zip(read_capture(own).shots, read_capture(plain).shots, strict=True):
        assert ours.photo_path.samefile(own / "images" / theirs.photo_path.name) and ours.mask_path.is_file()


def options(source: Path, out: Path) -> CaptureOptions:
    scale = ScaleOptions(mm_per_unit=1.0 / ELSEWHERE.scale)
    return CaptureOptions(source, out, scale, 90.0, estimate_cameras=False, turning_head=False, overwrite=False)


def test_cameras_beside_the_photos_come_before_an_earlier_capture(plain, tmp_path, said):
    write_colmap(plain, tmp_path, text=False)
    assert "Cameras as given by" in capture(options(tmp_path, tmp_path / "head"))
    report = capture(options(tmp_path, tmp_path / "again"))
    assert f"Cameras as given by {tmp_path / 'sparse' / '0'}." in report
    opened(tmp_path)
    assert f"{tmp_path / 'head'}, which `baseh3d capture` made, is used." in said


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_size_of_a_turned_tiff_is_the_stored_one(tmp_path, orientation):
    stored = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8))
    save_as_stored(stored, tmp_path / "a.tif", orientation)
    assert picture_size(tmp_path / "a.tif") == (60, 40, orientation)
    (width, height), as_stored = counted_size(tmp_path / "a.tif", (60, 40), True)
    photo = read_counted(tmp_path / "a.tif", as_stored)
    assert photo.shape[:2] == (height, width)
    np.testing.assert_array_equal(photo, np.asarray(stored))


def test_sizes_of_no_head_are_refused(own):
    rewrite(own, lambda meta: meta["head"].pop("mm_per_unit"))
    for mm_per_unit in (1.0, 5000.0):
        with pytest.raises(InputError, match=r"transforms\.json is .* mm large, if one unit .* by --mm-per-unit: corr"):
            HeadDataParserConfig(data=own, mm_per_unit=mm_per_unit).setup()


def test_a_unit_that_contradicts_the_capture_is_refused(own):
    with pytest.raises(InputError, match="--unit m makes the head 12.3 times as large as a head is: leave it out"):
        HeadDataParserConfig(data=own, unit="m").setup()


def test_the_face_in_the_mask_is_looked_for_where_another_is_larger(monkeypatch):
    mask = np.zeros((100, 200), bool)
    mask[40:60, 150:170] = True
    spread = np.random.default_rng(0).normal(0.0, 1.0, (468, 2))

    def find(photo):
        """Only the largest face of a photo is found."""
        centre = (40.0, 50.0) if photo.shape[1] == 200 else (14.0, 14.0)
        return [FaceLandmarks(spread + centre, np.zeros(468), 0.9, 0.0)]

    monkeypatch.setattr(masks, "find_faces", find)
    photo = np.zeros((100, 200, 3), np.uint8)
    _, inner = find_faces_at_mask(photo, mask)
    np.testing.assert_allclose(inner.points_px.mean(axis=0), (160.0, 50.0), atol=0.2)
    assert [len(found) for found in faces_in_masks(["a"], [mask], [find_faces_at_mask(photo, mask)])] == [1]
    assert looks._chosen(find_faces_at_mask(photo, mask), mask).points_px.mean() > 100.0
    assert len(find_faces_at_mask(photo, None)) == 1


def test_a_map_of_labels_is_no_mask(tmp_path):
    labels = np.zeros((40, 40), np.uint8)
    labels[5:20, 5:30], labels[20:30, 10:25] = 60, 200
    Image.fromarray(labels).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png holds 3 labels \(0, 60, 200\), so it does not tell what is head"):
        read_mask(tmp_path / "a.png")
    smooth = np.asarray(
        Image.fromarray((labels > 0).astype(np.uint8) * 255).resize((57, 57), Image.Resampling.BILINEAR)
    )
    Image.fromarray(smooth // 64 * 85).save(tmp_path / "b.png")
    assert read_mask(tmp_path / "b.png").any()


def test_masks_that_no_capture_made_are_not_overwritten(own, tmp_path):
    (tmp_path / "prepared" / "masks").mkdir(parents=True)
    (tmp_path / "prepared" / "masks" / "mine.png").touch()
    with pytest.raises(InputError, match="holds masks, which no capture made"):
        capture(replace(options(own, tmp_path / "prepared"), overwrite=True))
    shutil.copy(own / "transforms.json", tmp_path / "prepared")
    rewrite(tmp_path / "prepared", lambda meta: meta.pop("head"))
    with pytest.raises(InputError, match="holds masks, which no capture made"):
        capture(replace(options(own, tmp_path / "prepared"), overwrite=True))
    assert (tmp_path / "prepared" / "masks" / "mine.png").is_file()


@pytest.mark.parametrize(
    ("made", "program"),
    [("keyframes/a.txt", "polycam"), ("cameras.xml", "metashape"), ("cameras.csv", "realitycapture")],
)
def test_exports_of_other_programs_are_sent_to_nerfstudio(tmp_path, made, program):
    (tmp_path / made).parent.mkdir(exist_ok=True)
    (tmp_path / made).touch()
    for read in (opened, find_photos):
        with pytest.raises(InputError, match=f"`ns-process-data {program}`"):
            read(tmp_path)


def test_the_thumbnail_of_an_export_is_not_taken_for_the_only_photo(tmp_path):
    """Polycam's raw export has its photos and their cameras in metres in `keyframes`."""
    (tmp_path / "keyframes").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "thumbnail.jpg")
    for read in (find_photos, opened):
        with pytest.raises(InputError, match="`ns-process-data polycam`") as refused:
            read(tmp_path)
        assert "baseh3d capture" not in str(refused.value)


def test_names_of_other_systems_are_found(plain, tmp_path):
    write_colmap(plain, tmp_path, text=True)
    file = tmp_path / "sparse" / "0" / "images.txt"
    text = file.read_text().replace(" p01.png", " front\\Müller.png").replace(" p02.png", " Zoë.png")
    file.write_bytes(text.encode("cp1252"))
    (tmp_path / "images" / "front").mkdir()
    (tmp_path / "images" / "p01.png").rename(tmp_path / "images" / "front" / "Müller.png")
    (tmp_path / "images" / "p02.png").rename(tmp_path / "images" / "Zoë.png")
    (tmp_path / "masks" / "p02.png").rename(tmp_path / "masks" / unicodedata.normalize("NFD", "Zoë.png"))
    assert "Zoë.png" in {shot.photo_path.name for shot in read_capture(tmp_path).shots}
    (tmp_path / "images" / "Zoë.png").rename(tmp_path / "images" / unicodedata.normalize("NFD", "Zoë.png"))
    shots = {unicodedata.normalize("NFC", shot.photo_path.name): shot for shot in read_capture(tmp_path).shots}
    assert set(shots) == {"Müller.png", "Zoë.png", "p00.png", "p03.png", "p04.png"}
    assert shots["Zoë.png"].mask_path is not None
    file.write_bytes(b"\xef\xbb\xbf" + text.replace("Müller", "Muller").encode())
    (tmp_path / "images" / "front" / "Müller.png").rename(tmp_path / "images" / "front" / "Muller.png")
    assert len(read_capture(tmp_path).shots) == 5


def test_masks_of_another_person_beside_are_not_taken(tmp_path):
    for name in ("masks/IMG_1.png", "patient2/IMG_1.jpg", "patient3/images/IMG_1.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    assert find_mask(tmp_path / "patient2" / "IMG_1.jpg") is None
    assert find_mask(tmp_path / "patient3" / "images" / "IMG_1.jpg") is None


def test_masks_of_frames_lie_beside_the_video_and_are_no_other_videos(tmp_path, monkeypatch, said):
    mask = tmp_path / "masks" / "a_mp4_00007.png"
    mask.parent.mkdir()
    mask.touch()
    monkeypatch.setattr(command, "check_tools", lambda *_, **__: None)
    monkeypatch.setattr(command, "save_frames", lambda video, to: [to / frame_name(video, number) for number in (3, 7)])

    def masks_of(name: str) -> list[Path | None]:
        (tmp_path / name).touch()
        return list(command._photos(options(tmp_path / name, tmp_path / "head"), tmp_path / "new").values())

    assert masks_of("a.mp4") == [None, mask] and not said
    assert masks_of("a.MOV") == masks_of("b.mp4") == [None, None]
    assert said[0] == f"{mask.parent} holds no mask with the name of a frame, such as a_mov_00003.png."


def test_views_that_were_asked_for_are_named(own, said):
    HeadDataParserConfig(data=own, views=("1,3",)).setup()
    assert "Photos to train on: images/p01.png, images/p03.png." in said


def test_a_doubtful_scale_is_in_the_report(own, monkeypatch):
    from baseh3d_ns.own_photos import scene

    monkeypatch.setattr(scene, "doubt", lambda *_: "With that scale the face is 250 %.")
    assert "With that scale the face is 250 %." in capture(options(own, own / "head"))


NEEDED = [name for name in MODELS if name not in OPTIONAL]


@pytest.mark.parametrize(
    ("count", "needs_networks", "wanted"),
    [(3, False, NEEDED), (12, False, ["capture"]), (12, True, ["capture", *NEEDED])],
)
def test_what_finds_cameras_is_asked_for_first(monkeypatch, count, needs_networks, wanted):
    from baseh3d_ns.capture import solve

    asked: list[str] = []
    monkeypatch.setattr(solve, "require_extra", asked.append)
    monkeypatch.setattr(solve, "model_file", asked.append)
    check_tools(count, needs_networks)
    assert asked == wanted


@pytest.mark.parametrize("source", ["folder", "video"])
def test_nothing_is_read_before_it_is_known_that_cameras_can_be_found(own, tmp_path, monkeypatch, source):
    from baseh3d_ns.capture import solve

    def missing(_: str) -> None:
        raise InputError("this needs pycolmap")

    monkeypatch.setattr(solve, "require_extra", missing)
    monkeypatch.setattr(solve, "model_file", missing)
    for name in ("load_photo", "save_frames"):
        monkeypatch.setattr(command, name, None)
    (own / "transforms.json").unlink()
    (tmp_path / "a.mp4").touch()
    place = own if source == "folder" else tmp_path / "a.mp4"
    with pytest.raises(InputError, match="this needs pycolmap"):
        capture(CaptureOptions(place, tmp_path / "out", ScaleOptions(), 90.0, False, False, False))
