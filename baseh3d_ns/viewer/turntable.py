"""A film of a fit: once round the head, while the prior that it started from becomes what the photos made of it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import cos, pi, radians, sin, tan
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor

from baseh3d_ns.bars import progress_bar
from baseh3d_ns.errors import InputError
from baseh3d_ns.fields.head_field import HeadField
from baseh3d_ns.files import whole_file
from baseh3d_ns.heads.head_file import Head
from baseh3d_ns.heads.networks import field_of_head, to_file_name
from baseh3d_ns.heads.readers import find_head_file, newest_checkpoint, open_head, read_checkpoint
from baseh3d_ns.models.surface_view import SurfaceView, VisibleField
from baseh3d_ns.rendering.sdf_grid import GridTracer

START = "_model.start."
"""Beginning of the names, in a checkpoint, of the field that the training started from."""
FPS = 20
FOV_DEG = 34.0
DISTANCE = 3.1
"""Distance of the camera from the middle of the unit ball, in its radii."""
MORPH_FROM, MORPH_TO = 0.15, 0.6
"""Fractions of the film between which the prior becomes the fitted head."""
GRID_CELLS = 64
ENCODE_ONE = "-v error -f rawvideo -pix_fmt rgb24 -s {size_px}x{size_px} -i - -vcodec h264 -pix_fmt yuv420p -f null -"
"""Options of ffmpeg that try its encoder."""


@dataclass(frozen=True, eq=False)
class Morph:
    """A field between two heads that lie in the same unit frame: signed distances and colours are interpolated."""

    one: HeadField
    other: HeadField
    share: float
    """0: the one; 1: the other."""

    def sdf(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
        return torch.lerp(self.one.sdf(points), self.other.sdf(points), self.share)

    def with_gradient(
        self, points: Float[Tensor, "n 3"], create_graph: bool
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n f"], Float[Tensor, "n 3"]]:
        """Signed distance; features of both with their own gradients, side by side; SDF gradient."""
        both = [field.with_gradient(points, create_graph) for field in (self.one, self.other)]
        sdf, gradient = (torch.lerp(both[0][part], both[1][part], self.share) for part in (0, 2))
        return sdf, torch.cat([part for _, *parts in both for part in parts], dim=-1), gradient

    def colour(
        self,
        points: Float[Tensor, "n 3"],
        gradients: Float[Tensor, "n 3"],
        view_directions: Float[Tensor, "n 3"],
        features: Float[Tensor, "n f"],
    ) -> Float[Tensor, "n 3"]:
        width = self.one.config.sdf.features
        ones, one_gradient, others, other_gradient = features.split([width, 3, features.shape[1] - width - 6, 3], dim=1)
        one = self.one.colour(points, one_gradient, view_directions, ones)
        other = self.other.colour(points, other_gradient, view_directions, others)
        return torch.lerp(one, other, self.share)


def prior_and_fit(run: Path) -> tuple[HeadField, HeadField]:
    """The placed prior that a fit started from, and the fitted head, in the fit's unit frame.

    Raises:
        InputError: no run, or one that does not remember where it started.
    """
    file = find_head_file(run)
    head = open_head(file)
    folder = file.parent if file.parent.name == "nerfstudio_models" else file.parent / "nerfstudio_models"
    if not folder.is_dir():
        raise InputError(f"{run} has no checkpoints beside it: pass the run folder of a fit from a prior")
    state = read_checkpoint(newest_checkpoint(folder))
    pipeline = state.get("pipeline", {}) if isinstance(state, dict) else {}
    weights = {
        to_file_name(str(name).removeprefix(START)): tensor
        for name, tensor in pipeline.items()
        if str(name).startswith(START) and isinstance(tensor, Tensor)
    }
    if not weights:
        raise InputError(
            f"{folder} does not remember a prior that the training started from: only fits from a prior have one, by "
            "version 0.2 or later"
        )
    prior = field_of_head(Head(weights=weights, provenance={}), folder)
    return prior.eval(), field_of_head(replace(head, latents=None), file).eval()


def morph_share(done: float) -> float:
    """Share of the fitted head after a fraction of the film: smooth at both ends."""
    x = min(1.0, max(0.0, (done - MORPH_FROM) / (MORPH_TO - MORPH_FROM)))
    return x * x * (3.0 - 2.0 * x)


def camera_at(done: float, upright: Float[Tensor, "3 3"], size_px: int) -> Cameras:
    """Camera after a fraction of a turn that begins in front of the face and goes round its left side.

    Args:
        upright: rows are the head's left, up and ahead in the unit frame.
        size_px: width and height of its picture.
    """
    turn = 2.0 * pi * done
    backward = upright.T @ torch.tensor([sin(turn), 0.0, cos(turn)])
    up = upright[1]
    c2w = torch.stack([torch.linalg.cross(up, backward), up, backward, DISTANCE * backward], dim=1)
    focal = 0.5 * size_px / tan(radians(FOV_DEG) / 2.0)
    return Cameras(c2w[None], focal, focal, size_px / 2.0, size_px / 2.0, size_px, size_px)


@torch.no_grad()
def frames(
    prior: HeadField, fit: HeadField, count: int, size_px: int, output: str, device: torch.device
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Pictures of the film.

    Args:
        output: `rgb`, or `normal` for the shape alone, in the camera's axes.
    """
    prior, fit = prior.to(device), fit.to(device)
    tracers = [GridTracer(GRID_CELLS) for _ in range(2)]
    for tracer, end in zip(tracers, (prior, fit), strict=True):
        tracer.refresh(end.sdf, device)
        tracer.for_pictures(end.sdf)
    # Networks of a prior know how a head stands: +y up, +z ahead.
    upright = prior.placement.rotation.cpu()
    for index in range(count):
        share = morph_share(index / count)
        field: VisibleField = Morph(prior, fit, share) if 0.0 < share < 1.0 else (fit if share else prior)
        camera = camera_at(index / count, upright, size_px).to(device)
        bundle = camera.generate_rays(camera_indices=0)
        origins, directions = bundle.origins.reshape(-1, 3), bundle.directions.reshape(-1, 3)
        view = SurfaceView.trace(field, tracers[0].between(tracers[1], share), origins, directions)
        picture = view.rgb() if output == "rgb" else view.normal_camera(camera)
        yield (255.0 * picture.clamp(0.0, 1.0)).round().byte().reshape(size_px, size_px, 3).cpu().numpy()


