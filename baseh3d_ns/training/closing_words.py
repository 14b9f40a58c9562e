"""The lines that a training ends with."""

from __future__ import annotations

from pathlib import Path

from baseh3d_ns.errors import InputError
from baseh3d_ns.heads.readers import newest_checkpoint, step_of
from baseh3d_ns.training.agreement import Agreement


def closing_lines(run: Path, seconds: float, steps: int, ended: str, fits: Agreement) -> list[str]:
    """Folder of the run, its duration, its end, its agreement with the photos, and the commands to go on with.

    Args:
        seconds: duration, start-up included.
        ended: end in words, see `ended_by`.
        fits: agreement with the training photos.
    """
    minutes, rest = divmod(round(seconds), 60)
    photos = f"masks {fits.mask_iou:.3f} IoU, colours {fits.psnr_db:.1f} dB PSNR"
    return [
        f"run      {run}",
        f"time     {minutes} min {rest} s, {steps} steps",
        f"ended    {ended}",
        f"fits     {photos} (mean of {fits.views} training photos; no accuracy in mm)",
        f"mesh     baseh3d export --load-config {run} --output head.glb",
        f"look     ns-viewer --load-config {run / 'config.yml'}",
    ]


def ended_by(steps: int, total: int, how_to_go_on: str) -> str:
    """Reason why a training ended.

    Args:
        steps: steps that were done.
        total: steps that were planned.
        how_to_go_on: command that goes on with it, in words.
    """
    if steps < total:
        return f"by hand, before its last step {total - 1}; {how_to_go_on}"
    return "with its last step, as planned"


def how_to_go_on(checkpoints: Path, method_name: str | None) -> str:
    """The command that goes on from the last checkpoint in a folder, in words."""
    try:
        step = step_of(newest_checkpoint(checkpoints))
    except InputError:
        return "no checkpoint was saved yet, so the training must be started again"
    return (
        f"to go on from step {step + 1}, run `ns-train {method_name} --load-dir {checkpoints}` with the other options "
        "of this run"
    )
