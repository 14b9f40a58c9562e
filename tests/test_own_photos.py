"""Own photos: worlds and lenses of every kind give the same views; the frame is found; bad input is a sentence."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from own_capture import BLOCK, ELSEWHERE, World, rewrite, write_colmap, write_own_photos
from PIL import Image
from scipy.spatial.transform import Rotation
from test_fuzz_readers import EXAMPLES, damages, readable
from tiny_root import CENTRE_MM, SCENE, SEMI_AXES_MM

from baseh3d_ns.cameras import Pinhole
from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.data.pictures import Trimap, read_mask, read_photo
from baseh3d_ns.data.ray_pool import find_strata, pool_rays
from baseh3d_ns.errors import InputError
from baseh3d_ns.frames import LANDMARKS_MM
from baseh3d_ns.own_photos import iris_size, looks, scene
from baseh3d_ns.own_photos.colmap_model import find_model, read_colmap
from baseh3d_ns.own_photos.dataparser import HeadDataParser, HeadDataParserConfig, indices_of, spread_views
from baseh3d_ns.own_photos.faces import POINTS, FaceRays, find_face_in_space
from baseh3d_ns.own_photos.head_block import read_head_block
from baseh3d_ns.own_photos.head_frame import _ears
from baseh3d_ns.own_photos.iris_size import seen_by
from baseh3d_ns.own_photos.lens import Lens
from baseh3d_ns.own_photos.metric_scale import (
    BY_FACE,
    FACES,
    IRIS_MM,
    ScaleOptions,
    by_face,
    doubt,
    find_scale,
    only_head_tells_size,
)
from baseh3d_ns.own_photos.own_views import _may_show_head
from baseh3d_ns.own_photos.scene import open_capture, read_capture
from baseh3d_ns.own_photos.shots import Capture, Cut, GivenFrame, Shot
from baseh3d_ns.own_photos.transforms_json import read_transforms
from baseh3d_ns.pretrained import silhouettes
from baseh3d_ns.pretrained.landmarks import FaceLandmarks
from baseh3d_ns.pretrained.silhouettes import Silhouette

BENT = (-0.15, 0.04, 0.002, -0.001, 0.01)


pytestmark = pytest.mark.usefixtures("no_faces")


def opened(folder: Path, **options) -> HeadDataParser:
    return HeadDataParserConfig(data=folder, **options).setup()


def in_head(points_mm: np.ndarray, parser: HeadDataParser) -> np.ndarray:
    """Points of the scene's world in that of the fit."""
    return parser.scene.frame.to_world_mm(ELSEWHERE.points(points_mm))


@pytest.mark.parametrize("bent", [False, True])
def test_points_land_where_the_photos_show_them(tiny_root, plain, tmp_path, bent):
    folder = plain
    if bent:
        folder = tmp_path / "bent"
        write_own_photos(tiny_root, SCENE, folder, distortion=BENT, head=BLOCK)
    parser = opened(folder)
    for view in parser.scene.views:
        origin, ahead = view.camera.centre_mm, view.camera.rays(view.camera.pixels())
        middle, turn = in_head(CENTRE_MM[None], parser)[0], parser.scene.frame.rotation @ ELSEWHERE.turn
        start, along = (origin - middle) @ turn / SEMI_AXES_MM, ahead @ turn / SEMI_AXES_MM
        meets = (along @ start) ** 2 > (along**2).sum(axis=1) * (start @ start - 1.0)
        differ = (meets.reshape(view.picture.mask.shape) != view.picture.mask) & view.picture.known
        assert differ.sum() <= (0.02 if bent else 0.0) * view.picture.mask.sum()


def test_the_world_stands_upright_in_millimetres_about_the_head(plain):
    parser = opened(plain)
    frame = parser.scene.frame
    np.testing.assert_allclose(frame.rotation @ ELSEWHERE.turn, np.eye(3), atol=1e-6)
    assert np.linalg.norm(in_head(CENTRE_MM[None], parser)) < 12.0
    assert SEMI_AXES_MM.max() < frame.radius_mm < 1.35 * SEMI_AXES_MM.max()
    outputs = parser.get_dataparser_outputs("train")
    world = outputs.transform_poses_to_original_space(outputs.cameras.camera_to_worlds, "opengl")
    wanted = [frame["transform_matrix"] for frame in json.loads((plain / "transforms.json").read_text())["frames"]]
    np.testing.assert_allclose(world[:, :3].numpy(), np.array(wanted)[:, :3], atol=1e-4)


