"""Running our commands as processes, as a user would."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tiny_root import SCENE

BIN = Path(sys.executable).parent
QUIET = {**os.environ, "PYTHONWARNINGS": "ignore", "COLUMNS": "300", "MPLBACKEND": "Agg"}
SMALL = [
    "--pipeline.datamanager.train-num-rays-per-batch", "64", "--vis", "tensorboard",
    "--steps-per-eval-image", "100000", "--steps-per-eval-batch", "5",
]  # fmt: skip


def call(tool: str, *arguments: object, fails: bool = False) -> str:
    """Run a command; its output (stdout and stderr), after checking how it ended."""
    done = subprocess.run(
        [BIN / tool, *map(str, arguments)],
        env=QUIET,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    assert (done.returncode != 0) == fails, done.stdout[-3000:]
    return done.stdout


def train(method: str, root: Path, out: Path, *options: object, views: str = "3", fails: bool = False) -> str:
    arguments = [*SMALL, "--output-dir", out, "--experiment-name", "t", "--timestamp", "t", "--data", root, *options]
    return call("ns-train", method, *arguments, "h3ds-data", "--scene", SCENE, "--views", views, fails=fails)


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
