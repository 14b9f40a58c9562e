"""One's own photos of a head, opened: cameras read, photos looked at, frame found, pictures undistorted."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from nerfstudio.utils.rich_utils import CONSOLE

from baseh3d_ns.bars import progress_bar
from baseh3d_ns.errors import InputError, named_permissions
from baseh3d_ns.own_photos.colmap_model import find_model, read_colmap
from baseh3d_ns.own_photos.contradictions import without_contradicted
from baseh3d_ns.own_photos.faces import Face
from baseh3d_ns.own_photos.head_block import read_head_block
from baseh3d_ns.own_photos.head_frame import HeadFrame, find_head_frame
from baseh3d_ns.own_photos.looks import Look, look_at
from baseh3d_ns.own_photos.metric_scale import ScaleOptions, doubt, only_head_tells_size
from baseh3d_ns.own_photos.own_views import OwnView, view_of
from baseh3d_ns.own_photos.shots import Capture, Shot
from baseh3d_ns.own_photos.transforms_json import FILE, read_transforms

NECK_MM = 90.0
"""Distance of the cut below the chin, unless the user gives another."""
WORTH_SAYING = 0.01
"""Share of a silhouette from which it is said that it was left out."""


@dataclass(frozen=True, eq=False)
class OwnScene:
    """A head, ready for any method."""

    capture: Capture
    frame: HeadFrame
    looks: tuple[Look, ...]
    """All shots that show a head."""
    views: tuple[OwnView, ...]
    """Views of those looks whose silhouettes are the head's."""
    splits: dict[str, list[int]]
    """Numbers of the views of nerfstudio's splits, where the file names them."""
    scale_doubt: str | None
    """Sentence where the scale makes a face of no person's size, or the irises one of another than usual."""


@named_permissions()
def read_capture(data: Path) -> Capture:
    """Cameras of a folder with a `transforms.json` or a COLMAP model, or of such a file.

    Raises:
        InputError: there are none, or they cannot be used.
    """
    if data.suffix.lower() == ".json":
        return read_transforms(data)
    if not data.is_dir():
        raise InputError(f"no such data folder: {data}; pass a folder with a {FILE} or a COLMAP model with --data")
    if (data / FILE).is_file():
        return read_transforms(data / FILE)
    if (data / "head" / FILE).is_file():
        return read_transforms(data / "head" / FILE)
    model = find_model(data)
    if model is None:
        ours = None if is_polycam(data) else f"make one with `baseh3d capture {data}`"
        remedies = [remedy for remedy in (exported_by(data), ours) if remedy]
        raise InputError(f"{data} holds neither a {FILE} nor a COLMAP model (sparse/0): {', or '.join(remedies)}")
    return read_colmap(data, model)


def check_neck(capture: Capture, neck_mm: float) -> None:
    """Raise `InputError` where the user says where the cut is and the file of the cameras has decided on it already."""
    if capture.given.cut_decided and neck_mm != NECK_MM:
        raise InputError(
            f"--neck-mm {neck_mm:g} does nothing here, {capture.path} says already where the head ends: leave it out, "
            "or give it to `baseh3d capture` of the photos"
        )


def exported_by(folder: Path) -> str | None:
    """Remedy for cameras in a format that nerfstudio has to convert first; None where none is seen."""
    if is_polycam(folder):
        program = "polycam"
    elif any(folder.glob("*.xml")):
        program = "metashape"
    elif any(folder.glob("*.csv")):
        program = "realitycapture"
    else:
        return None
    return f"convert its cameras with `ns-process-data {program}` and pass the folder that it makes"


def is_polycam(folder: Path) -> bool:
    """Whether a folder is Polycam's raw export, beside whose photos lie its cameras in metres."""
    return (folder / "keyframes").is_dir()


def open_own_photos(data: Path, scale: ScaleOptions, neck_mm: float, longest_px: int, recorded: str = "") -> OwnScene:
    """The head of some photos; the same again, as long as their files stay as they are, without reading them twice.

    Args:
        data: folder or file of the cameras.
        scale: what the user knows of the scale.
        neck_mm: distance from the chin to the cut.
        longest_px: longer side of a view, at most.
        recorded: frame that a head was trained in, as the JSON of a block `head`, so that it is not looked for again,
            which other photos, masks or networks would answer otherwise.

    Raises:
        InputError: photos, masks or cameras cannot be used, or `neck_mm` is of no use.
    """
    scale.check()
    capture = read_capture(data)
    if not recorded:
        check_neck(capture, neck_mm)
    files = {path for shot in capture.shots for path in (shot.photo_path, shot.mask_path) if path} | {capture.path}
    stamp = tuple(sorted((str(path), path.stat().st_mtime_ns) for path in files))
    return _opened(data, scale, neck_mm, longest_px, recorded, stamp)


