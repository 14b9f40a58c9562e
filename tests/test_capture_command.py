"""`baseh3d capture` with cameras given: folder, sheet, report; nothing overwritten; frames of a video."""

from __future__ import annotations

import json
import os
import resource
import shutil
import struct
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from own_capture import rewrite, write_own_photos
from PIL import Image
from tiny_root import SCENE

from baseh3d_ns.cameras import Pinhole
from baseh3d_ns.capture import command
from baseh3d_ns.capture.command import CaptureOptions, capture
from baseh3d_ns.capture.report import PhotoReport, advice, table
from baseh3d_ns.capture.rise import rise_mm
from baseh3d_ns.capture.sheet import DIM, UNKNOWN, overlay
from baseh3d_ns.capture.solve import LANDMARKS, FittedFace, SolvedCameras
from baseh3d_ns.capture.solved import SolvedView
from baseh3d_ns.capture.sources import check_output, find_photos
from baseh3d_ns.capture.video import _measured, choose_frames, early_end, frame_name, save_frames
from baseh3d_ns.commands import data as commands
from baseh3d_ns.errors import InputError
from baseh3d_ns.files import whole_folder
from baseh3d_ns.frames import HEAD_FRAME, LANDMARKS_MM
from baseh3d_ns.own_photos import scene
from baseh3d_ns.own_photos.dataparser import HeadDataParserConfig
from baseh3d_ns.own_photos.faces import POINTS, face_of
from baseh3d_ns.own_photos.head_block import read_head_block
from baseh3d_ns.own_photos.head_frame import FARTHEST_EARS, find_head_frame
from baseh3d_ns.own_photos.hull import Silhouette
from baseh3d_ns.own_photos.masks import find_mask, given_trimap, mask_file
from baseh3d_ns.own_photos.metric_scale import BY_FACE, BY_FACE_AND_IRISES, MetricScale, ScaleOptions
from baseh3d_ns.own_photos.scene import NECK_MM, open_own_photos, read_capture
from baseh3d_ns.pretrained.landmark_model import load_landmark_model

SCALE = ScaleOptions(mm_per_unit=80.0)


pytestmark = pytest.mark.usefixtures("no_faces")


@pytest.fixture
def photos(tiny_root, tmp_path) -> Path:
    """Photos with a transforms.json and masks, as another program left them."""
    folder = tmp_path / "photos"
    write_own_photos(tiny_root, SCENE, folder, distortion=(-0.1, 0.02, 0.0, 0.0, 0.0))
    return folder


def options(source: Path, out: Path, **others: object) -> CaptureOptions:
    usual = CaptureOptions(source, out, SCALE, 90.0, estimate_cameras=False, turning_head=False, overwrite=False)
    return replace(usual, **others)  # type: ignore[arg-type]


def test_what_is_written_opens_as_the_same_head(photos):
    out = photos / "head"
    said = capture(options(photos, out))
    assert {path.name for path in out.iterdir()} == {"transforms.json", "masks", "capture.png"}
    before, after = (open_own_photos(folder, SCALE, 90.0, 64) for folder in (photos, out))
    assert after.frame.scale.mm_per_unit == 80.0 and len(after.views) == 5
    np.testing.assert_allclose(after.frame.centre, before.frame.centre)
    np.testing.assert_allclose(after.frame.rotation, before.frame.rotation, atol=1e-12)
    for ours, theirs in zip(after.views, before.views, strict=True):
        assert ours.shot.photo_path.samefile(theirs.shot.photo_path)
        np.testing.assert_allclose(ours.camera.intrinsics, theirs.camera.intrinsics)
        np.testing.assert_allclose(ours.camera.centre_mm, theirs.camera.centre_mm, rtol=1e-9)
        assert (ours.picture.mask == theirs.picture.mask).mean() > 0.999
    assert "Cameras as given" in said and "given" in said and f"--data {out} head-data" in said
    with Image.open(out / "capture.png") as sheet:
        assert min(sheet.size) > 300