def check_ffmpeg(size_px: int) -> None:
    """Raise `InputError` unless there is an ffmpeg that writes H.264, by letting it encode a picture of that size."""
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        raise InputError("films need the program ffmpeg: install Debian's package of that name")
    command = [ffmpeg, *ENCODE_ONE.format(size_px=size_px).split()]
    tried = subprocess.run(command, input=bytes(3 * size_px**2), capture_output=True, check=False)
    if tried.returncode:
        said = tried.stderr.decode(errors="replace")
        raise InputError(f"{ffmpeg} cannot write H.264 ({last_line(said)}): install Debian's package ffmpeg")


def last_line(text: str) -> str:
    """The last line of what a program has said."""
    return (text.strip().splitlines() or ["it does not say why"])[-1]


def write_film(path: Path, pictures: Iterator[UInt8[np.ndarray, "h w 3"]], count: int, size_px: int) -> None:
    """Write pictures as an H.264 film, with a bar.

    Raises:
        InputError: the file cannot be written.
    """
    import mediapy

    shape = (size_px, size_px)
    try:
        # Absolute, since ffmpeg takes what stands before a colon for a protocol.
        with whole_file(path.absolute()) as unfinished, mediapy.VideoWriter(unfinished, shape, fps=FPS) as film:
            for picture in progress_bar(pictures, total=count, desc="Rendering the film", unit="frame"):
                film.add_image(picture)
    except RuntimeError as error:
        if isinstance(error.__context__, KeyboardInterrupt):  # Ctrl-C ends ffmpeg, too.
            raise error.__context__ from None
        # mediapy's words before those of ffmpeg; other errors are of the pictures.
        if not str(error).startswith("Error writing"):
            raise
        said = last_line(str(error).partition("': ")[2])
        raise InputError(f"{path} cannot be written ({said}): try again, or another folder") from error


def make_turntable(run: Path, path: Path, seconds: float, size_px: int, output: str, device: torch.device) -> int:
    """Write the film of a run; its number of pictures."""
    check_ffmpeg(size_px)
    prior, fit = prior_and_fit(run)
    count = max(2, round(seconds * FPS))
    write_film(path, frames(prior, fit, count, size_px, output, device), count, size_px)
    return count