def photos_without_camera(shots: Sequence[Shot]) -> list[str]:
    """Names of the photos beside those of the shots that no shot is of, such as those COLMAP could not register.

    Masks and pictures that are named after a photo (`0.depth.png`, `0_mask.png`) are no photos.
    """
    used = {Path(os.path.abspath(shot.photo_path)) for shot in shots}  # where they are linked from
    kinds, stems = {path.suffix for path in used}, {path.with_suffix("") for path in used}
    beside = (path for folder in sorted({path.parent for path in used}) for path in sorted(folder.iterdir()))
    others = (path for path in beside if path.suffix in kinds and path not in used and path.name[0] != ".")
    return [path.name for path in others if path.with_name(Path(path.stem.removesuffix("_mask")).stem) not in stems]


@lru_cache(maxsize=1)
def _opened(data: Path, scale: ScaleOptions, neck_mm: float, longest_px: int, recorded: str, stamp: tuple) -> OwnScene:
    capture = read_capture(data)
    if capture.path == data / "head" / FILE:
        CONSOLE.log(f"{data / 'head'}, which `baseh3d capture` made, is used.")
    # A capture of ours named them when it was made.
    lost = photos_without_camera(capture.shots) if capture.given.ball is None else []
    if lost:
        CONSOLE.log(f"These photos have no camera, so they are not used: {', '.join(lost[:10])}.")
    if recorded:
        capture = replace(capture, given=read_head_block(capture.path, json.loads(recorded)))
    return open_capture(capture, scale, neck_mm, longest_px)


def open_capture(
    capture: Capture, scale: ScaleOptions, neck_mm: float, longest_px: int, face: Face | None = None
) -> OwnScene:
    """The head of photos whose cameras are known; for arguments and errors see `open_own_photos`, `look_at`."""
    given = capture.given
    parts = (given.ball, given.mm_per_unit, given.up, given.ahead)
    complete = given.cut_decided and all(part is not None for part in parts)
    looks, face = look_at(
        capture.shots, not complete or bool(scale.pupils_mm), face, only_head_tells_size(scale, capture)
    )
    silhouettes = [look.silhouette for look in looks]
    heads = [replace(look.silhouette, mask=look.head) for look in looks]
    frame = find_head_frame(capture, silhouettes, heads, face, scale, neck_mm)
    scale_doubt = doubt(frame.scale, face)
    _report(frame, scale_doubt)
    looks = _without_contradicted(looks, frame)
    views = _views(looks, frame, longest_px)
    number = {view.shot.name: index for index, view in enumerate(views)}
    splits = {
        split: [number[name] for name in (capture.shots[index].name for index in shots) if name in number]
        for split, shots in capture.splits.items()
    }
    return OwnScene(capture, frame, tuple(looks), views, splits, scale_doubt)


def _without_contradicted(looks: Sequence[Look], frame: HeadFrame) -> list[Look]:
    """The looks, guessed silhouettes less what the others contradict, with a sentence."""
    agreed = without_contradicted([look.silhouette for look in looks], frame.centre, frame.radius)
    kept, named = [], []
    for look, silhouette in zip(looks, agreed, strict=True):
        share = 1.0 - silhouette.mask.sum() / max(1, look.silhouette.mask.sum())
        if look.guessed and share > WORTH_SAYING:
            named.append(f"{silhouette.shot.name} ({100.0 * share:.0f} %)")
        kept.append(replace(look, silhouette=silhouette) if look.guessed else look)
    if named:
        CONSOLE.log(f"Parts of silhouettes are left out, other photos contradict them: {', '.join(named[:10])}.")
    return kept


def _views(looks: Sequence[Look], frame: HeadFrame, longest_px: int) -> tuple[OwnView, ...]:
    """Views of all looks; those whose guessed silhouette is of something else are left out, with a sentence."""
    views = []
    for look in progress_bar(looks, desc="Cutting out the head", unit="photo"):
        try:
            views.append(view_of(look, frame, longest_px))
        except InputError as error:
            if not look.guessed:
                raise
            CONSOLE.log(f"A photo is left out, since its silhouette was guessed wrong: {error}.")
    if not views:
        raise InputError(
            f"no guessed silhouette of {looks[0].silhouette.shot.name} or others fits: put masks (white = head) into a "
            "folder masks"
        )
    return tuple(views)


def _report(frame: HeadFrame, doubted: str | None) -> None:
    CONSOLE.log(frame.scale.summary())
    if doubted:
        CONSOLE.log(doubted)
    ball = f"The head's ball has a radius of {frame.radius_mm:.0f} mm"
    CONSOLE.log(f"{ball}; up and ahead are by {frame.up_from}.")
    if frame.cut is not None:
        CONSOLE.log("Silhouettes go on below the neck: nothing is concluded from what lies below the cut (--neck-mm).")
