"""Options that a training goes on by, and the run that it would replace: checked before a file is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from baseh3d_ns.errors import InputError
from baseh3d_ns.files import RUN_TIME
from baseh3d_ns.heads.readers import find_head_file, newest_checkpoint

LOAD_CONFIG = "--load-config"
CHECKPOINTS = "nerfstudio_models"
"""nerfstudio's folder of checkpoints within a run."""


def checkpoint_to_resume(load_dir: Path | None, load_step: int | None, load_checkpoint: Path | None) -> Path | None:
    """The checkpoint that options name, or None for a fresh training.

    Args:
        load_dir: folder of checkpoints.
        load_step: step of the one that is meant; None: the last.
        load_checkpoint: a checkpoint by itself.

    Raises:
        InputError: there is none where the options say, or one of them would do nothing.
    """
    if load_dir is not None and load_checkpoint is not None:
        raise InputError("--load-dir and --load-checkpoint both name a checkpoint to go on from: give one of them")
    if load_dir is not None:
        return newest_checkpoint(Path(load_dir), load_step)
    if load_step is not None:
        raise InputError(f"--load-step {load_step} chooses a checkpoint of --load-dir: give that, too, or neither")
    if load_checkpoint is not None and not Path(load_checkpoint).is_file():
        raise InputError(f"no such checkpoint: {load_checkpoint}; pass a step-*.ckpt of a run")
    return load_checkpoint


def check_no_option_is_dropped(words: Sequence[str]) -> None:
    """Raise `InputError` for options beside --load-config: nerfstudio takes that file in place of them all.

    Args:
        words: the command line.
    """
    options = [word.partition("=")[0].replace("_", "-") for word in words if word.startswith("--")]
    dropped = [name for name in dict.fromkeys(options) if name != LOAD_CONFIG]
    if LOAD_CONFIG in options and dropped:
        raise InputError(
            f"{LOAD_CONFIG} takes every option from its file and drops {', '.join(dropped)}: leave {LOAD_CONFIG} out "
            "and repeat the options of that run, or give it alone"
        )


def check_no_run_is_replaced(folder: Path, resumed: Path | None) -> None:
    """Raise `InputError` where the folder that a run is to have holds another one.

    Where its name is a time, `make_run_folder` puts a number behind that instead.

    Args:
        folder: the folder.
        resumed: checkpoint that the training goes on from; its own run may be replaced.
    """
    own = [place.resolve() for place in (folder, folder / CHECKPOINTS)]  # which may be a link to another disk
    if RUN_TIME.fullmatch(folder.name) or (resumed and resumed.parent.resolve() in own):
        return
    try:
        there = find_head_file(folder)
    except InputError:
        return
    raise InputError(
        f"{folder} holds a run already ({there.name}): choose another --timestamp, or go on with its training by "
        f"--load-dir {folder / CHECKPOINTS}; both without {LOAD_CONFIG}"
    )
