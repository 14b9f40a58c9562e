"""Photos and masks of every kind that people have, read alike."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from tiny_root import SCENE

from baseh3d_ns.data.h3ds_root import open_h3ds
from baseh3d_ns.data.h3ds_scene import load_scene
from baseh3d_ns.data.pictures import picture_size, read_mask, read_photo, read_trimap
from baseh3d_ns.errors import InputError

GREY = np.arange(256, dtype=np.uint8).reshape(8, 32)
COLOURS = np.stack([GREY, GREY[::-1], np.roll(GREY, 7, axis=1)], axis=-1)
HEAD = np.zeros((20, 30), bool)
HEAD[4:17, 8:21] = True
HEAD[12:17, 8:12] = False


def saved(folder: Path, picture: Image.Image, name: str = "a.png", **options) -> Path:
    picture.save(folder / name, **options)
    return folder / name


def levels(dtype, scale: float) -> Image.Image:
    return Image.fromarray((GREY * scale).astype(dtype))


@pytest.mark.parametrize(
    ("picture", "name"),
    [
        (levels(np.uint8, 1), "a.png"),
        (levels(np.uint16, 257), "a.png"),
        (levels(np.uint16, 1), "a.png"),
        (levels(np.uint16, 257), "a.tif"),
        (levels(np.int32, 257), "a.tif"),
        (levels(np.float32, 1.0), "a.tif"),
        (levels(np.float32, 1 / 255), "a.tif"),
        (levels(np.uint8, 1).convert("LA"), "a.png"),
        (levels(np.uint8, 1).convert("P"), "a.png"),
    ],
)
def test_grey_of_any_depth_is_the_same_photo(tmp_path, picture, name):
    read = read_photo(saved(tmp_path, picture, name))
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, np.repeat(GREY[..., None], 3, axis=2))


def test_unsigned_32_bit_grey_is_scaled_by_its_full_range(tmp_path):
    path = saved(tmp_path, Image.fromarray((GREY.astype(np.uint32) * 16843009).view(np.int32)), "a.tif")
    np.testing.assert_array_equal(read_photo(path)[..., 0], GREY)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_stay_as_they_are(tmp_path, mode):
    np.testing.assert_array_equal(read_photo(saved(tmp_path, Image.fromarray(COLOURS).convert(mode))), COLOURS)


def test_cmyk_and_lab_become_their_colours(tmp_path):
    flat = Image.new("RGB", (32, 16), (200, 60, 40))
    flat.paste((90, 80, 60), (16, 0, 32, 16))
    cmyk = read_photo(saved(tmp_path, flat.convert("CMYK"), "a.jpg", quality=98))
    assert np.abs(cmyk.astype(int) - np.asarray(flat)).max() <= 4
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = read_photo(saved(tmp_path, ImageCms.applyTransform(flat, to_lab), "a.tif"))
    assert np.abs(lab.astype(int) - np.asarray(flat)).max() <= 3


@pytest.mark.parametrize(
    ("value", "words"), [(np.nan, "nan"), (300.0, "300"), (-2.0, "-2")], ids=["nan", "too bright", "negative"]
)
def test_fractions_without_a_known_scale_are_refused(tmp_path, value, words):
    values = GREY.astype(np.float32)
    values[3, 3] = value
    with pytest.raises(InputError, match=f"a.tif holds F values.*{words}"):
        read_photo(saved(tmp_path, Image.fromarray(values), "a.tif"))


def display_p3() -> bytes:
    """A profile with wide primaries, made from sRGB's own by swapping its red and green (no file of others needed)."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    tags = {bytes(profile[i : i + 4]): i for i in range(132, 132 + 12 * int.from_bytes(profile[128:132], "big"), 12)}
    red, green = (bytes(profile[tags[name] + 4 : tags[name] + 12]) for name in (b"rXYZ", b"gXYZ"))
    profile[tags[b"rXYZ"] + 4 : tags[b"rXYZ"] + 12] = green
    profile[tags[b"gXYZ"] + 4 : tags[b"gXYZ"] + 12] = red
    return bytes(profile)