def test_splits_and_rational_lenses_are_handed_over(photos):
    """k4 to k6, by COLMAP's FULL_OPENCV, are another model than nerfstudio's k4."""
    lens = {"camera_model": "FULL_OPENCV", "k4": 0.05, "k5": -0.02, "k6": 0.01}
    splits = {"train": [0, 2, 3], "val": [1], "test": [4]}

    def change(meta: dict) -> None:
        names = [frame["file_path"] for frame in meta["frames"]]
        meta.update({f"{split}_filenames": [names[i] for i in numbers] for split, numbers in splits.items()}, **lens)

    rewrite(photos, change)
    capture(options(photos, photos / "head"))
    before, after = read_capture(photos), open_own_photos(photos / "head", SCALE, 90.0, 64)
    assert after.splits == splits
    for ours, theirs in zip(after.capture.shots, before.shots, strict=True):
        np.testing.assert_allclose(ours.lens.distortion, theirs.lens.distortion)
        assert ours.lens.distortion[5:].all()
    rewrite(photos / "head", lambda meta: meta.update(camera_model="OPENCV"))
    with pytest.raises(InputError, match="a distortion with k4, which head-data cannot undo"):
        read_capture(photos / "head")


def test_an_earlier_capture_is_kept_unless_told_otherwise(photos):
    out = photos / "head"
    capture(options(photos, out))
    (out / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="is there already: pass --overwrite"):
        capture(options(photos, out))
    with pytest.raises(InputError, match="holds notes.txt, which no capture made: move it away"):
        capture(options(photos, out, overwrite=True))
    (out / "notes.txt").unlink()
    mended = min((out / "masks").iterdir())
    before = mended.stat().st_mtime
    os.utime(mended, (before + 60.0, before + 60.0))
    rewrite(out, lambda meta: meta["frames"][0].pop("mask_sha256"))  # as before 0.3.5
    with pytest.raises(InputError, match=f"{mended.name} was changed after the capture: copy it to where the cameras"):
        capture(options(photos, out, overwrite=True))
    # Taking out a photo afterwards makes the file of cameras younger than the mask.
    os.utime(out / "transforms.json", (before + 90.0, before + 90.0))
    with pytest.raises(InputError, match=f"{mended.name} was changed after the capture"):
        capture(options(photos, out, overwrite=True))
    os.utime(mended, (before, before))
    (out / "masks" / "007_old.png").touch()
    os.utime(out / "masks" / "007_old.png", (before, before))
    capture(options(photos, out, overwrite=True))
    assert not (out / "masks" / "007_old.png").exists() and (out / "transforms.json").is_file()
    assert [path.name for path in photos.iterdir() if path.name.startswith(".")] == []


def test_a_mask_is_known_by_what_it_shows_whatever_its_time_says(photos):
    """A mask that was moved there keeps its time; a copied folder may have another for every file."""
    out = photos / "head"
    capture(options(photos, out))
    mended, *others = sorted((out / "masks").iterdir())
    for mask in others:
        os.utime(mask, (mask.stat().st_mtime + 60.0,) * 2)
    capture(options(photos, out, overwrite=True))
    times = (mended.stat().st_mtime - 3600.0,) * 2
    Image.new("L", Image.open(mended).size, 255).save(mended)
    os.utime(mended, times)
    with pytest.raises(InputError, match=f"{mended.name} was changed after the capture"):
        capture(options(photos, out, overwrite=True))
    assert np.asarray(Image.open(mended)).min() == 255


@pytest.mark.parametrize(
    ("source", "mask", "place"),
    [
        ("walk.MOV", "000_walk_MOV_00012.png", "masks/walk_MOV_00012.png"),
        ("photos", "000_IMG_1.png", "photos/masks/IMG_1.png"),
        ("project", "000_IMG_1.png", "project/images/masks/IMG_1.png"),
    ],
)
def test_where_a_mended_mask_belongs_is_where_it_is_found(tmp_path, source, mask, place):
    """The frames of a film have their masks beside the film."""
    (tmp_path / "walk.MOV").touch()
    for folder in ("photos", "project/images"):
        (tmp_path / folder).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / folder / "IMG_1.jpg")
    out = tmp_path / "head"
    (out / "masks").mkdir(parents=True)
    (out / "transforms.json").write_text('{"head": {}, "frames": []}')
    os.utime(out / "transforms.json", (0.0, 0.0))
    Image.new("L", (8, 8)).save(out / "masks" / mask)
    with pytest.raises(InputError) as refused:
        check_output(tmp_path / source, out, overwrite=True)
    assert f"copy it to {tmp_path / place}, so that" in str(refused.value)
    (tmp_path / place).parent.mkdir()
    shutil.copy(out / "masks" / mask, tmp_path / place)
    photo = tmp_path / "walk_MOV_00012.jpg" if source == "walk.MOV" else find_photos(tmp_path / source)[0]
    assert mask_file(photo) == tmp_path / place


