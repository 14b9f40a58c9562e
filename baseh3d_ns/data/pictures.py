"""The one reader of photos and the one reader of masks: any depth, palette, alpha, colour profile or orientation."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from jaxtyping import Bool, Float, Shaped, UInt8
from PIL import Image, ImageCms, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

from baseh3d_ns.errors import InputError

HEIC = (".heic", ".heif")
SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".tif", ".tiff", ".webp", ".bmp", *HEIC)
MASK_THRESHOLD = 127
"""Mask values above this, of 255, are head."""
UNDECIDED = 128
"""Value of the pixels of a trimap that are left open, between 0 and 255."""
OPEN_SHARE = 0.7
"""Share of the grey pixels that a trimap's open ones exceed: no level of a mask's soft edges has so many."""
MOST_LABELS, LABEL_SHARE = 12, 0.05
"""Number of grey levels up to which a picture may be a map of labels, and the share of what is not black that a dark
level covers in one: at the edges of a mask each covers less."""
LEAST_SHARE = 0.001
"""Share of its pixels below which a mask has no head but a speck."""
ORIENTATION = 0x0112
"""EXIF tag: 1 for pixels stored as they are to be seen, up to 8 for those stored turned or mirrored."""
SAME_COLOURS = 2
"""Colour profiles that change no value of 8 bits by more than this are sRGB, up to rounding."""
_WIDTH, _HEIGHT = 256, 257
"""TIFF tags."""
_PROFILE_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}


@dataclass(frozen=True, eq=False)
class Trimap:
    """Silhouette in which pixels may be left open, as in matting."""

    mask: Bool[np.ndarray, "h w"]
    """True where a pixel is head for sure."""
    known: Bool[np.ndarray, "h w"]
    """False where it may be head or not."""
    grey: float = 0.0
    """Pixels decided though neither nearly black nor nearly white, as a ratio to those of the head."""


def read_photo(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """A photo as 8-bit sRGB, turned as its EXIF orientation says; alpha is dropped.

    Raises:
        InputError: not an image, cut off, of one colour, or with values or colours that have no 8-bit sRGB.
    """
    with _opened(path) as image:
        if _has_deep_pixels(image):
            grey = _eight_bit(path, image).round().astype(np.uint8)
            photo = np.repeat(grey[..., None], 3, axis=2)
        else:
            photo = np.asarray(_to_srgb(path, image))
    if (photo == photo[0, 0]).all():
        raise InputError(f"{path} has one colour everywhere, so it shows no head: take the photo again")
    return photo


def read_mask(path: Path) -> Bool[np.ndarray, "h w"]:
    """A silhouette, true on what is head for sure; for values and errors see `read_trimap`."""
    return read_trimap(path).mask


def read_trimap(path: Path) -> Trimap:
    """A silhouette, turned as its EXIF orientation says.

    Alpha that is not the same everywhere is the silhouette. Of two grey levels of which one is 0, the other is head,
    whatever it is (masks of 0 and 1, palettes); of more levels, those above `MASK_THRESHOLD`. The levels 0, `UNDECIDED`
    and 255 are a trimap, also with some others between them, as a soft brush leaves them on one.

    Raises:
        InputError: not an image, cut off, all of one value, a map of labels, or with no more than a speck brighter than
            half.
    """
    with _opened(path) as image:
        levels = _silhouette_levels(path, image)
    values, counts = np.unique(levels, return_counts=True)
    if len(values) == 1:
        colour = {0: "black, so it shows no head", 255: "white, so it cuts out no head"}.get(
            int(values[0]), f"of the value {values[0]:g}, so it cuts out no head"
        )
        raise InputError(f"{path} is all {colour}: make the mask again (white = head, black = not)")
    dark = counts[(values > 0) & (values <= MASK_THRESHOLD)].max(initial=0)
    if 2 < len(values) <= MOST_LABELS and dark > LABEL_SHARE * counts[values > 0].sum():
        raise InputError(
            f"{path} holds {len(values)} labels ({', '.join(f'{value:g}' for value in values)}), so it does not tell "
            "what is head: save it with two values, white = head, black = not"
        )
    left_open = int(counts[values == UNDECIDED].sum())
    is_trimap = {0, 255} < set(values.tolist()) and left_open > OPEN_SHARE * counts[1:-1].sum()
    threshold = UNDECIDED if is_trimap else 0 if len(values) == 2 and values[0] == 0 else MASK_THRESHOLD
    mask = np.asarray(levels > threshold)
    if mask.all() or not mask.any():
        raise InputError(
            f"{path} holds {len(values)} grey levels from {values[0]:g} to {values[-1]:g} of 255, none "
            f"{'below' if mask.all() else 'above'} half, so it tells no head: make the mask again (white = head)"
        )
    if mask.mean() < LEAST_SHARE:
        raise InputError(f"{path} has {mask.sum()} white pixels of {mask.size}, which are no head: make the mask again")
    middle = counts[np.abs(values - float(UNDECIDED)) < 0.5 * UNDECIDED].sum() if len(values) > 2 else 0
    known = np.asarray(levels != UNDECIDED) if is_trimap else np.ones_like(mask)
    return Trimap(mask, known, float((middle - is_trimap * left_open) / mask.sum()))


def check_not_inverted(path: Path, mask: Bool[np.ndarray, "h w"]) -> None:
    """Raise `InputError` where a silhouette, of that file, holds all corners and not the middle of its photo."""
    corners = mask[[0, 0, -1, -1], [0, -1, 0, -1]]
    height, width = mask.shape
    if corners.all() and not mask[height // 2, width // 2]:
        raise InputError(f"{path} looks inverted (white corners, black middle): invert it, white is the head")


def has_cutout(path: Path) -> bool:
    """Whether a picture has alpha that is not the same everywhere, so that `read_mask` finds a silhouette in it.

    Raises:
        InputError: not an image, or cut off.
    """
    with _opened(path) as image:
        if _has_deep_pixels(image) or not image.has_transparency_data:
            return False
        alpha = np.asarray(image.convert("RGBA").getchannel("A"))
    return bool(alpha.min() <= MASK_THRESHOLD < alpha.max())


def picture_size(path: Path) -> tuple[int, int, int]:
    """Width and height in pixels as stored, and the EXIF orientation (1 where there is none), by the header alone.

    Raises:
        InputError: not an image.
    """
    with _opened(path) as image:
        # Pillow gives the size of a TIFF as shown.
        size = (image.tag_v2[_WIDTH], image.tag_v2[_HEIGHT]) if isinstance(image, TiffImageFile) else image.size
        return *size, _orientation(image)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An image file, by its content whatever its suffix; what Pillow raises on damaged bytes is one sentence."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    try:
        with Image.open(path) as image:
            yield image
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise InputError(f"{path} has more than {most} megapixels: save it smaller") from error
    except Exception as error:  # its decoders raise whatever the damaged bytes lead them to
        raise InputError(
            f"{path} is not a readable image ({type(error).__name__}): copy it again, or save it as .png"
        ) from error


def _orientation(image: Image.Image) -> int:
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except Exception:  # damaged EXIF says nothing, the pixels are as good as any
        return 1
    return found if isinstance(found, int) and 2 <= found <= 8 else 1


def _upright(image: Image.Image) -> Image.Image:
    if _orientation(image) == 1:
        return image
    return ImageOps.exif_transpose(image)


def _has_deep_pixels(image: Image.Image) -> bool:
    """Whether Pillow would cut values off at 255: 16 and 32 bit grey."""
    return image.mode.startswith(("I", "F"))


def _eight_bit(path: Path, image: Image.Image) -> Float[np.ndarray, "h w"]:
    """Values of 16 or 32 bit grey, scaled to 0..255.

    The scale of whole numbers is the smallest of 8, 16 and 32 bits that holds them all, that of fractions 1 or 255.
    """
    values = np.asarray(_upright(image)).astype(np.float64)
    low, high = float(values.min()), float(values.max())
    if image.mode == "I" and low < 0.0:  # Pillow reads unsigned numbers as signed ones.
        values, low, high = values % 2.0**32, 0.0, 2.0**32 - 1.0
    scales = (1.0, 255.0) if image.mode.startswith("F") else (255.0, 65535.0, 2.0**32 - 1.0)
    full = next((scale for scale in scales if high <= scale), 0.0)
    if not 0.0 <= low <= high <= full:  # NaN fails too
        raise InputError(
            f"{path} holds {image.mode} values from {low:g} to {high:g}, for which no black and white are known: "
            "save it with 8 bits a channel"
        )
    return values * (255.0 / full)


def _to_srgb(path: Path, image: Image.Image) -> Image.Image:
    """An image of 8 bits a channel in sRGB, converted from the profile that comes with it."""
    profile = image.info.get("icc_profile")
    upright = _upright(image)
    if upright.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return cast(Image.Image, ImageCms.applyTransform(upright, ImageCms.buildTransform(lab, srgb, "LAB", "RGB")))
    if not profile:
        return upright.convert("RGB")
    mode = upright.mode if upright.mode in ("L", "CMYK") else "L" if upright.mode in ("1", "LA") else "RGB"
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if _PROFILE_MODES.get(source.profile.xcolor_space) != mode:
            return upright.convert("RGB")  # A profile of other channels says nothing about these; viewers skip it too.
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
        if mode == "RGB" and _changes_nothing(transform):
            return upright.convert("RGB")
        return cast(Image.Image, ImageCms.applyTransform(upright.convert(mode), transform))
    except (ImageCms.PyCMSError, OSError) as error:
        raise InputError(
            f"{path} has a damaged colour profile, so its colours are unknown: save it as sRGB without a profile"
        ) from error


def _changes_nothing(transform: ImageCms.ImageCmsTransform) -> bool:
    """Whether a transform from RGB leaves a lattice of colours as they are."""
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)
    after = np.asarray(ImageCms.applyTransform(Image.fromarray(colours), transform))
    return int(np.abs(after.astype(int) - colours).max()) <= SAME_COLOURS


def _silhouette_levels(path: Path, image: Image.Image) -> Shaped[np.ndarray, "h w"]:
    """Grey levels, 0..255, in which a mask has its silhouette: alpha where that varies or colours do not."""
    if _has_deep_pixels(image):
        return _eight_bit(path, image)
    upright = _upright(image)
    if upright.has_transparency_data:
        alpha = np.asarray(upright.convert("RGBA").getchannel("A"))
        grey = np.asarray(upright.convert("L"))
        in_alpha = alpha.min() <= MASK_THRESHOLD < alpha.max() or grey.min() == grey.max()
        return alpha if in_alpha else grey
    return np.asarray(upright.convert("L"))