def test_a_colour_profile_is_converted_and_srgb_left_to_the_digit(tmp_path):
    swapped = read_photo(saved(tmp_path, Image.fromarray(COLOURS), icc_profile=display_p3()))
    assert np.abs(swapped.astype(int) - COLOURS[..., [1, 0, 2]]).max() <= 2
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    np.testing.assert_array_equal(read_photo(saved(tmp_path, Image.fromarray(COLOURS), icc_profile=srgb)), COLOURS)
    # Of other channels, as cameras and scanners write it: it says nothing about these.
    grey = read_photo(saved(tmp_path, Image.fromarray(GREY), icc_profile=display_p3()))
    np.testing.assert_array_equal(grey[..., 0], GREY)
    with pytest.raises(InputError, match="damaged colour profile"):
        read_photo(saved(tmp_path, Image.fromarray(COLOURS), icc_profile=b"no profile" * 20))


def as_rgba(rgb: np.ndarray, alpha: np.ndarray) -> Image.Image:
    return Image.fromarray(np.dstack([rgb, alpha]).astype(np.uint8))


def palette(head: int, colour: tuple[int, int, int]) -> Image.Image:
    picture = Image.fromarray(np.where(HEAD, head, 0).astype(np.uint8), mode="P")
    picture.putpalette([0, 0, 0] * head + list(colour) + [0] * 30)
    return picture


BYTES = HEAD.astype(np.uint8)
WHITE = np.full((*HEAD.shape, 3), 255, np.uint8)


@pytest.mark.parametrize(
    ("picture", "name"),
    [
        (Image.fromarray(255 * BYTES), "a.png"),
        (Image.fromarray(BYTES), "a.png"),
        (Image.fromarray(HEAD), "a.png"),
        (Image.fromarray(BYTES.astype(np.uint16) * 65535), "a.png"),
        (Image.fromarray(BYTES.astype(np.uint16)), "a.png"),
        (Image.fromarray(BYTES.astype(np.int32)), "a.tif"),
        (Image.fromarray(BYTES.astype(np.float32)), "a.tif"),
        (Image.fromarray(255 * BYTES).convert("RGB"), "a.png"),
        (palette(1, (128, 0, 0)), "a.png"),
        (palette(3, (255, 255, 255)), "a.png"),
        (as_rgba(WHITE, 255 * BYTES), "a.png"),
        (as_rgba(0 * WHITE, 255 * BYTES), "a.png"),
        (as_rgba(0 * WHITE, BYTES), "a.png"),
        (as_rgba(WHITE * BYTES[..., None], 255 + 0 * BYTES), "a.png"),
        (Image.fromarray(np.dstack([255 + 0 * BYTES, 255 * BYTES])), "a.png"),
    ],
)
def test_masks_of_any_kind_show_the_same_head(tmp_path, picture, name):
    np.testing.assert_array_equal(read_mask(saved(tmp_path, picture, name)), HEAD)


def test_three_levels_are_a_trimap_and_two_are_not(tmp_path):
    unsure = np.roll(HEAD, 2, axis=1) & ~HEAD
    assert unsure.any()
    trimap = read_trimap(saved(tmp_path, Image.fromarray(np.where(unsure, 128, 255 * BYTES).astype(np.uint8))))
    np.testing.assert_array_equal(trimap.mask, HEAD)
    np.testing.assert_array_equal(trimap.known, ~unsure)
    two = read_trimap(saved(tmp_path, Image.fromarray(128 * BYTES)))
    np.testing.assert_array_equal(two.mask, HEAD)
    assert two.known.all()


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_photo_of_one_colour_is_refused(tmp_path, level):
    with pytest.raises(InputError, match=r"a.png has one colour everywhere"):
        read_photo(saved(tmp_path, Image.new("RGB", (20, 20), (level, level, level))))


