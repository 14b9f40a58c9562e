"""`baseh3d capture`: from photos of a head, or a video, to a folder that `head-data` reads.

1. Silhouettes: the user's masks, or guessed by two networks.
2. Cameras: another program's, where its file is there; else structure from motion or landmarks (`solve`).
3. Frame of the head in millimetres, by `own_photos`.
4. `transforms.json`, masks, and `capture.png` to look at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from PIL import Image
from tqdm import tqdm

from baseh3d_ns.capture.folder import save_mask, write_transforms
from baseh3d_ns.capture.photos import Photo, load_photo, sharpness
from baseh3d_ns.capture.report import PhotoReport, advice, table
from baseh3d_ns.capture.sheet import save_sheet
from baseh3d_ns.capture.solve import NO_SCALE, CameraConfig, SolvedCameras, solve_cameras
from baseh3d_ns.capture.solved import SolvedView
from baseh3d_ns.capture.sources import check_output, find_mask, find_photos, output_folder
from baseh3d_ns.capture.structure_from_motion import MotionConfig
from baseh3d_ns.capture.video import VIDEO_SUFFIXES, save_frames
from baseh3d_ns.errors import InputError
from baseh3d_ns.own_photos.colmap_model import find_model
from baseh3d_ns.own_photos.lens import COEFFICIENTS, Lens
from baseh3d_ns.own_photos.metric_scale import ScaleOptions
from baseh3d_ns.own_photos.scene import OwnScene, open_capture, read_capture
from baseh3d_ns.own_photos.shots import Capture, GivenFrame, Shot
from baseh3d_ns.own_photos.transforms_json import FILE
from baseh3d_ns.pretrained.landmarks import FaceLandmarks, find_faces
from baseh3d_ns.pretrained.silhouettes import guess_silhouette, touches_border

LONGEST_PX = 768
"""Longer side of the pictures on the sheet, before they are made small."""


@dataclass(frozen=True)
class CaptureOptions:
    """Settings of a capture."""

    source: Path
    """Folder of photos, with or without a file of their cameras, or a video."""
    out: Path
    """Folder to make."""
    scale: ScaleOptions
    """What the user knows of the size."""
    neck_mm: float
    """Distance below the chin that the head ends at, in millimetres."""
    estimate_cameras: bool
    """Whether cameras are estimated even where a file has them."""
    turning_head: bool
    """Whether the head turns before a camera that stands still."""
    overwrite: bool
    """Whether an earlier capture at `out` is replaced."""


@dataclass(frozen=True, eq=False)
class _Look:
    """A photo, looked at."""

    path: Path
    photo: Photo
    faces: list[FaceLandmarks]
    mask: Bool[np.ndarray, "h w"]
    """Silhouette at the photo's full size."""
    given: bool
    """Whether the silhouette is the user's."""
    agreement: float
    """Agreement of the two networks on a guessed silhouette; 1 for a given one."""


def capture(options: CaptureOptions) -> str:
    """Make the folder of a head; the report to print.

    Raises:
        InputError: the photos, their cameras or their masks cannot be used, or `out` is in the way.
    """
    options.scale.check()
    check_output(options.out, options.overwrite)
    with output_folder(options.out, options.overwrite) as folder:
        given = None if options.estimate_cameras else _given_cameras(options.source)
        if given is not None:
            looks = [_look(shot.photo_path, shot.mask_path) for shot in _bar(given.shots)]
            solved = None
        else:
            paths = _photos(options.source, folder)
            looks = [_look(path, find_mask(path)) for path in _bar(paths)]
            given, solved = _estimate(options, looks)
        by_path = {look.path: look for look in looks}
        shots = tuple(
            replace(shot, mask_path=save_mask(folder, number, shot.name, by_path[shot.photo_path].mask))
            for number, shot in enumerate(given.shots)
        )
        scene = open_capture(replace(given, shots=shots), options.scale, options.neck_mm, LONGEST_PX)
        write_transforms(folder, options.out, shots, scene.frame)
        save_sheet(folder / "capture.png", scene.views, scene.frame, scene.frame.scale.summary())
    return _report(options, looks, scene, solved)


def usual_out(source: Path) -> Path:
    """`head` in the folder of the photos, or beside a video or a file of cameras."""
    if source.is_file():
        return source.with_name(f"{source.stem}-head" if source.suffix.lower() in VIDEO_SUFFIXES else "head")
    return source / "head"