def test_a_world_far_from_its_origin_is_as_good(tiny_root, tmp_path):
    """As with coordinates of surveyors (UTM), in metres."""
    parsers = []
    for name, shift in (("near", (0.0, 0.0, 0.0)), ("far", (448251.2, 5411932.3, 181.2))):
        write_own_photos(tiny_root, SCENE, tmp_path / name, World(1e-3, ELSEWHERE.rotation, shift), views=(0, 1, 2))
        parsers.append(opened(tmp_path / name, unit="m"))
    near, far = parsers
    assert far.scene.frame.radius_mm == pytest.approx(near.scene.frame.radius_mm, abs=1e-4)
    for ours, wanted in zip(far.scene.views, near.scene.views, strict=True):
        np.testing.assert_allclose(ours.camera.centre_mm, wanted.camera.centre_mm, atol=1e-4)
    ours, wanted = (parser.get_dataparser_outputs("train").cameras.camera_to_worlds for parser in (far, near))
    np.testing.assert_allclose(ours, wanted, atol=1e-6)


def test_both_dataparsers_hand_over_the_same(tiny_root, plain):
    from baseh3d_ns.data.h3ds_dataparser import H3dsDataParserConfig

    ours = opened(plain, views=("2,0,4",)).get_dataparser_outputs("train")
    theirs = H3dsDataParserConfig(data=tiny_root, scene=SCENE).setup().get_dataparser_outputs("train")
    assert set(ours.metadata) == set(theirs.metadata)
    assert ours.metadata["view_indices"] == theirs.metadata["view_indices"] == [2, 0, 4]
    assert ours.metadata["provenance"]["dataparser"] == "head-data"
    assert ours.metadata["provenance"]["head"]["mm_per_unit"] == pytest.approx(1.0 / ELSEWHERE.scale)


def test_the_middle_between_the_ears_is_handed_over(own):
    """From the block, in the file's world, and back into one."""
    ears_mm = CENTRE_MM + np.array([5.0, -20.0, 10.0])
    rewrite(own, lambda meta: meta["head"].update(ears=ELSEWHERE.points(ears_mm[None])[0].tolist()))
    parser = opened(own)
    frame, middle = parser.scene.frame, in_head(ears_mm[None], parser)[0]
    np.testing.assert_allclose(
        parser.get_dataparser_outputs("train").metadata["ears"], middle / frame.radius_mm, atol=1e-6
    )
    assert read_head_block(own, frame.block()).ears == pytest.approx(ELSEWHERE.points(ears_mm[None])[0])


def test_the_ears_lie_behind_the_face_in_true_millimetres():
    rays, points, _ = landmark_rays(3, 0)
    face = find_face_in_space(rays)
    assert face is not None
    ears = _ears(face, face.rotation, face.mm_per_unit)
    # Those of the average adult, whose world has its origin there.
    assert np.abs(face.in_average(ears[None])).max() < face.rms_mm + 1.0


def test_ns_render_may_ask_for_smaller_pictures(plain):
    config = HeadDataParserConfig(data=plain, longest_side_px=40)
    whole = config.setup().scene.views
    config.downscale_factor = 2.0  # as `ns-render dataset` sets it, where there is such a thing
    smaller = config.setup().scene.views
    assert [max(view.picture.mask.shape) for view in whole] == [40] * 5
    assert [max(view.picture.mask.shape) for view in smaller] == [20] * 5


def test_eval_views_are_never_empty(plain, own):
    assert opened(plain).get_dataparser_outputs("val").metadata["view_indices"] == [0, 1, 2, 3, 4]
    names = [f"images/p{number:02d}.png" for number in range(5)]
    rewrite(own, lambda meta: meta.update(train_filenames=names[:3], val_filenames=names[3:4]))
    parser = opened(own)
    assert [parser.split_views(split) for split in ("train", "val", "test")] == [[0, 1, 2], [3], [3, 4]]
    assert opened(own, views=("3,0",)).split_views("val") == [1, 2, 4]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("p03", "p01"), [3, 1]),
        (("p03.png,images/p00.png",), [3, 0]),
        (("p04",), [4]),
        (("1,3",), [1, 3]),
        (("1",), [2]),
        (("all",), [0, 1, 2, 3, 4]),
    ],
)
def test_views_by_name_index_and_number(plain, words, wanted):
    assert opened(plain, views=words).train_views == wanted


def test_names_like_numbers_are_indices():
    assert indices_of(("3",), ["1.jpg", "3.jpg"]) == ("3",)


def test_three_views_are_frontal_and_more_go_round():
    angles = np.radians(np.arange(0, 360, 15))
    centres = 500.0 * np.column_stack([np.sin(angles), np.zeros(24), np.cos(angles)])
    assert [round(np.degrees(angles[view])) for view in spread_views(centres, 4)] == [0, 45, 315, 180]


def test_alpha_is_the_mask_where_there_is_no_other(own):
    for number in range(5):
        photo, mask = own / "images" / f"p{number:02d}.png", own / "masks" / f"p{number:02d}.png"
        picture = Image.open(photo).convert("RGBA")
        picture.putalpha(Image.open(mask).convert("L"))
        picture.save(photo)
    with_files = opened(own).scene.views[1].picture.mask
    rewrite(own, lambda meta: [frame.pop("mask_path") for frame in meta["frames"]])
    shutil.rmtree(own / "masks")
    np.testing.assert_array_equal(opened(own).scene.views[1].picture.mask, with_files)


