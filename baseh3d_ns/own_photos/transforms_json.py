"""nerfstudio's `transforms.json`, as ns-process-data, Polycam, Metashape, instant-ngp or `baseh3d capture` write it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from baseh3d_ns.data.pictures import SUFFIXES
from baseh3d_ns.data.text_files import read_text
from baseh3d_ns.errors import InputError
from baseh3d_ns.own_photos.head_block import read_head_block
from baseh3d_ns.own_photos.lens import COEFFICIENTS, Lens
from baseh3d_ns.own_photos.masks import find_mask
from baseh3d_ns.own_photos.photo_sizes import counted_size
from baseh3d_ns.own_photos.shots import Capture, Shot, check_shots, is_number, lens_of, pose_of, positive, spellings

FILE = "transforms.json"
RATIONAL = "FULL_OPENCV"
"""COLMAP's name of OpenCV's rational model, whose k4 to k6 only our captures write: nerfstudio knows no such lens."""
MODELS = ("OPENCV", RATIONAL, "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "PERSPECTIVE")
"""Camera models that are a perspective lens with Brown-Conrady distortion."""
SPLITS = ("train", "val", "test")
LISTED = ("k1", "k2", "k3", "k4", "p1", "p2")
"""Order of nerfstudio's `distortion_params`."""
AS_STORED = "as_stored"
"""Key of a frame by which `baseh3d capture` says whether its camera counts stored pixels, see `photo_sizes`."""
GUESSED = "mask_guessed"
"""Key of a frame by which it says that networks made the mask."""
DIGEST = "mask_sha256"
"""Key of a frame by which a mask that was mended by hand is told from the one that `baseh3d capture` wrote."""
MOST_PIXELS = 1 << 16
REMEDY = "let the program that made it export its cameras again"

Table = Mapping[str, Any]


def read_transforms(path: Path) -> Capture:
    """Shots of a `transforms.json`; photos are looked for beside it.

    Raises:
        InputError: no JSON, without frames, intrinsics or a photo, with NaN, or of a lens that is no perspective one.
    """
    meta = _table(path)
    frames = meta.get("frames")
    if not isinstance(frames, list) or not frames or not all(isinstance(frame, dict) for frame in frames):
        raise InputError(f"{path} lists no frames: {REMEDY}")
    shots = tuple(_shot(path, {**meta, **frame}) for frame in frames)
    check_shots(path, shots)
    return Capture(
        path,
        shots,
        _splits(path, meta, [shot.name for shot in shots]),
        _to_original(path, meta),
        _metres_by(meta, frames),
        read_head_block(path, meta.get("head")),
    )


def _table(path: Path) -> Table:
    try:
        meta = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON ({str(error)[:80]}): {REMEDY}") from error
    if not isinstance(meta, dict):
        raise InputError(f"{path} is no table with frames: {REMEDY}")
    return meta


def _shot(path: Path, frame: Table) -> Shot:
    """One frame, with what the file says of all of them."""
    name = _text(path, frame, "file_path")
    photo = _photo(path, name)
    has_mask = frame.get("mask_path") is not None
    mask = _beside(path, _text(path, frame, "mask_path")) if has_mask else find_mask(photo)
    if mask is not None and not mask.is_file():
        raise InputError(f"{path} names the mask {frame['mask_path']}, which is missing: put it there, or export again")
    named = f"{path}: {name}"
    rotation, centre = pose_of(frame.get("transform_matrix"), named)
    lens, as_stored = _lens(frame, photo, named)
    # nerfstudio reads a mask that is named as it reads the photo, and so do we in a capture of ours.
    turned = as_stored if has_mask else None
    guessed = has_mask and frame.get(GUESSED) is True
    if guessed and mask is not None and DIGEST in frame:
        guessed = frame[DIGEST] == digest(mask)
    return Shot(name, photo, mask, lens, as_stored, rotation, centre, mask_as_stored=turned, mask_guessed=guessed)


def digest(mask: Path) -> str:
    """SHA-256 sum of a file, in hexadecimal digits."""
    return hashlib.sha256(mask.read_bytes()).hexdigest()


def _text(path: Path, frame: Table, key: str) -> str:
    value = frame.get(key)
    if not isinstance(value, str) or not value or "\0" in value:
        raise InputError(f"{path} has a frame whose {key} is no file name: {REMEDY}")
    return value


def _beside(path: Path, name: str) -> Path:
    """The path of a file that the cameras' file names, relative to its own folder, as it is spelled on this system."""
    try:
        found = next((path.parent / one for one in spellings(name) if (path.parent / one).exists()), None)
    except OSError as error:
        raise InputError(f"{path} names a file that cannot exist ({error.strerror}): {REMEDY}") from error
    return found or path.parent / name


def _photo(path: Path, name: str) -> Path:
    """The photo that a frame names; instant-ngp leaves out the suffix."""
    for one in (_beside(path, name + end) for end in ("", *SUFFIXES)):
        if one.is_file():
            return one
    raise InputError(f"{path} names the photo {name[:200]}, which is missing: put it there, or take out its frame")