def _photos(source: Path, folder: Path) -> list[Path]:
    """Photos of a folder, or the frames of a video, written to the folder `frames`."""
    if source.is_file() and source.suffix.lower() in VIDEO_SUFFIXES:
        return save_frames(source, folder / "frames")
    return find_photos(source)


def _given_cameras(source: Path) -> Capture | None:
    """Cameras that lie beside the photos; None where there are none."""
    has_file = source.suffix.lower() == ".json" or (source / FILE).is_file()
    if has_file or (source.is_dir() and find_model(source) is not None):
        return read_capture(source)
    return None


def _bar(items: Sequence) -> tqdm:
    return tqdm(items, desc="Looking at the photos", unit="photo", delay=2.0, leave=False)


def _look(path: Path, mask_path: Path | None) -> _Look:
    photo = load_photo(path, mask_path)
    faces = find_faces(photo.rgb)
    if photo.mask is not None:
        mask, agreement = photo.mask, 1.0
    else:
        guess = guess_silhouette(photo.rgb, faces[0] if faces else None)
        mask, agreement = guess.mask, guess.agreement
    return _Look(path, replace(photo, mask=mask), faces, _at_full_size(mask, photo), mask_path is not None, agreement)


def _at_full_size(mask: Bool[np.ndarray, "h w"], photo: Photo) -> Bool[np.ndarray, "k l"]:
    grey = Image.fromarray(mask.astype(np.float32))
    return np.asarray(grey.resize((photo.width, photo.height), Image.Resampling.BILINEAR)) > 0.5


def _estimate(options: CaptureOptions, looks: Sequence[_Look]) -> tuple[Capture, SolvedCameras]:
    """Cameras of photos that have none, in the head frame."""
    is_video = options.source.suffix.lower() in VIDEO_SUFFIXES
    config = CameraConfig(MotionConfig(options.turning_head, is_video), options.scale.pupils_mm or None)
    solved = solve_cameras([look.photo for look in looks], config)
    shots = tuple(
        shot for look, view in zip(looks, solved.views, strict=True) if (shot := _shot(look.path, view)) is not None
    )
    if not shots:
        raise InputError(f"no camera could be found for the photos of {options.source}: see README on how to take them")
    known = GivenFrame()
    if solved.scale_source != NO_SCALE:
        known = GivenFrame(
            up=np.array([0.0, 1.0, 0.0]),
            ahead=np.array([0.0, 0.0, 1.0]),
            mm_per_unit=1.0,
            scale_source=solved.scale_source,
            scale_uncertainty_percent=solved.scale_uncertainty_percent,
        )
    return Capture(options.source, shots, given=known), solved


def _shot(path: Path, view: SolvedView) -> Shot | None:
    camera = view.camera
    if camera is None:
        return None
    distortion = np.zeros(len(COEFFICIENTS))
    distortion[: len(view.distortion)] = view.distortion
    lens = Lens(camera.intrinsics, distortion, camera.width, camera.height)
    return Shot(path.name, path, None, lens, False, camera.rotation, camera.centre_mm)


def _report(options: CaptureOptions, looks: Sequence[_Look], scene: OwnScene, solved: SolvedCameras | None) -> str:
    """Table of the photos, the way to the cameras, the scale, advice, and the next command."""
    errors = {} if solved is None else {view.name: view.reprojection_error_px for view in solved.views}
    with_camera = {view.shot.photo_path for view in scene.views}
    photos = [
        PhotoReport(
            look.photo.name,
            look.path in with_camera,
            sharpness(look.photo.rgb),
            "given" if look.given else "guessed",
            look.agreement,
            touches_border(look.mask),
            look.faces[0].score if look.faces else None,
            errors.get(look.photo.name),
        )
        for look in looks
    ]
    centres_mm = np.array([view.camera.centre_mm for view in scene.views])
    way = f"Cameras by {solved.way}." if solved is not None else f"Cameras as given by {scene.capture.path}."
    lines = [table(photos), "", way, scene.frame.scale.summary(), *advice(photos, centres_mm), ""]
    lines += [f"Look at {options.out / 'capture.png'}, then:", f"ns-train baseh3d-fast --data {options.out} head-data"]
    return "\n".join(lines)
