"""Running our commands as processes, as a user would."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import sys
import tempfile
import warnings
from copy import deepcopy
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import torch
import tyro
from nerfstudio.configs.method_configs import all_methods
from nerfstudio.utils.rich_utils import CONSOLE
from tiny_root import SCENE

from baseh3d_ns import cli

BIN = Path(sys.executable).parent
os.environ |= {"PYTHONWARNINGS": "ignore", "MPLBACKEND": "Agg"}
FEW_RAYS = {"train-num-rays-per-batch": 64, "eval-num-rays-per-batch": 64}
SMALL = [
    *("--vis", "tensorboard", "--steps-per-eval-image", 100000, "--steps-per-eval-batch", 5),
    *(word for name, rays in FEW_RAYS.items() for word in (f"--pipeline.datamanager.{name}", rays)),
]
"""Options of a small training of one head."""
COARSE = ["--pipeline.model.grid-cells", 24]
"""Options of the small methods that trace rays on a grid of the SDF: most of the time of a few steps is the grid's."""
QUICK_START = [
    *("--placing.steps", 5, 5, "--placing.rays", 256, "--placing.grid-cells", 24),
    *("--warm-start.colours.steps", 5, "--warm-start.colours.batches", 4),
    *("--finish-colours.steps", 2, "--finish-colours.batches", 1, "--finish-colours.unseen-weight", 0.0),
    *("--warm-start.latent.steps", 5, "--warm-start.latent.batches", 4, "--warm-start.grid-cells", 24),
    *("--pipeline.model.anchor.points", 1024, "--pipeline.model.anchor.visibility-rays", 2048),
    *("--pipeline.model.anchor.grid-cells", 24),
]
"""Options of the small few-shot methods: a warm start that does all it should, only not for long, and not finely."""
TIMEOUT_S = 600
# Importing nerfstudio takes longer than what most tests do: one server has imported it and forks for every command.
# CUDA cannot fork.
PROCESSES = multiprocessing.get_context("spawn" if torch.cuda.is_available() else "forkserver")
if not torch.cuda.is_available():
    PROCESSES.set_forkserver_preload(["nerfstudio.scripts.train", "baseh3d_ns.cli", "baseh3d_ns.data.h3ds_package"])


def call(tool: str, *arguments: object, fails: bool = False) -> str:
    """Run the entry point of a command in a process of its own; its output (stdout and stderr), after checking how it
    ended."""
    with tempfile.NamedTemporaryFile() as output:
        process = begin(tool, *arguments, output=output.name)
        process.join(TIMEOUT_S)
        in_time = process.exitcode is not None
        process.kill()
        process.join()
        text = Path(output.name).read_text(errors="replace")
        assert in_time and (process.exitcode != 0) == fails, text[-3000:]
        return text


def call_here(*arguments: object) -> str:
    """Run `baseh3d` in this process; what it printed. For what starts many processes itself: they are forked from the
    server that is there."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(sys, "argv", ["baseh3d", *map(str, arguments)])
        patch.setenv("COLUMNS", "300")
        cli.entrypoint()
    return printed.getvalue()


def begin(tool: str, *arguments: object, output: str = os.devnull) -> multiprocessing.process.BaseProcess:
    """Start the entry point of a command in a process of its own; its stdout and stderr go to the file `output`."""
    process = PROCESSES.Process(target=_enter, args=(tool, list(map(str, arguments)), output, os.getcwd()))
    process.start()
    return process


def _enter(tool: str, arguments: list[str], output: str, folder: str) -> None:
    os.chdir(folder)
    with open(output, "w") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    warnings.simplefilter("ignore")
    os.environ["COLUMNS"], CONSOLE.width = "300", 300  # no sentence broken in two
    sys.argv = [str(BIN / tool), *arguments]
    (command,) = entry_points(group="console_scripts", name=tool)
    sys.exit(command.load()())


def configured(method: str, root: Path, out: Path, *options: object, views: str = "3") -> Any:
    """The config that `ns-train` builds of a command, in this process."""
    arguments = ["--output-dir", out, "--experiment-name", "t", "--timestamp", "t", "--data", root, *options]
    arguments += ["h3ds-data", "--scene", SCENE, "--views", views]
    default = deepcopy(all_methods[method])
    config = tyro.cli(
        tyro.conf.FlagConversionOff[type(default)], default=default, args=[str(word) for word in arguments]
    )
    config.pipeline.datamanager.data = config.data
    return config


def train(method: str, root: Path, out: Path, *options: object, fails: bool = False, **parser: object) -> str:
    return call("ns-train", *training(method, root, out, *options, **parser), fails=fails)


def training(
    method: str, root: Path, out: Path, *options: object, views: str = "3", downscale: float = 1.0
) -> list[object]:
    """The words after `ns-train` of a small training."""
    quick = COARSE if method.startswith(("baseh3d-fast", "h3dnet-fast")) else []
    quick = quick + (QUICK_START if method in ("baseh3d-fast", "h3dnet-fast") else [])
    arguments = ["--output-dir", out, "--experiment-name", "t", "--timestamp", "t", "--data", root]
    parser = ["h3ds-data", "--scene", SCENE, "--views", views, "--downscale", downscale]
    return [method, *SMALL, *quick, *arguments, *options, *parser]


@dataclass
class Trained:
    out: Path
    root: Path
    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "config.yml"


def checkpoint(run: Trained) -> Path:
    (only,) = (run.folder / "nerfstudio_models").iterdir()
    return only