def _lens(frame: Table, photo: Path, named: str) -> tuple[Lens, bool]:
    """Lens of a frame, and whether it counts the photo's pixels as they are stored.

    Raises:
        InputError: no perspective lens, no focal length, or numbers that are none.
    """
    model = frame.get("camera_model", MODELS[0])
    if model not in MODELS or frame.get("is_fisheye"):
        model = "fisheye" if frame.get("is_fisheye") else str(model)[:40]
        raise InputError(f"{named} is by a {model} camera, which head-data cannot undistort: give perspective photos")
    given = None
    if frame.get("w") is not None or frame.get("h") is not None:
        given = _size(frame, named)
    # Our captures before 0.3.0 do not say it, and count what is shown.
    prefers_stored = frame.get(AS_STORED, "head" not in frame)
    if not isinstance(prefers_stored, bool):
        raise InputError(f"{named} has {AS_STORED} that is neither true nor false: {REMEDY}")
    size, as_stored = counted_size(photo, given, prefers_stored)
    counted = given or size
    focal = _focal(frame, counted, named)
    principal = [_number(frame, key, named, side / 2.0) for key, side in zip(("cx", "cy"), counted, strict=True)]
    lens = lens_of(focal, (principal[0], principal[1]), counted, _distortion(frame, named), named)
    return (lens if counted == size else lens.resized(*size)), as_stored


def _size(frame: Table, named: str) -> tuple[int, int]:
    sides = []
    for key in ("w", "h"):
        value = frame.get(key)
        if not positive(value) or not 1 <= value <= MOST_PIXELS:
            raise InputError(f"{named} has no width and height (w, h) in pixels: {REMEDY}")
        sides.append(round(float(value)))
    return sides[0], sides[1]


def _focal(frame: Table, size: tuple[int, int], named: str) -> tuple[float, float]:
    """Focal lengths in pixels, from fl_x and fl_y, or from fields of view in radians."""
    found = []
    for length, angle, side in (("fl_x", "camera_angle_x", size[0]), ("fl_y", "camera_angle_y", size[1])):
        if frame.get(length) is not None:
            found.append(_number(frame, length, named))
        elif frame.get(angle) is not None:
            found.append(0.5 * side / math.tan(0.5 * min(max(_number(frame, angle, named), 1e-6), math.pi - 1e-6)))
    if not found:
        raise InputError(f"{named} has no intrinsics (fl_x, or camera_angle_x): {REMEDY}, with its lens")
    return found[0], found[-1]


def _distortion(frame: Table, named: str) -> list[float]:
    """`COEFFICIENTS` of nerfstudio's names; its k4 is another than that of `RATIONAL`, so that it must be 0."""
    listed = frame.get("distortion_params")
    if isinstance(listed, list) and len(listed) == len(LISTED):
        frame = {**frame, **dict(zip(LISTED, listed, strict=True))}
    elif listed is not None:
        raise InputError(f"{named} has distortion_params that are no list of {len(LISTED)} numbers: {REMEDY}")
    values = [_number(frame, key, named, 0.0) for key in COEFFICIENTS]
    if any(values[5:]) and (listed is not None or frame.get("camera_model") != RATIONAL):
        raise InputError(f"{named} has a distortion with k4, which head-data cannot undo: undistort the photos first")
    return values


def _number(frame: Table, key: str, named: str, default: float | None = None) -> float:
    value = frame.get(key)
    if value is None and default is not None:
        return default
    if not is_number(value):
        raise InputError(f"{named} has a {key} that is no finite number: {REMEDY}")
    return float(value)


def _splits(path: Path, meta: Table, names: list[str]) -> dict[str, list[int]]:
    found = {}
    for split in SPLITS:
        listed = meta.get(f"{split}_filenames")
        if listed is None:
            continue
        if not isinstance(listed, list) or not all(one in names for one in listed):
            raise InputError(f"{path} lists {split}_filenames that are no file_path of a frame: correct them")
        found[split] = sorted({names.index(one) for one in listed})
    return found


def _to_original(path: Path, meta: Table) -> Float[np.ndarray, "4 4"]:
    """Inverse of nerfstudio's `applied_transform` and `applied_scale`."""
    if meta.get("applied_transform") is None and meta.get("applied_scale") is None:
        return np.eye(4)
    applied = np.eye(4)
    try:
        given = np.array(meta.get("applied_transform", np.eye(4)), dtype=np.float64)
        scale = float(meta.get("applied_scale", 1.0))
        applied[:3] = scale * given[:3].reshape(3, 4)
        if not np.isfinite(applied).all() or not 1e-9 < scale < 1e9 or abs(np.linalg.det(given[:3, :3])) < 1e-6:
            raise ValueError
        return np.linalg.inv(applied)
    except (TypeError, ValueError, IndexError, OverflowError, np.linalg.LinAlgError) as error:
        raise InputError(f"{path} has an applied_transform or applied_scale that is none: {REMEDY}") from error


def _metres_by(meta: Table, frames: list[Table]) -> str:
    """Program that promises metres, by the marks that it leaves; Record3D leaves none.

    ns-process-data polycam forbids turning and gives every frame a lens without distortion; NeRFCapture writes the
    scale of its depth maps, the app itself under another name than the scripts that come with it.
    """
    if "integer_depth_scale" in meta or "depth_integer_scale" in meta:
        return "NeRFCapture"
    bare = all("fl_x" in frame and not any(key in frame for key in COEFFICIENTS) for frame in frames)
    if meta.get("orientation_override") == "none" and bare and "applied_transform" not in meta:
        return "Polycam"
    return ""
