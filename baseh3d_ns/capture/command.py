"""`baseh3d capture`: from photos of a head, or a video, to a folder that `head-data` reads.

1. Cameras: another program's, where its file is there; else structure from motion or landmarks (`solve`).
2. Silhouettes (the user's masks, or guessed by two networks) and the head's frame in millimetres, by `own_photos`.
3. `transforms.json`, masks, and `capture.png` to look at.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from nerfstudio.utils.rich_utils import CONSOLE

from baseh3d_ns.bars import progress_bar
from baseh3d_ns.capture.checks import say_cropped
from baseh3d_ns.capture.folder import FRAMES, SHEET, save_mask, write_transforms
from baseh3d_ns.capture.photos import SHARPNESS_SIDE, load_photo, sharpness
from baseh3d_ns.capture.report import PhotoReport, advice, table
from baseh3d_ns.capture.rise import rise_mm
from baseh3d_ns.capture.sheet import save_sheet
from baseh3d_ns.capture.solve import CameraConfig, FittedFace, SolvedCameras, check_tools, solve_cameras
from baseh3d_ns.capture.solved import SolvedView
from baseh3d_ns.capture.sources import check_output, find_photos, output_folder, take_back
from baseh3d_ns.capture.structure_from_motion import MotionConfig
from baseh3d_ns.capture.video import MOST_FRAMES, VIDEO_SUFFIXES, save_frames
from baseh3d_ns.data.pictures import read_photo
from baseh3d_ns.errors import InputError
from baseh3d_ns.frames import HEAD_FRAME
from baseh3d_ns.own_photos.colmap_model import find_model, read_colmap
from baseh3d_ns.own_photos.faces import POINTS, face_of
from baseh3d_ns.own_photos.head_frame import HeadFrame
from baseh3d_ns.own_photos.lens import COEFFICIENTS, Lens
from baseh3d_ns.own_photos.looks import Look, full_trimap
from baseh3d_ns.own_photos.mask_turns import MaskFile, turned_masks
from baseh3d_ns.own_photos.masks import find_mask, mask_file, unused_masks
from baseh3d_ns.own_photos.metric_scale import ScaleOptions, doubt
from baseh3d_ns.own_photos.photo_sizes import as_shown
from baseh3d_ns.own_photos.scene import OwnScene, check_neck, open_capture, photos_without_camera, read_capture
from baseh3d_ns.own_photos.shots import Capture, Cut, GivenFrame, Shot
from baseh3d_ns.own_photos.transforms_json import FILE
from baseh3d_ns.pretrained.silhouettes import touches_border

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
    """Knowledge of the user about the size."""
    neck_mm: float
    """Distance below the chin that the head ends at, in millimetres."""
    estimate_cameras: bool
    """Whether cameras are estimated even where a file has them."""
    turning_head: bool
    """Whether the head turns before a camera that stands still."""
    overwrite: bool
    """Whether an earlier capture at `out` is replaced."""


def capture(options: CaptureOptions) -> str:
    """Make the folder of a head; the report to print.

    Raises:
        InputError: the photos, their cameras or their masks cannot be used, or `out` is in the way.
    """
    options.scale.check()
    take_back(options.out)
    check_output(options.source, options.out, options.overwrite)
    with output_folder(options.out) as folder:
        given, solved, known = None if options.estimate_cameras else _given_cameras(options), None, None
        if given is None:
            options.scale.check_without_cameras()
            given, solved = _estimate(options, _photos(options, folder))
        scale = options.scale
        if solved is not None and solved.face is not None:
            scale = replace(scale, pupils_mm=0.0)  # those cameras stand in millimetres by them already
            known = face_of(solved.face.landmarks_mm[list(POINTS.values())], ())
        scene = open_capture(given, scale, options.neck_mm, LONGEST_PX, known if len(given.shots) > 1 else None)
        kept = {view.shot.name for view in scene.views}
        shots = [
            replace(shot, mask_path=save_mask(folder, number, shot.name, full_trimap(look)), mask_guessed=look.is_guess)
            for number, look in enumerate(scene.looks)
            if (shot := look.silhouette.shot).name in kept
        ]
        write_transforms(folder, options.out, shots, scene.frame, scene.splits)
        save_sheet(folder / SHEET, scene.views, scene.frame, scene.frame.scale.summary())
        metric = scene.frame.scale if solved is None or solved.face is None else solved.face.scale
        report = _report(options, scene, solved, scene.scale_doubt or doubt(metric, known))
    return report


def usual_out(source: Path) -> Path:
    """`head` in the folder of the photos, or beside a video or a file of cameras."""
    if source.is_file():
        return source.with_name(f"{source.stem}-head" if source.suffix.lower() in VIDEO_SUFFIXES else "head")
    return source / "head"


def _photos(options: CaptureOptions, folder: Path) -> dict[Path, Path | None]:
    """Photos of a folder and their masks, or the frames of a video, written to the folder `frames`.

    Raises:
        InputError: there are none, or what their cameras and silhouettes are found with is not installed.
    """
    source = options.source
    if source.is_file() and source.suffix.lower() in VIDEO_SUFFIXES:
        check_tools(MOST_FRAMES, needs_networks=True)
        # An earlier capture's frames have the same names.
        masks = {frame: mask_file(source.with_name(frame.name)) for frame in save_frames(source, folder / FRAMES)}
        unused = None if any(masks.values()) else unused_masks([source])
        if unused is not None:
            CONSOLE.log(f"{unused} holds no mask with the name of a frame, such as {next(iter(masks)).stem}.png.")
        return masks
    masks = {photo: find_mask(photo) for photo in find_photos(source)}
    check_tools(len(masks), options.turning_head or None in masks.values())
    return masks


def _given_cameras(options: CaptureOptions) -> Capture | None:
    """Cameras that lie beside the photos, not those of an earlier capture below them; None where there are none.

    Raises:
        InputError: they cannot be used, or an option would do nothing with them.
    """
    source = options.source
    if source.suffix.lower() == ".json" or (source / FILE).is_file():
        given = read_capture(source)
    elif source.is_dir() and (model := find_model(source)) is not None:
        given = read_colmap(source, model)
    else:
        return None
    if options.turning_head:
        raise InputError(
            f"--turning-head is for cameras that are yet to be found, and {given.path} has them: leave it out, or add "
            "--estimate-cameras"
        )
    check_neck(given, options.neck_mm)
    return given


def _estimate(options: CaptureOptions, masks: Mapping[Path, Path | None]) -> tuple[Capture, SolvedCameras]:
    """Cameras of photos that have none, in the head frame where a face says where that is."""
    bar = progress_bar(masks.items(), desc="Reading the photos", unit="photo")
    photos = [load_photo(photo, mask) for photo, mask in bar]
    files = [None if mask is None else MaskFile(photo, mask, as_stored=False) for photo, mask in masks.items()]
    turned = turned_masks(files, [photo.rgb for photo in photos], [photo.mask for photo in photos])
    photos = [
        photo if other is None else replace(photo, mask=other) for photo, other in zip(photos, turned, strict=True)
    ]
    say_cropped(photos)
    is_video = options.source.suffix.lower() in VIDEO_SUFFIXES
    config = CameraConfig(MotionConfig(options.turning_head, is_video), options.scale.pupils_mm or None)
    solved = solve_cameras(photos, config)
    found = [
        _shot(*beside, view, None if other is None else True)
        for beside, view, other in zip(masks.items(), solved.views, turned, strict=True)
    ]
    shots = tuple(shot for shot in found if shot is not None)
    if not shots:
        raise InputError(f"no camera could be found for the photos of {options.source}: see README on how to take them")
    known = GivenFrame()
    if solved.face is not None:
        known = _known_frame(solved.face, options.neck_mm, alone=len(shots) == 1)
    return Capture(options.source, shots, given=known), solved


def _known_frame(face: FittedFace, neck_mm: float, alone: bool) -> GivenFrame:
    """Frame of cameras in the head frame; with ball and cut where one photo alone has no hull to find them in."""
    up = np.array([0.0, 1.0, 0.0])
    frame = GivenFrame(
        up=up,
        ahead=np.array([0.0, 0.0, 1.0]),
        ears=np.zeros(3),
        mm_per_unit=1.0,
        scale_source=face.scale.source,
        scale_uncertainty_percent=face.scale.uncertainty_percent,
    )
    if not alone:
        return frame
    cut = Cut(face.landmarks_mm[POINTS["chin"]] - neck_mm * up, up)
    # Pupils that were measured may be a doll's.
    size = 1.0 / face_of(face.landmarks_mm[list(POINTS.values())], ()).mm_per_unit
    ball = size * np.array(HEAD_FRAME.centre_mm), size * HEAD_FRAME.radius_mm
    return replace(frame, ball=ball, cut=cut, cut_decided=True)


def _shot(photo: Path, mask: Path | None, view: SolvedView, mask_as_stored: bool | None) -> Shot | None:
    camera = view.camera
    if camera is None:
        return None
    distortion = np.zeros(len(COEFFICIENTS))
    distortion[: len(view.distortion)] = view.distortion
    lens = Lens(camera.intrinsics, distortion, camera.width, camera.height)
    return Shot(photo.name, photo, mask, lens, False, camera.rotation, camera.centre_mm, mask_as_stored)


def _report(options: CaptureOptions, scene: OwnScene, solved: SolvedCameras | None, scale_doubt: str | None) -> str:
    """Table of the photos, the way to the cameras, the scale, advice, and the next command."""
    kept = {view.shot.name for view in scene.views}
    errors = {} if solved is None else {view.name: view.reprojection_error_px for view in solved.views}
    lenses = (look.silhouette.shot.lens for look in scene.looks)
    side_px = min(SHARPNESS_SIDE, *(max(lens.width, lens.height) for lens in lenses))
    photos = [
        _photo_report(look, look.silhouette.shot.name in kept, errors, side_px, scene.frame) for look in scene.looks
    ]
    seen = {photo.name for photo in photos}
    lost = [shot.name for shot in scene.capture.shots if shot.name not in seen]
    if solved is None:
        lost += photos_without_camera(scene.capture.shots)
    else:
        lost += [view.name for view in solved.views if view.camera is None]
    centres_mm = np.array([view.camera.centre_mm for view in scene.views])
    way = f"Cameras by {solved.way}." if solved is not None else f"Cameras as given by {scene.capture.path}."
    said = [scale_doubt] if scale_doubt else []
    scale = scene.frame.scale
    said += advice(photos, lost, centres_mm, scale.source, options.source.suffix.lower() in VIDEO_SUFFIXES)
    lines = [table(photos), "", way, scale.summary(), *said, ""]
    train = f"ns-train baseh3d-fast --data {shlex.quote(str(options.out))} head-data"
    lines += [f"Look at {options.out / SHEET}, then:", train]
    return "\n".join(lines)


def _photo_report(
    look: Look, kept: bool, errors: Mapping[str, float | None], side_px: int, frame: HeadFrame
) -> PhotoReport:
    """Findings in one photo, whose sharpness is measured at a longer side of `side_px`."""
    shot = look.silhouette.shot
    return PhotoReport(
        name=shot.name,
        kept=kept,
        sharpness=sharpness(read_photo(shot.photo_path), side_px),
        guessed=look.is_guess,
        agreement=look.agreement,
        cut_off=touches_border(as_shown(look.head, shot.photo_path, shot.as_stored)),
        face_score=look.face_score,
        reprojection_error_px=errors.get(shot.name),
        rise_mm=rise_mm(look, frame),
    )