def test_heic_is_read_upright(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    from baseh3d_ns.data.pictures import picture_size, read_photo

    pixels = np.zeros((64, 48, 3), np.uint8)
    pixels[:20] = 250
    exif = Image.Exif()
    exif[0x0112] = 6
    pillow_heif.from_pillow(Image.fromarray(pixels).transpose(Image.Transpose.ROTATE_90)).save(
        tmp_path / "a.HEIC", exif=exif.tobytes()
    )
    read = read_photo(tmp_path / "a.HEIC")
    width, height, orientation = picture_size(tmp_path / "a.HEIC")
    assert read.shape == ((64, 48, 3) if orientation == 6 or (width, height) == (48, 64) else (48, 64, 3))


def test_a_heic_that_is_called_jpg_is_read(tmp_path, monkeypatch):
    """As many programs share it; another reader may or may not have made Pillow know the format."""
    pillow_heif = pytest.importorskip("pillow_heif")
    pixels = np.zeros((64, 48, 3), np.uint8)
    pixels[:20] = 250
    pillow_heif.from_pillow(Image.fromarray(pixels)).save(tmp_path / "a.heic")
    photo = (tmp_path / "a.heic").rename(tmp_path / "IMG_1.jpg")
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name not in ("HEIF", "AVIF")])
    assert read_photo(photo).shape == (64, 48, 3)


def test_a_photo_of_too_many_pixels_says_what_helps(tmp_path, monkeypatch):
    Image.fromarray(np.arange(64 * 48, dtype=np.uint8).reshape(64, 48)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError, match=r"a\.png has more than .* megapixels: save it smaller"):
        read_photo(tmp_path / "a.png")


def lens(distortion=BENT) -> Lens:
    k = np.array([[150.0, 0.0, 60.0], [0.0, 140.0, 42.0], [0.0, 0.0, 1.0]])
    return Lens(k, np.array([*distortion, 0.0, 0.0, 0.0]), 120, 90)


def test_undistorted_pixels_without_a_source_are_not_known():
    bent = lens((0.3, 0.0, 0.0, 0.0, 0.0))
    window = bent.window_of(np.array([[x, y, 1.0] for x in (-9.0, 9.0) for y in (-9.0, 9.0)]))
    everywhere = np.ones((90, 120), bool)
    picture, k = bent.undistorted(np.full((90, 120, 3), 200, np.uint8), Trimap(everywhere, everywhere), window)
    assert 0.0 < picture.known.mean() < 1.0 and not (picture.mask & ~picture.known).any()
    rows, columns = np.nonzero(picture.known)
    points = np.column_stack([columns, rows, np.ones(len(rows))]) @ np.linalg.inv(k).T
    pixels = bent.project(points)
    assert (pixels >= -0.01).all() and (pixels <= [119.01, 89.01]).all()


def test_a_lens_and_its_inverse():
    pixels = np.random.default_rng(1).uniform([0, 0], [119, 89], (50, 2))
    flat = lens().normalised(pixels)
    np.testing.assert_allclose(lens().project(np.column_stack([flat, np.ones(50)]) * 7.0), pixels, atol=1e-4)


def test_rays_through_the_cut_say_nothing():
    k = np.array([[200.0, 0.0, 49.5], [0.0, 200.0, 49.5], [0.0, 0.0, 1.0]])
    camera = Pinhole(k, np.diag([1.0, -1.0, -1.0]), np.array([0.0, 0.0, 1000.0]), 100, 100)
    whole = _may_show_head(camera, 200.0, None)
    above = _may_show_head(camera, 200.0, Cut(np.array([0.0, -50.0, 0.0]), np.array([0.0, 1.0, 0.0])))
    assert whole[50, 50] and not whole[0, 0]
    rows = np.nonzero(above[:, 50])[0]
    # The plane is seen from above: its near edge, 194 mm before the middle, hides all rays below it.
    assert rows.min() == np.nonzero(whole[:, 50])[0].min() and rows.max() == int(49.5 + 200.0 * 50.0 / 1193.6)


