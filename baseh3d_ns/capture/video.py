"""Frames of a video: the sharpest of every stretch in which the picture has moved on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from nerfstudio.utils.rich_utils import CONSOLE

from baseh3d_ns.bars import progress_bar
from baseh3d_ns.capture.photos import sharpness
from baseh3d_ns.errors import InputError

VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm")
MOST_FRAMES = 60
"""Frames that are kept at most."""
MOTION_SIDE = 96
"""Longer side in pixels of the copies that motion is measured on."""
JPEG_QUALITY = 95
ENDS_EARLY = 0.8
"""Share of the duration that the stated number of frames takes, before which a video's frames end early."""


def save_frames(video: Path, folder: Path) -> list[Path]:
    """Write the chosen frames as JPEG into a folder that is made; their paths, see `frame_name`.

    Raises:
        InputError: the video cannot be decoded.
        OSError: a frame cannot be written.
    """
    chosen = choose_frames(*_measured(video))
    folder.mkdir()
    paths = []
    wanted = set(chosen)
    until_last = zip(range(max(chosen) + 1), _frames(video), strict=False)
    for number, frame in progress_bar(until_last, total=max(chosen) + 1, desc="Writing the frames", unit="frame"):
        if number in wanted:
            paths.append(folder / frame_name(video, number))
            # cv2.imwrite would not say why it failed.
            _, jpeg = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            paths[-1].write_bytes(jpeg.tobytes())
    return paths


def frame_name(video: Path, number: int) -> str:
    """File name of a frame, `a_mp4_00012.jpg` of a.mp4: masks of several videos may lie in one folder."""
    return f"{video.stem}_{video.suffix[1:].lower()}_{number:05d}.jpg"


def choose_frames(sharp: Float[np.ndarray, " n"], motion: Float[np.ndarray, " n"]) -> list[int]:
    """Numbers of the sharpest frame of each of at most `MOST_FRAMES` stretches of equal motion.

    Args:
        sharp: sharpness of every frame.
        motion: mean change of every frame from the one before; 0 for the first.
    """
    travelled = np.cumsum(motion)
    whole = float(travelled[-1])
    stretches = min(MOST_FRAMES, len(sharp))
    stretch = np.minimum((travelled / max(whole, 1e-9) * stretches).astype(int), stretches - 1)
    members = [np.flatnonzero(stretch == number) for number in range(stretches)]
    return [int(one[sharp[one].argmax()]) for one in members if len(one)]


def _measured(video: Path) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Sharpness and motion of every frame."""
    sharp, motion, before = [], [], None
    for frame in progress_bar(_frames(video, say_early_end=True), desc="Looking for sharp frames", unit="frame"):
        sharp.append(sharpness(frame))
        factor = MOTION_SIDE / max(frame.shape[:2])
        small = cv2.resize(frame, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA).astype(np.float32)
        motion.append(0.0 if before is None else float(np.abs(small - before).mean()))
        before = small
    if not sharp:
        raise InputError(f"{video} cannot be decoded: save it as .mp4 (H.264), or take photos")
    return np.array(sharp), np.array(motion)


def _frames(video: Path, say_early_end: bool = False) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Frames in OpenCV's channel order, turned as the video says; of a damaged one those before the damage.

    Args:
        say_early_end: whether it is logged that they end long before the video says.
    """
    reader = cv2.VideoCapture(str(video))
    reader.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)  # OpenCV 4.11 leaves frames as stored unless told so.
    begun_ms = 0.0
    try:
        while True:
            there, frame = reader.read()
            if not there:
                break
            begun_ms = reader.get(cv2.CAP_PROP_POS_MSEC)
            yield np.asarray(frame, np.uint8)
        rate, count = reader.get(cv2.CAP_PROP_FPS), reader.get(cv2.CAP_PROP_FRAME_COUNT)
        if say_early_end and (said := early_end(video.name, rate, count, begun_ms)):
            CONSOLE.log(said)
    finally:
        reader.release()


def early_end(name: str, rate: float, count: float, begun_ms: float) -> str | None:
    """Sentence where the frames of a video end long before their stated number says, by time: frames that come unevenly
    are miscounted, and a trimmed video counts those that were cut away.

    Args:
        name: file name.
        rate: frames a second, as stated; 0 where it is not known.
        count: number of frames, as stated.
        begun_ms: time at which the last frame begins, in milliseconds.
    """
    if not rate > 0.0:
        return None
    ended_s = begun_ms / 1000.0 + 1.0 / rate
    if ended_s >= ENDS_EARLY * count / rate:
        return None
    return (
        f"{name} counts {count:.0f} frames, but they end after {ended_s:.1f} s. Of a trimmed video, or one with longer "
        "sound, that is right; else it is damaged or cut off: copy it anew."
    )
