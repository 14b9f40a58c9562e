"""Pictures that a capture starts from: a folder of photos, or the sharp frames of a video."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from nerfstudio.utils.rich_utils import CONSOLE

from baseh3d_ns.capture.folder import FRAMES, MASKS, SHEET, changed_masks
from baseh3d_ns.capture.video import VIDEO_SUFFIXES
from baseh3d_ns.data.pictures import SUFFIXES
from baseh3d_ns.data.text_files import read_text
from baseh3d_ns.errors import InputError
from baseh3d_ns.files import whole_folder
from baseh3d_ns.own_photos.scene import exported_by, is_polycam
from baseh3d_ns.own_photos.transforms_json import FILE

MADE = frozenset({FILE, SHEET, MASKS, FRAMES})
"""Everything that a capture writes into its folder."""
MADE_INSIDE = {
    MASKS: re.compile(r"\d{3,}_.+\.png"),
    FRAMES: re.compile(rf".+_({'|'.join(suffix[1:] for suffix in VIDEO_SUFFIXES)})_\d{{5,}}\.jpg"),
}
"""Names of the files that a capture writes into its own folders, see `save_mask` and `frame_name`."""
NO_PHOTOS = (*VIDEO_SUFFIXES, ".gif", ".avif", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2")
"""Suffixes of films and of pictures that are not read."""


def find_photos(source: Path) -> list[Path]:
    """Photos of a folder, or of its folder `images`, by name, with a line in the log on what is left aside there.

    Raises:
        InputError: there is no photo in it, or there are some in both.
    """
    if source.is_file():
        raise InputError(
            f"{source} is one file: pass the folder of the photos, or a video ({' '.join(VIDEO_SUFFIXES)})"
        )
    if is_polycam(source):  # its thumbnail is no photo to start from
        raise InputError(f"{source} is Polycam's raw export: {exported_by(source)}")
    (own, aside), (inside, aside_inside) = (_pictures(folder) for folder in (source, source / "images"))
    if own and inside:
        raise InputError(
            f"{source} holds pictures ({own[0].name}), and so does its folder images ({inside[0].name}): pass "
            f"{source / 'images'}, or move what does not show the head out of {source}"
        )
    if own or inside:
        _say_left_aside(aside if own else aside_inside)
        _say_saved_twice(own or inside)
        return own or inside
    video = next((path for path in aside if path.suffix.lower() in VIDEO_SUFFIXES), None)
    remedy = exported_by(source) or (f"pass the video itself: {video}" if video else "pass the folder that they lie in")
    raise InputError(f"{source} holds no photos ({' '.join(SUFFIXES)}): {remedy}")


@contextmanager
def output_folder(out: Path) -> Iterator[Path]:
    """Context that yields an unfinished folder, which becomes `out`, also in place of an earlier one, when all is well.

    Check `out` first, see `check_output`.
    """
    replaced = _set_aside(out)
    had = out.exists()
    if had and replaced.exists():
        shutil.rmtree(replaced)
    with whole_folder(out) as unfinished:
        yield unfinished
        if had:
            out.rename(replaced)
    shutil.rmtree(replaced, ignore_errors=True)


def take_back(out: Path) -> None:
    """Put an earlier capture back at `out`, which a killed process had set aside and not replaced yet."""
    if _set_aside(out).exists() and not out.exists():
        _set_aside(out).rename(out)


def check_output(source: Path, out: Path, overwrite: bool) -> None:
    """Raise `InputError` where there is no source, or an output folder is in the way: one that holds the source, what
    no capture made, or masks that were changed by hand."""
    if not source.exists():
        raise InputError(f"no such folder of photos or video: {source}")
    if source.resolve() == out or out in source.resolve().parents:
        raise InputError(f"{out} holds the photos themselves: pass another --out")
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not overwrite:
        raise InputError(f"{out} is there already: pass --overwrite to make it anew, or another --out")
    there = {path.name for path in out.iterdir()} if out.is_dir() else {out.name}
    others = sorted(there - MADE if _is_capture(out) else there) or _not_made(out)
    if others:
        raise InputError(f"{out} holds {others[0]}, which no capture made: move it away, or pass another --out")
    changed = changed_masks(out)
    if changed:
        raise InputError(
            f"{changed[0]} was changed after the capture: copy it to {_mask_to_use(source, changed[0])}, so that it is "
            "used, and pass another --out; or delete it"
        )


def _mask_to_use(source: Path, mask: Path) -> str:
    """Place of a mask from a captured folder where the next capture of its source finds it."""
    name = mask.name.split("_", 1)[-1]
    if source.suffix.lower() == ".json" or (source / FILE).is_file():
        return f"where the cameras of {source} name the mask of that photo, or as {name} into a folder masks beside it"
    # The masks of a film's frames lie beside the film.
    return str((source.parent if source.is_file() else _folder_of_photos(source)) / MASKS / name)


def _folder_of_photos(source: Path) -> Path:
    """The folder that `find_photos` takes the photos from."""
    return source if _pictures(source)[0] else source / "images"


def _not_made(out: Path) -> list[str]:
    """Files that no capture made, in the folders within one."""
    return [
        f"{folder}/{path.name}"
        for folder, made in MADE_INSIDE.items()
        for path in sorted((out / folder).glob("*"))
        if not made.fullmatch(path.name)
    ]


def _pictures(folder: Path) -> tuple[list[Path], list[Path]]:
    """Pictures of a folder, by name, without the sheet of a capture, and films and pictures that are not read; none
    where there is no such folder."""
    if not folder.is_dir():
        return [], []
    left_out = {SHEET} if _is_capture(folder) else set()
    files = sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and not path.name.startswith(".") and path.name not in left_out
    )
    found = [path for path in files if path.suffix.lower() in SUFFIXES]
    _check_no_masks(found)
    return found, [path for path in files if path.suffix.lower() in NO_PHOTOS]


def _say_left_aside(files: Sequence[Path]) -> None:
    """Log how many files beside the photos are not read, where there are some: a phone may write one for each photo."""
    if files:
        others = f" and {len(files) - 1} more" if len(files) > 1 else ""
        CONSOLE.log(f"No photos that can be read, so not used: {files[0].name}{others}.")


def _say_saved_twice(photos: Sequence[Path]) -> None:
    """Log the photos that have one name but for its suffix, where there are some."""
    by_stem: dict[str, list[str]] = {}
    for photo in photos:
        by_stem.setdefault(photo.stem, []).append(photo.name)
    alike = [" and ".join(names) for names in by_stem.values() if len(names) > 1]
    if alike:
        others = f" ({len(alike) - 1} more such names)" if len(alike) > 1 else ""
        CONSOLE.log(f"{alike[0]}{others} count as photos of their own: if they are one shot saved twice, keep one.")


def _set_aside(out: Path) -> Path:
    """Place of the capture that is being replaced."""
    return out.with_name(f".{out.name}.before")


def _check_no_masks(photos: Sequence[Path]) -> None:
    """Raise `InputError` where masks lie among their photos, and would be taken for photos."""
    stems = {photo.stem for photo in photos}
    mask = next((photo for photo in photos if photo.stem.removesuffix("_mask") in stems - {photo.stem}), None)
    if mask is not None:
        raise InputError(f"{mask} is a mask among the photos: move all masks into {mask.parent / MASKS}")


def _is_capture(folder: Path) -> bool:
    """Whether the cameras of a folder have the block by which a capture hands over the head's frame."""
    return (folder / FILE).is_file() and '"head"' in read_text(folder / FILE)