def test_unknown_pixels_are_never_drawn(plain):
    outputs = opened(plain).get_dataparser_outputs("train")
    dataset = HeadDataset(outputs)
    known = dataset.picture(0).known
    known[:, : known.shape[1] // 2] = False
    rays = pool_rays(dataset, "cpu")
    assert rays.starts[1] == known.sum() and len(rays.colours) == rays.starts[-1]
    strata = find_strata(dataset, "cpu", (0.5, 0.3, 0.2), 0.05, 0.0)
    drawn = torch.cat(strata.indices)
    assert len(drawn) == drawn.unique().numel() == rays.starts[-1]
    edge = torch.tensor(dataset.mask(0)[known])
    assert torch.equal(rays.in_mask[: rays.starts[1], 0].bool(), edge)


def landmark_rays(views: int, wrong: int, scale: float = 0.01) -> tuple[list[FaceRays], np.ndarray, np.ndarray]:
    """Rays through an average face that stands somewhere, seen from several sides, some of them all wrong."""
    rng = np.random.default_rng(3)
    face_mm = np.array([*LANDMARKS_MM.values(), (-45.0, -3, 75), (45.0, -3, 75), (0, -112, 100)])
    world = World(scale, (0.3, 2.0, -1.0), (4.0, 5.0, 6.0))
    points = world.points(face_mm)
    rays = []
    for number, azimuth in enumerate(np.linspace(-0.8, 0.8, views)):
        origin = world.points(600.0 * np.array([[np.sin(azimuth), 0.1, np.cos(azimuth)]]))[0]
        aimed = points + rng.normal(0.0, 1.5 * scale, points.shape)
        if number < wrong:
            aimed = points + rng.normal(0.0, 60.0 * scale, points.shape)
        directions = aimed - origin
        rays.append(FaceRays(number, origin, directions / np.linalg.norm(directions, axis=1, keepdims=True)))
    return rays, points, world.turn


@pytest.mark.parametrize(("scores", "agreeing"), [((0.9, 0.2, 0.2), (0, 1, 2)), ((0.9, 0.9, 0.2), (0, 1))])
def test_landmarks_of_low_score_tell_the_face_where_no_others_do(scores, agreeing, monkeypatch):
    rays, _, _ = landmark_rays(3, 0)
    monkeypatch.setattr(looks, "_rays", lambda number, *_: rays[number])
    found = [FaceLandmarks(np.zeros((468, 2)), np.zeros(468), score, 0.0) for score in scores]
    shot = Shot("a", Path("a.jpg"), None, Lens(np.eye(3), np.zeros(8), 8, 8), False, np.eye(3), np.zeros(3))
    face = looks._face_in_space([shot] * 3, [np.zeros((8, 8, 3), np.uint8)] * 3, found)
    assert face is not None and face.shots == agreeing


def test_the_frame_is_told_what_may_be_head_and_what_is(own, monkeypatch):
    asked, find, look_at = [], scene.find_head_frame, scene.look_at

    def with_lower_half_open(*given):
        seen, face = look_at(*given)
        rows = [np.indices(look.silhouette.mask.shape)[0] for look in seen]
        return [replace(look, known=row < len(row) // 2) for look, row in zip(seen, rows, strict=True)], face

    monkeypatch.setattr(scene, "look_at", with_lower_half_open)
    monkeypatch.setattr(scene, "find_head_frame", lambda *given: asked.append(given[1:3]) or find(*given))
    open_capture(read_capture(own), ScaleOptions(), 90.0, 64)
    for may_be, head in zip(*asked[0], strict=True):
        half = len(head.mask) // 2
        assert may_be.mask[half:].any() and not head.mask[half:].any()
        np.testing.assert_array_equal(head.mask[:half], may_be.mask[:half])


def test_what_a_guess_leaves_open_may_be_head_but_is_not_known(monkeypatch):
    shot = Shot("a", Path("a.jpg"), None, Lens(np.eye(3), np.zeros(8), 8, 8), False, np.eye(3), np.zeros(3))
    landmarks = FaceLandmarks(np.zeros((468, 2)), np.zeros(468), 0.9, 0.0)
    rays, _, _ = landmark_rays(3, 0)
    guess, known = np.tile(np.arange(8) < 6, (8, 1)), np.tile(np.arange(8) < 4, (8, 1))
    monkeypatch.setattr(silhouettes, "guess_silhouette", lambda *_: Silhouette(guess, known, 0.6))
    column = np.tile(np.arange(8), (8, 1))
    # Nothing is head for sure; the first column stands before the face, and so does the last.
    monkeypatch.setattr(looks, "completed", lambda silhouette, known, _: (silhouette.mask, known | silhouette.mask))
    monkeypatch.setattr(
        looks, "cleared", lambda silhouette, known, _: (silhouette.mask & (column > 0), known | (column == 7))
    )
    may_be, decided, _ = looks._guessed(shot, np.zeros((8, 8, 3), np.uint8), landmarks, find_face_in_space(rays))
    assert (may_be == ((column > 0) & (column < 7))).all() and (decided == (known | (column == 7))).all()


def test_doubted_silhouettes_are_of_photos_that_are_used(monkeypatch, capsys):
    agreements = {"a.jpg": 0.9, "b.jpg": 0.9, "c.jpg": 0.6, "d.jpg": 0.3}
    lens, everywhere = Lens(np.eye(3), np.zeros(8), 8, 8), np.ones((8, 8), bool)
    shots = [Shot(name, Path(name), None, lens, False, np.eye(3), np.zeros(3)) for name in agreements]
    monkeypatch.setattr(looks, "read_counted", lambda *_: np.zeros((8, 8, 3), np.uint8))
    monkeypatch.setattr(looks, "_find_landmarks", lambda photos, _: [None] * len(photos))
    monkeypatch.setattr(looks, "_guessed", lambda shot, *_: (everywhere, everywhere, agreements[shot.name]))
    found, _ = looks.look_at(shots, find_faces=False)
    said = " ".join(capsys.readouterr().out.split())
    assert [look.silhouette.shot.name for look in found] == ["a.jpg", "b.jpg", "c.jpg"]
    assert "disagree on: c.jpg (0.60)." in said and "no sure silhouette was found: d.jpg." in said


@pytest.mark.parametrize("aside_mm", [40.0, 250.0])
def test_a_bystanders_face_says_nothing_of_the_head(aside_mm, monkeypatch):
    rays, points, _ = landmark_rays(4, 0)
    shots, landmarks = [], []
    for number, one in enumerate(rays):
        ahead = points.mean(axis=0) - one.origin
        rotation = Rotation.align_vectors([[0.0, 0.0, 1.0]], [ahead])[0].as_matrix()
        lens = Lens(np.array([[400.0, 0, 200], [0, 400, 200], [0, 0, 1]]), np.zeros(8), 400, 400)
        shots.append(Shot(f"{number}.jpg", Path(f"{number}.jpg"), None, lens, False, rotation, one.origin))
        seen = np.zeros((468, 2))
        seen[list(POINTS.values())] = lens.project(shots[-1].in_camera(points))
        # The last camera is 600 mm away; what it shows is a profile whose points miss, or somebody beside.
        seen[:, 0] += 400.0 * aside_mm / 600.0 * (number == 3)
        landmarks.append(FaceLandmarks(seen, np.zeros(468), 0.9, 0.0))
    windows = []

    def guess(photo, face, around):
        windows.append((face, around))
        return Silhouette(np.ones((400, 400), bool), np.ones((400, 400), bool), 0.9)

    monkeypatch.setattr(looks, "read_counted", lambda *_: np.zeros((400, 400, 3), np.uint8))
    monkeypatch.setattr(looks, "_find_landmarks", lambda *_: landmarks)
    monkeypatch.setattr(silhouettes, "guess_silhouette", guess)
    for name in ("completed", "cleared"):
        monkeypatch.setattr(looks, name, lambda silhouette, known, _: (silhouette.mask, known))
    found, face = looks.look_at(shots, find_faces=True)
    assert face is not None and face.shots == (0, 1, 2)
    assert [look.face_score for look in found] == [0.9, 0.9, 0.9, 0.9 if aside_mm < 100.0 else None]
    (used, around) = windows[3]
    assert used is (landmarks[3] if aside_mm < 100.0 else None)
    # The window of the head is then where the camera, not the bystander, has it.
    assert around is None if used else np.linalg.norm(around.centre_px - 200.0) < 80.0


@pytest.mark.parametrize(("views", "wrong"), [(2, 0), (5, 2), (12, 5)])
def test_a_face_is_triangulated_past_wrong_views(views, wrong):
    rays, points, turn = landmark_rays(views, wrong)
    face = find_face_in_space(rays)
    assert face is not None and len(POINTS) == 9
    assert set(face.shots) == set(range(wrong, views))
    assert np.linalg.norm(face.points - points, axis=1).max() < 0.12
    assert abs(face.mm_per_unit * 0.01 - 1.0) < 0.04
    assert np.degrees(np.arccos(np.clip((np.trace(face.rotation @ turn) - 1.0) / 2.0, -1, 1))) < 4.0
    far = find_face_in_space([replace(one, origin=one.origin + (4e5, 5e6, 0.0)) for one in rays])
    assert far is not None and far.mm_per_unit == pytest.approx(face.mm_per_unit, rel=1e-6)
    np.testing.assert_allclose(face.from_average(face.in_average(points)), points)


def test_no_face_among_nonsense():
    assert find_face_in_space(landmark_rays(4, 4)[0]) is None and find_face_in_space([]) is None


def complaint(folder: Path, **options) -> str:
    with pytest.raises(InputError) as caught:
        opened(folder, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def put(**values):
    return lambda meta: meta["frames"][1].update(values)


NOT_RIGID = np.diag([1.0, 1.0, 2.0, 1.0]).tolist()
MIRRORED = np.diag([-1.0, 1.0, 1.0, 1.0]).tolist()
NAN = [[float("nan")] * 4] * 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda meta: meta.clear(), "lists no frames"),
        (lambda meta: meta.update(frames=[]), "lists no frames"),
        (lambda meta: meta["frames"][1].pop("fl_x") and meta["frames"][1].pop("fl_y"), "no intrinsics"),
        (put(file_path="images/none.png"), "images/none.png, which is missing"),
        (put(mask_path="none.png"), "none.png, which is missing"),
        (put(transform_matrix=NAN), "p01.png has a transform_matrix with NaN"),
        (put(transform_matrix=NOT_RIGID), "p01.png has a transform_matrix that is not rigid"),
        (put(transform_matrix=MIRRORED), "p01.png has a transform_matrix that is not rigid"),
        (put(transform_matrix=np.eye(4).tolist()), "p01.png"),
        (put(fl_x=float("inf")), "fl_x that is no finite number"),
        (put(k1=-9.0), "folds the photo over"),
        (put(w=300), "48x48 but its camera counts 300x48"),
        (put(file_path="images/p00.png"), "twice"),
        (lambda meta: meta.update(camera_model="OPENCV_FISHEYE"), "OPENCV_FISHEYE camera"),
        (lambda meta: meta.update(camera_model="EQUIRECTANGULAR"), "EQUIRECTANGULAR camera"),
        (lambda meta: meta.update(train_filenames=["a"]), "train_filenames"),
        (lambda meta: meta.update(applied_transform=[[0]]), "applied_transform"),
        (lambda meta: meta["head"].update(version=2), "another version"),
        (lambda meta: meta["head"].update(up=[0, 0, 0]), '"up"'),
        (lambda meta: meta["head"].update(mm_per_unit=-1), '"mm_per_unit"'),
        (lambda meta: meta["head"].update(ears=[1e300, 0, 0]), "ears are outside"),
        (lambda meta: meta["head"].update(ears=[0, 0]), '"ears"'),
        (
            lambda meta: [f.update(transform_matrix=meta["frames"][0]["transform_matrix"]) for f in meta["frames"]],
            "one spot",
        ),
    ],
)
def test_a_bad_transforms_json_is_one_sentence(own, change, words):
    rewrite(own, change)
    message = complaint(own)
    assert words in message


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", "null", "[" * 100000, '{"frames": 3}'])
def test_no_json(own, content):
    (own / "transforms.json").write_text(content)
    assert "transforms.json" in complaint(own)


def test_masks_of_another_size_or_without_a_head(own):
    mask = own / "masks" / "p01.png"
    Image.new("L", (48, 48)).save(mask)
    assert "p01.png is all black" in complaint(own)
    wide = np.zeros((20, 48), np.uint8)
    wide[5:9, 5:9] = 255
    Image.fromarray(wide).save(mask)
    assert "48x20" in complaint(own)


def test_masks_that_agree_on_nothing(own):
    for number in range(5):
        corner = np.zeros((48, 48), np.uint8)
        corner[:6, (40 if number % 2 else 0) : (48 if number % 2 else 6)] = 255
        Image.fromarray(corner).save(own / "masks" / f"p{number:02d}.png")
    assert "agree on no head" in complaint(own)


def test_scales(tiny_root, tmp_path, own, plain):
    assert opened(plain).scene.frame.scale.source == "given"
    assert opened(plain, mm_per_unit=70.0).scene.frame.scale.mm_per_unit == 70.0
    axes = {"version": 1, "up": [0.0, 1.0, 0.0], "ahead": [0.0, 0.0, 1.0]}
    write_own_photos(tiny_root, SCENE, tmp_path / "cm", world=World(0.1), head=axes)
    assert opened(tmp_path / "cm", unit="cm").scene.frame.scale.mm_per_unit == 10.0
    assert "--pupils-mm 63 needs a face" in complaint(plain, pupils_mm=63.0)
    assert "both say" in complaint(plain, pupils_mm=63.0, mm_per_unit=7.0)
    rewrite(own, lambda meta: meta["head"].pop("mm_per_unit"))
    guessed = opened(own).scene.frame.scale
    assert guessed.uncertainty_percent == 25.0 and "silhouettes" in guessed.source
    for key in ("integer_depth_scale", "depth_integer_scale"):
        rewrite(own, lambda meta, key=key: meta.update({key: 1.0}))
        assert "NeRFCapture" in opened(own).scene.frame.scale.source
        rewrite(own, lambda meta, key=key: meta.pop(key))


@pytest.mark.parametrize(("metres", "fits"), [(0.62, False), (0.8, True), (1.0, True), (1.2, True), (1.6, False)])
def test_a_unit_that_makes_the_face_of_no_persons_size_is_refused(metres, fits):
    """Metres of a unit, such as that of Metashape, which nerfstudio does not turn into metres."""
    face = find_face_in_space(landmark_rays(3, 0, 1e-3 / metres)[0])
    capture = Capture(Path("transforms.json"), ())
    assert face is not None
    if fits:
        assert find_scale(ScaleOptions(unit="m"), capture, face, None).mm_per_unit == 1000.0
        return
    with pytest.raises(InputError, match=r"--unit m makes the head .* times as .* give --mm-per-unit \(1000 if"):
        find_scale(ScaleOptions(unit="m"), capture, face, None)
    assert find_scale(ScaleOptions(mm_per_unit=1000.0), capture, face, None).mm_per_unit == 1000.0
    assert doubt(find_scale(ScaleOptions(mm_per_unit=1000.0), capture, face, None), face)


@pytest.mark.parametrize(("ratio", "word"), [(0.8, "smaller"), (0.97, None), (1.15, "larger")])
def test_a_face_of_another_size_than_usual_is_told_by_its_irises(ratio, word):
    """Of a unit of 0.01 mm, an average adult's face and irises that are `ratio` as large in it as they should be."""
    face = find_face_in_space(landmark_rays(3, 0)[0])
    capture = Capture(Path("transforms.json"), ())
    assert face is not None and only_head_tells_size(ScaleOptions(), capture)
    alone = find_scale(ScaleOptions(), capture, face, None)
    assert alone.source == BY_FACE and alone.mm_per_unit == face.mm_per_unit and doubt(alone, face) is None
    face = replace(face, iris=11.7 / face.mm_per_unit / ratio)
    both = find_scale(ScaleOptions(), capture, face, None)
    assert abs(np.log(both.mm_per_unit / face.mm_per_unit)) < abs(np.log(ratio))
    assert both.face_size == pytest.approx(both.mm_per_unit / face.mm_per_unit)
    # What differs by far more than it should is not surer than the face alone.
    assert (both.uncertainty_percent < alone.uncertainty_percent) == (word is None)
    for wrong, why in ((1.45, "no face is that large, but eyes look aside"), (0.35, "a doll's")):
        assert (
            find_scale(ScaleOptions(), capture, replace(face, iris=11.7 / face.mm_per_unit / wrong), None) == alone
        ), why
    said = doubt(both, face)
    assert said is None if word is None else said is not None and f"{word} than the average adult's" in said


def test_irises_that_tell_an_unlikely_size_count_less_and_none_decides_alone():
    """The size of a face never jumps between irises that differ by a per cent, and never beyond people's."""
    ratios = np.exp(np.linspace(np.log(0.3), np.log(1.7), 200))
    sizes = np.log([by_face(1.0, IRIS_MM / ratio).face_size for ratio in ratios])
    assert np.abs(np.diff(sizes)).max() < 0.01
    assert sizes[0] == sizes[-1] == 0.0
    assert FACES[0] < np.exp(sizes.min()) < 0.8 and 1.1 < np.exp(sizes.max()) < FACES[1]
    likely = (ratios > 0.61) & (ratios < 1.19)
    assert (np.diff(sizes[likely]) > 0.0).all()


def test_irises_are_measured_in_photos_made_smaller_where_nothing_else_tells_the_size(own, monkeypatch):
    """A face 500 units before a lens of 800 pixels, its photo made half as large: 4 pixels of an iris are 5 units."""
    face = find_face_in_space(landmark_rays(3, 0)[0])
    assert face is not None
    lens = Lens(np.array([[800.0, 0.0, 50.0], [0.0, 800.0, 50.0], [0.0, 0.0, 1.0]]), np.zeros(8), 100, 100)
    turn = np.stack([face.rotation[0], -face.rotation[1], -face.rotation[2]])
    shot = Shot("a", Path("a.jpg"), None, lens, False, turn, face.eyes.mean(axis=0) + 500.0 * face.rotation[2])
    found = FaceLandmarks(np.zeros((468, 2)), np.zeros(468), 0.9, 0.0)
    monkeypatch.setattr(iris_size, "iris_diameters_px", lambda *_: np.array([4.0, 4.0]))
    seen = seen_by(shot, np.zeros((50, 50, 3), np.uint8), found, face)
    assert iris_size.iris_diameter([seen]) == pytest.approx(5.0, rel=0.01)

    asked, look = [], scene.look_at
    monkeypatch.setattr(scene, "look_at", lambda *given: asked.append(given[3]) or look(*given))
    opened(own)
    rewrite(own, lambda meta: meta["head"].pop("mm_per_unit"))
    opened(own)
    assert asked == [False, True]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (ScaleOptions(mm_per_unit=2.0), Capture(Path("a"), ())),
        (ScaleOptions(pupils_mm=63.0), Capture(Path("a"), ())),
        (ScaleOptions(unit="m"), Capture(Path("a"), ())),
        (ScaleOptions(), Capture(Path("a"), (), metres_by="Polycam")),
        (ScaleOptions(), Capture(Path("a"), (), given=GivenFrame(mm_per_unit=1.0))),
    ],
)
def test_irises_are_not_asked_where_the_scale_is_known(options, told):
    assert not only_head_tells_size(options, told)