@pytest.mark.parametrize("mine", ["masks/old.png", "frames/notes.txt"])
def test_what_no_capture_made_within_its_folders_is_kept(photos, mine):
    """A file moved there keeps its time, so that its name alone tells."""
    out = photos / "head"
    capture(options(photos, out))
    (out / "frames").mkdir()
    for name in (mine, f"frames/{frame_name(Path('walk.MOV'), 123456)}"):
        (out / name).touch()
        os.utime(out / name, (0.0, 0.0))
    with pytest.raises(InputError, match=f"head holds {mine}, which no capture made: move it away"):
        capture(options(photos, out, overwrite=True))
    (out / mine).unlink()
    capture(options(photos, out, overwrite=True))


def test_a_folder_of_something_else_is_never_overwritten(photos, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("1")
    with pytest.raises(InputError, match="holds chapter.txt, which no capture made"):
        capture(options(photos, tmp_path / "thesis", overwrite=True))
    assert (tmp_path / "thesis" / "chapter.txt").is_file()
    for out in (photos, photos.parent):
        with pytest.raises(InputError, match="holds the photos themselves"):
            capture(options(photos, out, overwrite=True))
    assert (photos / "transforms.json").is_file()


def test_a_unit_of_cameras_that_are_yet_to_be_found_is_refused_before_a_photo_is_read(photos, monkeypatch):
    monkeypatch.setattr(command, "load_photo", None)
    for scale, name in ((ScaleOptions(unit="m"), "--unit"), (ScaleOptions(mm_per_unit=2.0), "--mm-per-unit")):
        with pytest.raises(InputError, match=f"{name} is for cameras of another program"):
            capture(options(photos, photos / "head", scale=scale, estimate_cameras=True))
    with pytest.raises(InputError, match=r"--pupils-mm 6\.3.*give millimetres"):
        capture(options(photos, photos / "head", scale=ScaleOptions(pupils_mm=6.3)))


def test_options_that_would_do_nothing_are_refused_before_a_photo_is_read(photos, monkeypatch):
    capture(options(photos, photos / "head"))
    assert commands.Capture(photos).neck_mm == HeadDataParserConfig().neck_mm == NECK_MM
    monkeypatch.setattr(scene, "look_at", None)
    said = r"--neck-mm 60 does nothing here, .*head/transforms.json says already where the head ends: leave it out"
    with pytest.raises(InputError, match=said):
        HeadDataParserConfig(data=photos / "head", neck_mm=60.0).setup()
    with pytest.raises(InputError, match=said):
        capture(options(photos / "head", photos / "again", neck_mm=60.0))
    with pytest.raises(InputError, match=r"--turning-head is for cameras .*/photos/transforms.json has them: leave it"):
        capture(options(photos, photos / "again", turning_head=True))


def test_a_cropped_photo_is_named_before_cameras_are_looked_for(tmp_path, monkeypatch, capsys):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 26
    Image.radial_gradient("L").resize((400, 500)).save(tmp_path / "cut.jpg", exif=exif)
    monkeypatch.setattr(command, "check_tools", lambda *_, **__: None)

    def stops(*_: object) -> None:
        raise InputError("no further")

    monkeypatch.setattr(command, "solve_cameras", stops)
    with pytest.raises(InputError, match="no further"):
        capture(options(tmp_path, tmp_path / "head", scale=ScaleOptions()))
    assert "cut.jpg (400 x 500 pixels)" in " ".join(capsys.readouterr().out.split())


def test_a_failure_leaves_the_earlier_capture(photos, monkeypatch):
    out = photos / "head"
    capture(options(photos, out))
    before = (out / "transforms.json").read_bytes()

    def fails(*_: object) -> None:
        raise InputError("the disk is full")

    monkeypatch.setattr(command, "save_sheet", fails)
    with pytest.raises(InputError, match="the disk is full"):
        capture(options(photos, out, overwrite=True))
    assert (out / "transforms.json").read_bytes() == before


def test_one_camera_alone_does_not_tell_where_the_head_is(photos):
    frames = json.loads((photos / "transforms.json").read_text())
    frames["frames"] = frames["frames"][:1]
    (photos / "transforms.json").write_text(json.dumps(frames))
    with pytest.raises(InputError, match="does not tell where the head is: add photos, .*--estimate-cameras"):
        capture(options(photos, photos / "head"))


@pytest.mark.parametrize("size", [1.0, 0.3, 2.0])
def test_one_photo_alone_takes_ball_and_cut_from_its_face(photos, monkeypatch, size):
    """The head of a doll in a small ball, before a camera that is near."""
    shot = read_capture(photos).shots[0]
    (photos / "transforms.json").unlink()
    for other in photos.rglob("*"):
        if other.is_file() and other not in (shot.photo_path, shot.mask_path):
            other.unlink()
    lens = shot.lens
    ahead = np.diag([1.0, -1.0, -1.0]), np.array([0.0, 0.0, 800.0 * size])
    camera = Pinhole(lens.intrinsics, *ahead, lens.width, lens.height)
    face = FittedFace(size * load_landmark_model().mean_mm, MetricScale(1.0, "pupils 61 mm", 3.0))
    solved = SolvedCameras((SolvedView(shot.name, camera),), LANDMARKS, face)
    monkeypatch.setattr(command, "solve_cameras", lambda *_: solved)
    said = capture(options(photos, photos / "head", scale=ScaleOptions(pupils_mm=61.0)))
    assert ("% of the average adult's: check it" in said) == (size != 1.0)
    head = json.loads((photos / "head" / "transforms.json").read_text())["head"]
    # The silhouette of one photo reaches as far as one looks, a head does not.
    assert head["radius"] == pytest.approx(size * HEAD_FRAME.radius_mm, rel=0.04)
    assert np.array(head["centre"]) == pytest.approx(
        head["radius"] / HEAD_FRAME.radius_mm * np.array(HEAD_FRAME.centre_mm)
    )
    chin_mm = face.landmarks_mm[POINTS["chin"]]
    assert head["cut"]["point"] == pytest.approx([chin_mm[0], chin_mm[1] - 90.0, chin_mm[2]])
    assert head["scale_source"] == "pupils 61 mm" and head["mm_per_unit"] == 1.0 and head["ears"] == [0.0, 0.0, 0.0]


def test_guessed_masks_are_told_from_given_ones_when_the_folder_is_opened_again(photos, monkeypatch):
    """Wrong ones would carve the head, were their weight raised late in a fit as that of given ones is."""

    def opened() -> bool:
        config = HeadDataParserConfig(data=photos / "head")
        return config.setup().get_dataparser_outputs("train").metadata.get("guessed_masks", False)

    capture(options(photos, photos / "head"))
    assert not opened()
    rewrite(photos / "head", lambda meta: meta["frames"][1].update(mask_guessed=True))
    assert opened()
    looked = scene.look_at

    def guessing(*given):
        looks, face = looked(*given)
        return [replace(looks[0], guessed=True), *looks[1:]], face

    with monkeypatch.context() as patch:
        patch.setattr(scene, "look_at", guessing)
        capture(options(photos, photos / "head", overwrite=True))
    frames = json.loads((photos / "head" / "transforms.json").read_text())["frames"]
    assert [frame["mask_guessed"] for frame in frames] == [True] + [False] * (len(frames) - 1)
    assert opened()
    said = capture(options(photos / "head", photos / "again"))
    assert [line.split()[3] for line in said.splitlines()[1 : 1 + len(frames)]] == ["guessed"] + ["given"] * 4
    mended = photos / "head" / frames[0]["mask_path"]
    mask = np.asarray(Image.open(mended)).copy()
    mask[0, 0] = 255 - mask[0, 0]
    Image.fromarray(mask).save(mended)
    assert not opened(), "what was mended by hand is the user's"


def test_the_face_that_gave_the_cameras_stands_in_where_no_photos_agree_on_one(photos, monkeypatch):
    """Without it the ball would hold shoulders and all, and `--neck-mm` do nothing."""
    given, head = read_capture(photos), open_own_photos(photos, SCALE, 90.0, 64).frame
    (photos / "transforms.json").unlink()
    landmarks_mm, cameras = load_landmark_model().mean_mm, []
    for shot in given.shots:
        rotation = shot.rotation @ head.rotation.T
        centre_mm = 80.0 * head.rotation @ (shot.centre - head.centre) + HEAD_FRAME.centre_mm
        lens = shot.lens
        cameras.append(Pinhole(lens.intrinsics, rotation, -rotation @ centre_mm, lens.width, lens.height))
    views = tuple(SolvedView(shot.name, camera) for shot, camera in zip(given.shots, cameras, strict=True))
    solved = SolvedCameras(views, LANDMARKS, FittedFace(landmarks_mm, MetricScale(1.0, BY_FACE, 6.0)))
    monkeypatch.setattr(command, "solve_cameras", lambda *_: solved)
    found, find = [], scene.find_head_frame
    monkeypatch.setattr(scene, "find_head_frame", lambda *given: found.append(given[3]) or find(*given))
    capture(options(photos, photos / "head", scale=ScaleOptions()))
    np.testing.assert_allclose(found[0].points, landmarks_mm[list(POINTS.values())])
    np.testing.assert_allclose(found[0].in_average(found[0].points)[:6], list(LANDMARKS_MM.values()), atol=8.0)


def test_the_ears_of_a_doll_are_no_mistake_of_a_file_without_them(photos):
    """They lie as far behind its nose as an adult's, far outside of its ball."""
    given, head = read_capture(photos), open_own_photos(photos, SCALE, 90.0, 64).frame
    landmarks_mm = load_landmark_model().mean_mm[list(POINTS.values())]
    face = face_of((landmarks_mm - HEAD_FRAME.centre_mm) / 80.0 @ head.rotation + head.centre, (0, 1, 2))
    silhouettes = [Silhouette(shot, given_trimap(shot).mask) for shot in given.shots]
    doll = find_head_frame(given, silhouettes, silhouettes, face, ScaleOptions(pupils_mm=15.0), 90.0)
    assert np.linalg.norm(doll.ears - doll.centre) > FARTHEST_EARS * doll.radius
    written = replace(given, given=read_head_block(photos, doll.block()))
    again = find_head_frame(written, silhouettes, silhouettes, None, ScaleOptions(), 90.0)
    np.testing.assert_allclose(again.ears, doll.ears)


@pytest.mark.parametrize(
    ("name", "said"), [("nowhere", "no such folder"), ("empty", "holds no photos"), ("a.txt", "is one file")]
)
def test_no_photos_is_a_sentence_and_nothing_is_made(tmp_path, name, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").write_text("no photo")
    with pytest.raises(InputError, match=said):
        capture(options(tmp_path / name, command.usual_out(tmp_path / name), scale=ScaleOptions()))
    assert {path.name for path in tmp_path.rglob("*")} == {"empty", "a.txt"}


def test_masks_among_the_photos_are_named(tmp_path):
    for name in ("a.jfif", "a_mask.png", "b.jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / name, format="JPEG")
    with pytest.raises(InputError, match=r"a_mask.png is a mask among the photos: move all masks into .*masks"):
        find_photos(tmp_path)
    (tmp_path / "a_mask.png").rename(tmp_path / "c_mask.png")
    assert [path.name for path in find_photos(tmp_path)] == ["a.jfif", "b.jpg", "c_mask.png"]


def test_photos_in_two_places_are_told(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("thumbnail.jpg", "images/a.jpg", "images/b.jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    with pytest.raises(InputError, match=r"holds pictures \(thumbnail.jpg\), and so does its folder images \(a.jpg\)"):
        find_photos(tmp_path)
    (tmp_path / "thumbnail.jpg").unlink()
    assert [path.name for path in find_photos(tmp_path)] == ["a.jpg", "b.jpg"]


def test_a_folder_with_a_video_alone_is_told_to_pass_the_video(tmp_path):
    for name in ("notes.txt", "walk.MP4"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"holds no photos .*: pass the video itself: .*walk\.MP4$"):
        find_photos(tmp_path)


def test_films_and_raw_pictures_beside_photos_are_said_to_be_left_aside(tmp_path, capsys):
    """Phones write a film beside each photo."""
    Image.new("RGB", (8, 8)).save(tmp_path / "IMG_1.jpg")
    (tmp_path / "notes.txt").touch()
    find_photos(tmp_path)
    assert capsys.readouterr().out == ""
    for name in ("IMG_1.MOV", "IMG_2.mov", "IMG_3.dng", "._IMG_4.MOV"):
        (tmp_path / name).touch()
    assert [path.name for path in find_photos(tmp_path)] == ["IMG_1.jpg"]
    assert "IMG_1.MOV and 2 more." in " ".join(capsys.readouterr().out.split())


def test_photos_of_one_name_may_be_one_shot(tmp_path, capsys):
    for name in ("IMG_7.JPG", "IMG_7.HEIC", "IMG_8.jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / name, format="JPEG")
    assert len(find_photos(tmp_path)) == 3
    said = capsys.readouterr().out
    assert "IMG_7.HEIC and IMG_7.JPG" in said and "IMG_8" not in said
    (tmp_path / "IMG_7.HEIC").unlink()
    find_photos(tmp_path)
    assert capsys.readouterr().out == ""


def test_a_link_to_the_photos_keeps_its_place(photos, tmp_path, monkeypatch):
    """Masks lie beside it, not beside what it leads to."""
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "images").symlink_to(photos / "images")
    asked = []
    monkeypatch.setattr(command, "capture", lambda given: asked.append(given) or "")
    commands.Capture(tmp_path / "project" / "images").main()
    assert asked[0].source == tmp_path / "project" / "images" and asked[0].out == photos / "images" / "head"


def test_the_sheet_of_a_capture_is_no_photo(photos):
    capture(options(photos, photos / "head"))
    with pytest.raises(InputError, match="head holds no photos"):
        find_photos(photos / "head")


@pytest.mark.parametrize("name", ["A$AP_$1.png", os.fsdecode(b"M\xfcller.png")])
def test_photos_of_any_name_come_onto_the_sheet(photos, name):
    """Matplotlib takes two dollars for mathematics, and no bytes that are not UTF-8."""
    photo = photos / "images" / "p01.png"
    photo.rename(photo.with_name(name))
    rewrite(photos, lambda meta: meta["frames"][1].update(file_path=f"images/{name}"))
    capture(options(photos, photos / "head"))
    assert (photos / "head" / "capture.png").is_file()


def test_a_capture_that_a_killed_process_had_set_aside_comes_back(photos):
    out = photos / "head"
    capture(options(photos, out))
    out.rename(photos / ".head.before")
    with pytest.raises(InputError, match="is there already: pass --overwrite"):
        capture(options(photos, out))
    assert (out / "transforms.json").is_file() and not (photos / ".head.before").exists()


def test_masks_are_found_by_name(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    masks = ("masks/a.png", "masks/b.jpg.png", "masks/c.PNG", "masks/d_mask.jpg", "masks/notes.txt")
    for name in ("b.jpg", "a.JPG", ".hidden.jpg", "c.jpg", "d.jpg", "e.jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / name)
    for name in masks[:-1]:
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    found = find_photos(tmp_path)
    (tmp_path / masks[-1]).touch()
    assert [path.name for path in found] == ["a.JPG", "b.jpg", "c.jpg", "d.jpg", "e.jpg"]
    given = ["a.png", "b.jpg.png", "c.PNG", "d_mask.jpg", None]
    assert [mask.name if mask else None for mask in map(find_mask, found)] == given


def report(name: str, **others: object) -> PhotoReport:
    usual = PhotoReport(name, True, 100.0, True, 0.95, (), 0.9, 0.4)
    return replace(usual, **others)  # type: ignore[arg-type]


def at(*azimuths_deg: float) -> np.ndarray:
    radians = np.radians(azimuths_deg)
    return 500.0 * np.stack([np.sin(radians), np.zeros_like(radians), np.cos(radians)], axis=1)


MEASURED = "pupils 63 mm apart"


def test_advice_names_the_side_that_is_missing_and_the_photos_that_are_bad():
    photos = [report("a.jpg"), report("b.jpg", sharpness=5.0), report("c.jpg", agreement=0.3), report("d.jpg")]
    said = " ".join(advice(photos, [], at(-80.0, -40.0, 0.0, 5.0), MEASURED))
    assert "person's left" in said and "person's right" not in said
    assert "blurred: b.jpg" in said and "disagree on them: c.jpg" in said and "back" in said
    round_the_head = advice([report("a.jpg")] * 8, [], at(*range(0, 360, 45)), MEASURED)
    assert round_the_head == []
    for source in (BY_FACE, BY_FACE_AND_IRISES):
        unmeasured = advice([report("a.jpg")] * 8, [], at(*range(0, 360, 45)), source)
        assert len(unmeasured) == 1 and "--pupils-mm" in unmeasured[0]
    assert "e.jpg, d.jpg" in advice([report("a.jpg"), report("d.jpg", kept=False)], ["e.jpg"], at(0.0), MEASURED)[0]
    assert "cut off" not in " ".join(
        advice([report("a.jpg", cut_off=("bottom",))] * 3, [], at(-40.0, 0.0, 40.0), MEASURED)
    )


def test_a_film_of_much_else_is_to_be_cut():
    photos, centres = [report("a.jpg")] * 8, at(*range(0, 360, 45))
    assert any(
        "cut away what does not show the head" in said for said in advice(photos, ["e"] * 3, centres, MEASURED, True)
    )
    for lost, of_film in ((["e"] * 3, False), (["e"] * 2, True)):
        assert "cut away" not in " ".join(advice(photos, lost, centres, MEASURED, of_film))


def test_a_head_that_is_cut_off_is_told_from_a_silhouette_that_may_be_wrong():
    photos = [report("a.jpg", cut_off=("top",), guessed=False), report("b.jpg", cut_off=("left",)), report("c.jpg")]
    said = " ".join(advice(photos, [], at(-40.0, 0.0, 40.0), MEASURED))
    assert "The head is cut off in a.jpg:" in said and "Silhouettes reach the border in b.jpg (see capture.png)" in said


def test_a_silhouette_that_rises_far_above_the_others_is_named():
    low, tall = report("a.jpg", rise_mm=104.0), report("b.jpg", rise_mm=185.0)
    said = " ".join(advice([low, tall, replace(low, name="c.jpg")], [], at(-40.0, 0.0, 40.0), MEASURED))
    assert "rise far above those of the other photos: b.jpg (see capture.png)" in said
    for other in (
        replace(tall, guessed=False),
        replace(tall, rise_mm=125.0),
        report("b.jpg"),
        replace(low, cut_off=("top",)),
    ):
        assert "rise far" not in " ".join(advice([low, other], [], at(-20.0, 20.0), MEASURED))


def test_a_head_rises_as_far_above_its_ears_from_all_sides(photos):
    scene = open_own_photos(photos, SCALE, 90.0, 64)
    frame = replace(scene.frame, ears=scene.frame.centre)
    rises_mm = [rise_mm(look, frame) for look in scene.looks]
    assert max(rises_mm) < 1.15 * min(rises_mm) and 0.5 < min(rises_mm) / frame.radius_mm < 1.1
    shot, mask = scene.looks[0].silhouette.shot, scene.looks[0].head.copy()
    up = (shot.rotation @ frame.rotation[1])[:2]
    rows, columns = np.nonzero(mask)
    length = int(np.ptp(rows))
    for row, column in zip(rows, columns, strict=True):
        x, y = (np.array([column, row]) + 0.4 * length * up).astype(int)
        mask[np.clip(y, 0, mask.shape[0] - 1), np.clip(x, 0, mask.shape[1] - 1)] = True
    tall = replace(scene.looks[0], silhouette=Silhouette(shot, mask))
    assert rise_mm(tall, frame) > 1.25 * rises_mm[0]
    assert rise_mm(tall, replace(frame, ears=None)) is None


def test_the_table_has_a_line_for_every_photo():
    lines = table([report("a.jpg"), report("b.jpg", kept=False, face_score=None)]).splitlines()
    assert len(lines) == 3 and "NO" in lines[2] and "0.90" in lines[1]


def test_photos_of_any_size_are_as_sharp_as_they_look(photos):
    """One of them enlarged: at its own size it would be another beside the others."""

    def enlarge(meta):
        frame = meta["frames"][1]
        for key in ("fl_x", "fl_y", "cx", "cy", "w", "h"):
            frame[key] *= 4
        for key in ("file_path", "mask_path"):
            with Image.open(photos / frame[key]) as picture:
                larger = picture.resize((frame["w"], frame["h"]), Image.Resampling.NEAREST)
            larger.save(photos / frame[key])

    def sharp(name):
        lines = capture(options(photos, photos / name)).splitlines()
        return [line.split()[2] for line in lines if line.startswith("images/")]

    before = sharp("head")
    rewrite(photos, enlarge)
    assert len(before) == 5 and sharp("other") == before


def test_the_sheet_dims_what_is_no_head_and_tints_what_is_not_known(photos):
    view = open_own_photos(photos, SCALE, 90.0, 64).views[0]
    shown, picture = overlay(view), view.picture
    inside, outside = picture.mask & picture.known, ~picture.mask & picture.known
    assert (shown[inside] == picture.photo[inside]).all()
    assert np.abs(shown[outside] - DIM * picture.photo[outside]).max() <= 1.0
    hidden = replace(view, picture=replace(picture, known=np.zeros_like(picture.known)))
    assert np.abs(overlay(hidden).mean(axis=(0, 1)) - 0.4 * np.array(UNKNOWN)).max() < 120.0


def test_the_sharpest_frame_of_every_stretch_of_motion():
    sharp = np.array([1.0, 5.0, 2.0, 9.0, 1.0, 1.0])
    standing = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    chosen = choose_frames(sharp, standing)
    assert chosen[0] == 1 and 2 not in chosen and chosen == sorted(chosen)
    assert len(choose_frames(np.ones(500), np.ones(500))) == 60


def write_video(video: Path, width: int, height: int) -> None:
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (width, height))
    rng = np.random.default_rng(0)
    for _ in range(8):
        writer.write(rng.integers(0, 255, (height, width, 3), dtype=np.uint8))
    writer.release()


def test_a_frame_that_cannot_be_written_is_a_sentence(tmp_path):
    """OpenCV would go on without it."""
    write_video(tmp_path / "walk.avi", 640, 480)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    said = "walk-head cannot be written .File too large"
    with pytest.raises(InputError, match=said), whole_folder(tmp_path / "walk-head") as folder:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
        try:
            save_frames(tmp_path / "walk.avi", folder / "frames")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_frames_of_a_video_become_photos(tmp_path):
    video = tmp_path / "walk.avi"
    write_video(video, 64, 48)
    frames = save_frames(video, tmp_path / "frames")
    assert 1 < len(frames) <= 8 and all(path.is_file() for path in frames)
    assert frames == [tmp_path / "frames" / frame_name(video, number) for number in choose_frames(*_measured(video))]
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(InputError, match="broken.mp4 cannot be decoded"):
        save_frames(tmp_path / "broken.mp4", tmp_path / "none")


@pytest.mark.parametrize("damaged", [False, True])
def test_a_video_whose_frames_end_early_is_said_to(tmp_path, capsys, damaged):
    video = tmp_path / "walk.avi"
    write_video(video, 640, 480)
    content = video.read_bytes()
    video.write_bytes(content[: len(content) // 2] if damaged else content)
    assert 1 < len(save_frames(video, tmp_path / "frames")) <= (4 if damaged else 8)
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("walk.avi counts 8 frames, but they end after 0.") == int(damaged)


def test_frames_that_come_unevenly_do_not_end_early():
    """Their number, 28 by the rate and the duration, may be stated too large."""
    assert early_end("walk.mkv", 5.0, 28.0, 5400.0) is None and early_end("walk.mkv", 0.0, 0.0, 0.0) is None
    assert "counts 28 frames, but they end after 2.0 s" in str(early_end("walk.mkv", 5.0, 28.0, 1800.0))


@pytest.mark.parametrize(
    ("turn", "matrix"), [("none", (1, 0, 0, 1)), ("right", (0, 1, -1, 0)), ("left", (0, -1, 1, 0))]
)
def test_frames_are_turned_as_the_video_says(tmp_path, turn, matrix):
    """Phones held upright write the picture lying, and a matrix in the header of the track."""
    video = tmp_path / "walk.mp4"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"mp4v"), 10.0, (64, 48))
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:, :16] = 255
    for _ in range(8):
        writer.write(picture)
    writer.release()
    content = bytearray(video.read_bytes())
    start = content.index(b"tkhd") + 4 + 40  # ISO 14496-12, 8.3.2: nine numbers, of which these are a, b, c, d
    a, b, c, d = (value << 16 for value in matrix)
    content[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    video.write_bytes(content)
    shown = cv2.imread(str(save_frames(video, tmp_path / "frames")[0]))
    white = {"none": shown[:, :8], "right": shown[:8], "left": shown[-8:]}[turn]
    assert white.mean() > 200.0 and shown.mean() < 100.0


def test_the_file_is_nerfstudios(photos):
    """Pixel centres at +0.5, OpenGL axes, the photo by a relative path."""
    capture(options(photos, photos / "head"))
    theirs = json.loads((photos / "transforms.json").read_text())
    ours = json.loads((photos / "head" / "transforms.json").read_text())
    for mine, given in zip(ours["frames"], theirs["frames"], strict=True):
        np.testing.assert_allclose(mine["transform_matrix"], given["transform_matrix"], atol=1e-9)
        wanted = {**theirs, **given}
        assert [mine[key] for key in ("fl_x", "cx", "cy", "k1")] == pytest.approx(
            [wanted[key] for key in ("fl_x", "cx", "cy", "k1")]
        )
        assert mine["file_path"].startswith("../")
