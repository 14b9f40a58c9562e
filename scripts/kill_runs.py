"""Trainings and benchmarks that are killed (SIGKILL) and resumed, each in forks of one process, for `kill_table.py`."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from copy import deepcopy
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from kill_process import die_in_write, forked, note, opens

from baseh3d_ns.benchmark import executors
from baseh3d_ns.benchmark.commands import arguments, parse
from baseh3d_ns.benchmark.results import load_result
from baseh3d_ns.cli import Bench
from baseh3d_ns.errors import InputError
from baseh3d_ns.heads.readers import newest_checkpoint, open_head, step_of

NETWORKS = {"layers": 3, "width": 32, "skip-layer": 0, "features": 8}
TINY = {f"pipeline.model.sdf-field.sdf.{name}": number for name, number in NETWORKS.items()}
RAYS = {"pipeline.datamanager.train-num-rays-per-batch": 64, "pipeline.model.grid-cells": 12}
POINTS = {"pipeline.datamanager.samples-per-head": 1000, "pipeline.datamanager.points-per-head": 64}
UNPLACED = {"register": False, "finish-colours.steps": 0, "warm-start.colours.steps": 0, "warm-start.latent.steps": 0}
UNANCHORED = {"pipeline.model.anchor.weight": 0.0, "pipeline.model.anchor.one-view-weight": 0.0}
METHODS: dict[str, dict[str, Any]] = {
    "idr": {**TINY, **RAYS},
    "baseh3d-fast-prior": {**RAYS, "snapshot-epochs": [3, 6]},
    "baseh3d-fast": {**RAYS, **UNPLACED, **UNANCHORED},
    "h3dnet-fast-prior": POINTS,
}
"""Methods that are killed, with options that make their steps short."""
STEPS, STEPS_PER_SAVE = 36, 4
BENCHMARK = """
name = "killed"
title = "Killed"
scenes = ["scan1"]
epochs = 2
spacing_mm = 6.0
[data]
path = "heads"
[options]
"pipeline.datamanager.train-num-rays-per-batch" = 64
"pipeline.model.grid-cells" = 12
[[rows]]
name = "builtin"
method = "baseh3d-fast"
options = {register = false, "finish-colours.steps" = 0, "warm-start.colours.steps" = 0, "warm-start.latent.steps" = 0}
"""


@dataclass(frozen=True)
class Trial:
    """Outcome of one kill."""

    what: str
    """Method, and kind of moment."""
    at: str
    """Moment of the kill."""
    same_end: bool
    """The resumed run has the last step, and the files, of one that was never killed."""
    nothing_half: bool
    """Every file with a name is whole after the kill, and nothing unfinished is left after the end."""
    nothing_twice: bool
    """The resumed run did what comes after the last checkpoint (the last result), and no more."""


@dataclass
class Training:
    """A training in a folder of its own, killed and resumed in forks of this process."""

    method: str
    config: Any
    """The config that `ns-train` would make of its command."""
    folder: Path

    @classmethod
    def of(cls, method: str, data: Path, folder: Path) -> Training:
        """A training of a method on the heads in `data`."""
        options = {"data": data, "max-num-iterations": STEPS, "steps-per-save": STEPS_PER_SAVE, **METHODS[method]}
        parser = {} if "h3dnet" in method else {"scene": "scan0", "views": "3"}
        return cls(method, parse(arguments(method, folder, 0, options, parser)), folder)

    @property
    def run(self) -> Path:
        """Folder of the run."""
        return self.folder / "train" / self.method / "run"

    def go(self, dies_in_write: int = 0, part: float = 0.0) -> None:
        """Train to the end, from the last checkpoint if there is any; finished steps and writes go into logs."""
        from nerfstudio.scripts.train import _set_random_seed

        config = deepcopy(self.config)
        config.output_dir = self.folder
        if self.last_checkpoint() >= 0:
            config.load_dir = self.run / "nerfstudio_models"
        die_in_write(self.folder / "writes.txt", dies_in_write, part)
        config.save_config()
        _set_random_seed(0)
        trainer = config.setup(local_rank=0, world_size=1)
        trainer.setup()
        iteration = trainer.train_iteration

        def noted(step: int) -> Any:
            result = iteration(step)
            note(self.folder / "steps.txt", str(step))
            return result

        trainer.train_iteration = noted
        trainer.train()
        (self.folder / "modules.txt").write_text("\n".join(sys.modules))

    def steps(self) -> list[int]:
        """Steps finished since the log was begun."""
        log = self.folder / "steps.txt"
        return [int(line) for line in log.read_text().split()] if log.exists() else []

    def last_checkpoint(self) -> int:
        """Step of the last checkpoint; -1 without any."""
        try:
            return step_of(newest_checkpoint(self.run / "nerfstudio_models"))
        except InputError:
            return -1

    def files(self) -> dict[str, int]:
        """Checkpoints, head files and priors of the run, and the steps they were written after; all are opened."""
        heads = [*self.run.glob("*.safetensors"), *self.run.glob("nerfstudio_models/*.ckpt")]
        return {path.name: open_head(path).provenance["steps"] for path in heads}

    def kill(self, whole: Training, seconds: float, writes: int, rng: random.Random, in_write: bool) -> Trial:
        """Kill this training once, resume it, and compare it with one that went through."""
        shutil.rmtree(self.folder, ignore_errors=True)
        moment = rng.randint(1, writes) if in_write else rng.uniform(0.0, 0.95 * seconds)
        process = forked(lambda: self.go(int(in_write) * int(moment), rng.random()), self.folder / "killed.log")
        if not in_write:
            time.sleep(moment)
            os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        readable, last = opens(self.files), self.last_checkpoint()
        (self.folder / "steps.txt").unlink(missing_ok=True)
        os.waitpid(forked(self.go, self.folder / "resumed.log"), 0)
        left = list(self.run.rglob("*.tmp"))
        return Trial(
            f"{self.method}, {'in a write' if in_write else 'at a time'}",
            f"write {moment}" if in_write else f"{moment:.2f} s",
            # A kill after the last checkpoint leaves the one before it, too.
            opens(self.files) and whole.files().items() <= self.files().items(),
            readable and not left,
            self.steps() == list(range(last + 1, STEPS)),
        )


@dataclass
class Benchmark:
    """A benchmark in a folder, killed and resumed."""

    data: Path
    run: Path

    def go(self) -> None:
        """Run what has no result yet."""
        executors.FORKSERVER = get_context("fork")  # everything is imported here
        definition = self.run.with_suffix(".toml")
        definition.write_text(BENCHMARK)
        os.setpgrp()
        Bench(definition, self.data, self.run).main()

    def results(self) -> dict[str, tuple[int, str]]:
        """Time and content of every result, by the name of its cell."""
        found = {}
        for file in self.run.glob("cells/*/result.json"):
            assert load_result(file.parent)
            found[file.parent.name] = (file.stat().st_mtime_ns, file.read_text())
        return found

    def kill(self, whole: Benchmark, seconds: float, rng: random.Random) -> Trial:
        """Kill this benchmark once (alone, or with its cells), resume it, and compare it with one that went through."""
        shutil.rmtree(self.run, ignore_errors=True)
        moment, alone = rng.uniform(0.0, 0.95 * seconds), rng.random() < 0.5
        process = forked(self.go, self.run.with_suffix(".killed.log"))
        time.sleep(moment)
        (os.kill if alone else os.killpg)(process, signal.SIGKILL)
        os.waitpid(process, 0)
        time.sleep(2.0)  # its cells end by themselves
        readable, before = opens(self.results), self.results()
        os.waitpid(forked(self.go, self.run.with_suffix(".resumed.log")), 0)
        after, left = self.results(), list(self.run.rglob("*.tmp"))
        return Trial(
            "benchmark, " + ("alone" if alone else "with its cells"),
            f"{moment:.1f} s, {len(before)} cells done",
            after.keys() == whole.results().keys() and (self.run / "report.html").is_file(),
            readable and not left,
            before.items() <= after.items(),
        )