@pytest.mark.parametrize(("dtype", "scale"), [(np.uint8, 1), (np.uint16, 257)])
def test_soft_masks_are_cut_at_half(tmp_path, dtype, scale):
    np.testing.assert_array_equal(read_mask(saved(tmp_path, levels(dtype, scale))), GREY > 127)


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.zeros_like(BYTES), "all black"),
        (np.full_like(BYTES, 255), "all white"),
        (np.full_like(BYTES, 1), "all of the value 1"),
        (GREY // 4, "64 grey levels from 0 to 63 of 255, none above half"),
        (200 + GREY // 8, "none below half"),
        (np.where(np.arange(2500).reshape(50, 50) < 2, 255, 0).astype(np.uint8), "2 white pixels of 2500"),
    ],
)
def test_masks_without_a_head_say_what_they_hold(tmp_path, pixels, words):
    with pytest.raises(InputError, match=f"a.png .*{words}"):
        read_mask(saved(tmp_path, Image.fromarray(pixels)))


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_turned_pictures_are_read_upright_and_refused_in_a_scene(own_root, tmp_path, orientation):
    """A scene's cameras count pixels, and nobody knows whether as stored or as shown; own photos have no cameras."""
    stored = {3: 2, 6: 1, 8: 3}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, Image.fromarray(np.rot90(COLOURS, stored)), exif=exif)
    np.testing.assert_array_equal(read_photo(path), COLOURS)
    np.testing.assert_array_equal(
        read_mask(saved(tmp_path, Image.fromarray(np.rot90(255 * BYTES, stored)), exif=exif)), HEAD
    )
    width, height = (30, 20) if stored == 2 else (20, 30)
    assert picture_size(path) == (width, height, orientation)
    for name in ("image/img_0001.jpg", "mask/mask_0001.png"):
        picture = own_root / SCENE / name
        before = picture.read_bytes()
        Image.open(io.BytesIO(before)).save(picture, exif=exif)
        with pytest.raises(InputError, match=f"{picture.name} is stored turned .EXIF orientation {orientation}"):
            load_scene(open_h3ds(own_root), SCENE)
        picture.write_bytes(before)


def test_damaged_exif_says_nothing(tmp_path):
    path = saved(
        tmp_path, Image.fromarray(COLOURS), "a.jpg", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff" + b"\x07" * 30
    )
    assert read_photo(path).shape == COLOURS.shape


@pytest.mark.parametrize(
    ("folder", "suffix"), [("image", ".png"), ("image", ".JPG"), ("mask", ".tif"), ("mask", ".PNG"), ("image", ".webp")]
)
def test_pictures_of_another_kind_are_found(tiny_root, own_root, folder, suffix):
    for path in (own_root / SCENE / folder).iterdir():
        picture = Image.open(path)
        picture.load()
        path.unlink()
        options = {"lossless": True} if suffix == ".webp" else {}
        picture.save(path.with_suffix(suffix), **options)
    before, after = (load_scene(open_h3ds(root), SCENE) for root in (tiny_root, own_root))
    for one, other in zip(before.views, after.views, strict=True):
        np.testing.assert_array_equal(read_mask(one.mask_path), read_mask(other.mask_path))
        assert np.abs(read_photo(one.image_path).astype(int) - read_photo(other.image_path)).mean() < 4.0


def test_pictures_of_other_names_are_told(own_root):
    for path in (own_root / SCENE / "image").iterdir():
        path.rename(path.with_name(f"DSC{path.name[-6:]}"))
    with pytest.raises(InputError, match="img_0000.jpg is missing .it holds DSC00.jpg, DSC01.jpg"):
        load_scene(open_h3ds(own_root), SCENE)


@pytest.mark.parametrize(
    "content", [b"", b"text", b"\x89PNG\r\n\x1a\n" + b"\x00" * 40, b"\xff\xd8\xff\xe0" + b"\x01" * 99]
)
@pytest.mark.parametrize("read", [read_photo, read_mask, picture_size])
def test_no_pictures_are_one_sentence(tmp_path, read, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(InputError, match="a.png is not a readable image"):
        read(tmp_path / "a.png")
