"""Which start is best: fit the same heads from the same views with the same networks and steps, and score every fit.

- idr: from scratch
- one head: baseh3d-fast from the prior of another subject of the same data, pre-trained here with all its views
- builtin: baseh3d-fast from the shape space that comes with the plugin
- h3dnet: h3dnet-fast from the same

Writes table.md and results.json. What is finished in the output folder is not done again.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import tyro

from baseh3d_ns import __version__
from baseh3d_ns.errors import exit_on_input_error
from baseh3d_ns.evaluation.score_run import score_run

# Importing nerfstudio takes as long as a short fit: one server does it, and forks for every training. CUDA cannot fork.
PROCESSES = multiprocessing.get_context("spawn" if torch.cuda.is_available() else "forkserver")
# IDR with the networks and the rays a step of baseh3d-fast, and a falling learning rate that suits them; its tracer and
# where its rays lie (in one view a step, anywhere) stay its own.
NETWORKS = "--pipeline.model.sdf-field"
IDR_SMALL = [
    f"{NETWORKS}.sdf.layers", "4", f"{NETWORKS}.sdf.width", "128", f"{NETWORKS}.sdf.skip-layer", "2",
    f"{NETWORKS}.sdf.features", "64", f"{NETWORKS}.colour.layers", "2", f"{NETWORKS}.colour.width", "128",
    "--pipeline.datamanager.train-num-rays-per-batch", "1024",
    "--optimizers.fields.optimizer.lr", "1e-3", "--lr-final", "0.05", "--lr-halvings",
]  # fmt: skip
COLUMNS = ("scene", "method", "steps", "face mm", "head mm", "face rigid mm", "head rigid mm", "seconds")


STARTS = ("idr", "one head", "builtin", "h3dnet")


@dataclass
class Compare:
    """Fit heads from different starts and print the table."""

    data: Path
    """Root in the H3DS layout."""
    out: Path
    """Folder for runs, table.md and results.json."""
    starts: tuple[Literal["idr", "one head", "builtin", "h3dnet"], ...] = STARTS
    """What to fit from."""
    prior_scene: str = "scan0"
    """Scene that `one head` is pre-trained on, with all its views (for that scene itself: the first other target)."""
    targets: tuple[str, ...] = ("scan1",)
    """Scenes to fit."""
    views: str = "3"
    """Training views of the targets."""
    downscale: int = 1
    """Photos are made that many times smaller."""
    prior_epochs: int = 48
    """Epochs of the pre-training (each is one step a view)."""
    epochs: int = 240
    """Epochs of each fit."""
    spacing_mm: float = 0.6
    """Mesh spacing to score at, in millimetres."""
    quarter: bool = False
    """Also fit from the first start after `idr` in a quarter of the steps."""

    def main(self) -> None:
        rows: list[tuple] = []
        unknown = set(self.starts) - set(STARTS)
        if unknown or not self.starts:
            raise SystemExit(f"Error: no start {sorted(unknown)}: choose of {', '.join(STARTS)}")
        if "one head" in self.starts and {self.prior_scene, *self.targets} == {self.prior_scene}:
            raise SystemExit("Error: `one head` needs another subject: pass another --prior-scene or more --targets")
        _in_process(int)  # the server's imports are no part of any fit's seconds
        for scene in self.targets:
            fits = [(start, self.epochs) for start in self.starts]
            if self.quarter:
                best = [start for start in self.starts if start != "idr"][:1]
                fits += [(start, self.epochs // 4) for start in best]
            for start, epochs in fits:
                method, options = self.method(start, scene)
                run, seconds = self.train(
                    method, f"{scene}-{epochs}-{start.replace(' ', '-')}", scene, self.views, epochs, *options
                )
                label = f"{method}, {start}" if method != start else method
                label += ", 1/4 of the steps" if epochs != self.epochs else ""
                rows.append((scene, label, *self.score(run), round(seconds)))
                self.write(rows)

    def method(self, start: str, scene: str) -> tuple[str, list[str]]:
        """The method that fits from a start, and its options."""
        if start == "idr":
            return "idr", IDR_SMALL
        if start != "one head":
            return {"builtin": "baseh3d-fast", "h3dnet": "h3dnet-fast"}[start], []
        teacher = next(name for name in (self.prior_scene, *self.targets) if name != scene)
        prior, _ = self.train("baseh3d-fast-prior", f"prior-{teacher}", teacher, "all", self.prior_epochs)
        return "baseh3d-fast", ["--load-prior", str(prior)]

    def train(self, method: str, name: str, scene: str, views: str, epochs: int, *options: str) -> tuple[Path, float]:
        """The run's folder and the seconds its process took, without nerfstudio's imports."""
        run = self.out / "fits" / method / name
        done = run / "seconds.json"
        command = ["ns-train", method, "--vis", "tensorboard", "--steps-per-eval-image", "100000",
                   "--epochs", epochs, "--plateau", "0", "--output-dir", self.out,
                   "--experiment-name", "fits", "--timestamp", name,
                   "--data", self.data, *options,
                   "h3ds-data", "--scene", scene, "--views", views, "--downscale", self.downscale]  # fmt: skip
        command = [str(word) for word in command]
        if not done.is_file():
            print(" ".join(command), flush=True)
            start = time.monotonic()
            _in_process(_enter, command)
            decides = {"command": command[1:], "version": __version__}
            done.write_text(json.dumps({"seconds": time.monotonic() - start, **decides}))
        recorded = json.loads(done.read_text())
        if (recorded["command"], recorded.get("version")) != (command[1:], __version__):
            raise SystemExit(f"Error: {run} was trained with other options or another version; choose another --out")
        return run, recorded["seconds"]

    def score(self, run: Path) -> tuple[int, float, float, float, float]:
        """Steps, official face / head and rigid face / head in mm."""
        if not (run / "evaluation" / "evaluation.json").is_file():
            with exit_on_input_error():
                score_run(run / "config.yml", None, None, self.spacing_mm)
        result = json.loads((run / "evaluation" / "evaluation.json").read_text())
        official, rigid = result["official"], result["rigid"]
        means = rigid["face"]["mean_mm"], rigid["head"]["mean_mm"]
        return result["provenance"]["step"] + 1, official["face_mm"], official["head_mm"], *means

    def write(self, rows: list[tuple]) -> None:
        """results.json, and table.md with the mean over scenes where there are several."""
        (self.out / "results.json").write_text(
            json.dumps([dict(zip(COLUMNS, row, strict=True)) for row in rows], indent=1)
        )
        labels = list(dict.fromkeys(row[1] for row in rows))
        means = [
            ("mean", label, *[sum(column) / len(column) for column in list(zip(*found, strict=True))[2:]])
            for label in labels
            if len(found := [row for row in rows if row[1] == label]) > 1
        ]
        lines = ["| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS)]
        for scene, label, steps, *numbers, seconds in rows + means:
            cells = [scene, label, f"{steps:.0f}", *(f"{number:.2f}" for number in numbers), f"{seconds:.0f}"]
            lines.append("| " + " | ".join(cells) + " |")
        (self.out / "table.md").write_text("\n".join(lines) + "\n")
        print("\n".join(lines), flush=True)


def _in_process(target: Callable, *arguments: object) -> None:
    process = PROCESSES.Process(target=target, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"Error: a training ended with status {process.exitcode}; its output is above")


def _enter(command: list[str]) -> None:
    """`ns-train`."""
    from nerfstudio.scripts.train import entrypoint

    sys.argv = command
    entrypoint()


if __name__ == "__main__":
    if PROCESSES.get_start_method() == "forkserver":
        PROCESSES.set_forkserver_preload(["nerfstudio.scripts.train"])
    tyro.cli(Compare, description=__doc__).main()
