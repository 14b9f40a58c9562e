"""Trainings and benchmarks killed at random moments and resumed, as a table: same end, nothing half written or redone.

nerfstudio is imported once, and every training is a fork. A kill (SIGKILL) comes at a random time, or within a random
write of a file, of which a random part is then on the disk.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path

import nerfstudio.scripts.train  # noqa: F401 (once, for all forks)
import tyro
from kill_process import forked, timed
from kill_runs import METHODS, Benchmark, Training, Trial

from baseh3d_ns.bounds import CountOrNone, Seed, check_bounds
from baseh3d_ns.errors import InputError, exit_on_input_error


@dataclass
class KillTable:
    """Kill, resume, compare; the table goes to the standard output."""

    out: Path
    """Folder to work in; runs that did not end well stay there."""
    trainings: CountOrNone = 100
    """Trainings to kill, of every method in turn, every other one within a write."""
    benchmarks: CountOrNone = 10
    """Benchmarks to kill."""
    seed: Seed = 0
    """Seed of the moments."""
    trials: list[Trial] = field(default_factory=list, init=False)
    """Outcomes so far."""

    def main(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        data, rng = self.out.resolve() / "heads", random.Random(self.seed)
        os.waitpid(forked(lambda: make_heads(data), self.out / "heads.log"), 0)
        if not data.is_dir():
            raise InputError(f"no heads could be made: see {self.out / 'heads.log'}")
        methods = list(METHODS)[: self.trainings]
        whole = {name: Training.of(name, data, self.out.resolve() / name) for name in methods}
        for training in whole.values():
            timed(training.go, training.folder / "whole.log")
            import_all((training.folder / "modules.txt").read_text().split())
            shutil.rmtree(training.folder)
        seconds = {name: timed(training.go, training.folder / "whole.log") for name, training in whole.items()}
        for number in range(self.trainings):
            method = methods[number % len(methods)]
            writes = len((whole[method].folder / "writes.txt").read_text().split())
            training = replace(whole[method], folder=self.out.resolve() / f"{method}-{number}")
            in_write = number // len(methods) % 2 == 0
            self.note(training.kill(whole[method], seconds[method], writes, rng, in_write), training.folder)
        if self.benchmarks:
            bench = Benchmark(data, self.out / "bench")
            took = timed(bench.go, self.out / "bench.log")
        for number in range(self.benchmarks):
            killed = Benchmark(data, self.out / f"bench-{number}")
            self.note(killed.kill(bench, took, rng), killed.run)
        print(table(self.trials))

    def note(self, trial: Trial, folder: Path) -> None:
        """Keep an outcome; folders of good ones go."""
        self.trials.append(trial)
        print(f"{folder.name}: {trial}", file=sys.stderr, flush=True)
        if trial.same_end and trial.nothing_half and trial.nothing_twice:
            shutil.rmtree(folder)


def make_heads(data: Path) -> None:
    """Two synthetic heads."""
    from baseh3d_ns.synthetic.dataset import synthesize

    synthesize(data, subjects=2, views=8, size=48)


def import_all(names: list[str]) -> None:
    """Import modules once, so that no fork has to."""
    for name in names:
        with suppress(Exception):
            import_module(name)


def table(trials: list[Trial]) -> str:
    """A row for every kind of kill, and one for every trial that did not end well."""
    lines = ["| killed | trials | same end | nothing half written | nothing done twice |", "| --- " * 5 + "|"]
    for what in dict.fromkeys(trial.what for trial in trials):
        kind = [trial for trial in trials if trial.what == what]
        parts = ("same_end", "nothing_half", "nothing_twice")
        said = [f"{sum(getattr(trial, part) for trial in kind)} of {len(kind)}" for part in parts]
        lines.append(f"| {what} | {len(kind)} | " + " | ".join(said) + " |")
    bad = [trial for trial in trials if not (trial.same_end and trial.nothing_half and trial.nothing_twice)]
    return "\n".join([*lines, *(f"not as it should be: {trial}" for trial in bad)])


if __name__ == "__main__":
    command = tyro.cli(KillTable, description=__doc__)
    with exit_on_input_error():
        check_bounds(command)
        command.main()
