"""Folder of a captured head: `transforms.json` with the head's frame, and a mask of every photo."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from baseh3d_ns.data.pictures import UNDECIDED, Trimap
from baseh3d_ns.data.text_files import read_text
from baseh3d_ns.errors import InputError
from baseh3d_ns.frames import OPENCV_TO_OPENGL, PIXEL_CENTRE
from baseh3d_ns.own_photos.head_frame import HeadFrame
from baseh3d_ns.own_photos.lens import COEFFICIENTS
from baseh3d_ns.own_photos.shots import Shot
from baseh3d_ns.own_photos.transforms_json import AS_STORED, DIGEST, FILE, GUESSED, MODELS, RATIONAL, digest

MASKS, FRAMES, SHEET = "masks", "frames", "capture.png"
"""Names, within the folder, of the masks, of the frames of a video, and of the picture to look at."""
LATER_S = 2.0
"""Seconds after the end of a capture from which a mask in its folder was made by hand, where digests do not tell."""


def save_mask(folder: Path, number: int, name: str, trimap: Trimap) -> Path:
    """Write a silhouette (white: head, grey: left open) into the folder's masks; its path."""
    path = folder / MASKS / f"{number:03d}_{Path(name).stem}.png"
    path.parent.mkdir(exist_ok=True)
    levels = np.where(trimap.known, 255 * trimap.mask, UNDECIDED)
    Image.fromarray(levels.astype(np.uint8)).save(path)
    return path


def write_transforms(
    folder: Path, out: Path, shots: Sequence[Shot], frame: HeadFrame, splits: Mapping[str, Sequence[int]]
) -> None:
    """Write the cameras, nerfstudio's splits of them, and the head's frame in their world.

    Args:
        folder: where to write.
        out: where the folder will lie; paths of photos are relative to it.
        shots: photos whose masks lie in `folder`.
        frame: frame of the head in the world of the shots.
        splits: numbers of the shots of each split, where the cameras came with splits.
    """
    frames = [_frame(folder, out, shot) for shot in shots]
    named = {f"{split}_filenames": [frames[i]["file_path"] for i in numbers] for split, numbers in splits.items()}
    # nerfstudio, to which k4 is another coefficient, refuses the name of the rational model.
    model = RATIONAL if any(shot.lens.distortion[5:].any() for shot in shots) else MODELS[0]
    text = json.dumps({"camera_model": model, "frames": frames, **named, "head": frame.block()}, indent=1)
    (folder / FILE).write_text(text + "\n", encoding="utf-8")


def changed_masks(out: Path) -> list[Path]:
    """Masks of a captured folder that are not as `write_transforms` found them.

    Where its file does not say how one was, as before 0.3.5, the mask's time tells, which a copy may keep or change.
    """
    written: dict[Path, str] = {}
    with suppress(InputError, ValueError, TypeError, KeyError, RecursionError):
        frames = json.loads(read_text(out / FILE))["frames"]
        written = {out / frame["mask_path"]: frame[DIGEST] for frame in frames}
    made = [path.stat().st_mtime for name in (FILE, SHEET) if (path := out / name).is_file()]

    def is_changed(mask: Path) -> bool:
        if mask in written:
            return digest(mask) != written[mask]
        return bool(made) and mask.stat().st_mtime > min(made) + LATER_S

    return [path for path in sorted((out / MASKS).glob("*")) if path.is_file() and is_changed(path)]


def _frame(folder: Path, out: Path, shot: Shot) -> dict[str, object]:
    lens, matrix = shot.lens, np.eye(4)
    matrix[:3, :3] = shot.rotation.T @ OPENCV_TO_OPENGL
    matrix[:3, 3] = shot.centre
    assert shot.mask_path is not None
    inside = shot.photo_path.is_relative_to(folder)
    photo = shot.photo_path.relative_to(folder) if inside else os.path.relpath(shot.photo_path, out)
    return {
        "file_path": Path(photo).as_posix(),
        "mask_path": shot.mask_path.relative_to(folder).as_posix(),
        DIGEST: digest(shot.mask_path),
        "w": lens.width,
        "h": lens.height,
        AS_STORED: shot.as_stored,
        GUESSED: shot.mask_guessed,
        "fl_x": lens.intrinsics[0, 0],
        "fl_y": lens.intrinsics[1, 1],
        "cx": lens.intrinsics[0, 2] + PIXEL_CENTRE,
        "cy": lens.intrinsics[1, 2] + PIXEL_CENTRE,
        **{name: float(value) for name, value in zip(COEFFICIENTS, lens.distortion, strict=True) if value},
        "transform_matrix": matrix.tolist(),
    }