def test_the_unit_of_metashapes_cameras_is_the_scale_in_its_xml(tmp_path):
    """The help of --unit says so."""
    from nerfstudio.process_data.metashape_utils import metashape_to_json

    scale, metres = 0.62, np.array([[0.0, 0.0, 0.6], [0.4, 0.0, 0.45], [-0.4, 0.0, 0.45]])
    cameras = ""
    for number, centre in enumerate(metres):
        photo = np.random.default_rng(number).integers(0, 255, (48, 64, 3)).astype(np.uint8)
        Image.fromarray(photo).save(tmp_path / f"p{number}.png")
        matrix = np.eye(4)
        matrix[:3, 3] = centre / scale
        cameras += (
            f'<camera sensor_id="0" component_id="0" label="p{number}">'
            f"<transform>{' '.join(map(str, matrix.ravel()))}</transform></camera>"
        )
    (tmp_path / "cameras.xml").write_text(
        '<document><chunk><sensors><sensor id="0" type="frame"><resolution width="64" height="48"/>'
        "<calibration><f>80</f><p1>0</p1></calibration></sensor></sensors>"
        f'<components><component id="0"><transform><scale>{scale}</scale></transform></component></components>'
        f"<cameras>{cameras}</cameras></chunk></document>"
    )
    files = {f"p{number}": Path(f"p{number}.png") for number in range(3)}
    metashape_to_json(files, tmp_path / "cameras.xml", tmp_path, None)
    centres = np.array([shot.centre for shot in read_transforms(tmp_path / "transforms.json").shots])
    assert 1000.0 * scale * np.linalg.norm(centres[1] - centres[2]) == pytest.approx(800.0)


def test_no_data(tmp_path):
    assert "no such data folder" in complaint(tmp_path / "none")
    assert "baseh3d capture" in complaint(tmp_path)


@pytest.mark.parametrize("text", [False, True])
def test_a_colmap_model_is_the_same_capture(plain, tmp_path, text):
    write_colmap(plain, tmp_path, text)
    shots = opened(tmp_path).scene.capture.shots
    for ours, reference in zip(shots, read_transforms(plain / "transforms.json").shots, strict=True):
        np.testing.assert_allclose(ours.rotation, reference.rotation, atol=1e-9)
        np.testing.assert_allclose(ours.centre, reference.centre, atol=1e-9)
        np.testing.assert_allclose(ours.lens.intrinsics, reference.lens.intrinsics, atol=1e-9)
        assert ours.mask_path is not None


@pytest.mark.parametrize("text", [False, True])
def test_the_largest_of_several_colmap_models_is_taken(plain, tmp_path, text):
    """COLMAP numbers them in the order it made them."""
    from nerfstudio.data.utils import colmap_parsing_utils as reader

    write_colmap(plain, tmp_path, text)
    small, large = tmp_path / "sparse" / "0", tmp_path / "sparse" / "1"
    shutil.copytree(small, large)
    read, write, name = (
        (reader.read_images_text, reader.write_images_text, "images.txt")
        if text
        else (reader.read_images_binary, reader.write_images_binary, "images.bin")
    )
    write(dict(list(read(large / name).items())[:2]), small / name)
    assert find_model(tmp_path) == large
    shutil.rmtree(large)
    assert find_model(tmp_path) == small


@pytest.fixture(scope="module")
def colmap(plain, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("colmap")
    write_colmap(plain, folder, text=False)
    return folder


@given(damages())
@EXAMPLES
def test_damaged_transforms(own_folder, damage):
    readable(
        own_folder / "transforms.json",
        (own_folder / "whole.json").read_bytes(),
        damage,
        read_transforms,
        is_sound,
    )


@pytest.mark.parametrize("name", ["cameras.bin", "images.bin"])
@given(damage=damages())
@EXAMPLES
def test_damaged_colmap_models(colmap, name, damage):
    path = colmap / "sparse" / "0" / name
    whole = path.read_bytes()
    try:
        path.write_bytes(damage(whole))
        try:
            assert is_sound(read_colmap(colmap, path.parent))
        except InputError as error:
            assert "\n" not in str(error)
    finally:
        path.write_bytes(whole)


@pytest.fixture(scope="module")
def own_folder(plain, tmp_path_factory) -> Path:
    folder = Path(shutil.copytree(plain, tmp_path_factory.mktemp("fuzz") / "own"))
    (folder / "transforms.json").rename(folder / "whole.json")
    return folder


def is_sound(capture: Capture) -> bool:
    return all(
        np.isfinite(shot.centre).all() and np.allclose(shot.rotation @ shot.rotation.T, np.eye(3), atol=1e-5)
        for shot in capture.shots
    )


def test_silhouettes_that_the_networks_disagree_on_are_left_out_where_enough_others_are_sure(
    tiny_root, tmp_path, monkeypatch
):
    write_own_photos(tiny_root, SCENE, tmp_path)
    path = tmp_path / "transforms.json"
    meta = json.loads(path.read_text())
    masks = [read_mask(tmp_path / frame.pop("mask_path")) for frame in meta["frames"]]
    shutil.rmtree(tmp_path / "masks")
    path.write_text(json.dumps(meta))
    shots = read_transforms(path).shots
    for unsure, left in ((1, 4), (3, 5)):
        agreements = [0.2 if number < unsure else 0.9 for number in range(len(masks))]
        guesses = iter([Silhouette(mask, np.ones_like(mask), a) for mask, a in zip(masks, agreements, strict=True)])
        monkeypatch.setattr(silhouettes, "guess_silhouette", lambda *_, guesses=guesses: next(guesses))
        found, face = looks.look_at(shots, find_faces=True)
        assert face is None and len(found) == left and all(look.guessed for look in found)
