"""Every table and picture that the .md files show; see paper.sh.

A part whose numbers are kept in configs/results with this minor version is done; another goes on where it was stopped,
and its numbers are kept as soon as it ends. Scores of a benchmark that is not finished are kept there, too, every
minute (`unfinished`): with them in git, another checkout goes on. Most parts are definitions of benchmarks; the others
measure what no cell of a benchmark can: clocks of a single process, photos outside of the H3DS layout, pictures.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import tyro

from baseh3d_ns import __version__
from baseh3d_ns.benchmark.eta import Eta, duration
from baseh3d_ns.benchmark.kept import KEPT, is_current, keep, note_kept_times
from baseh3d_ns.benchmark.markdown import counted
from baseh3d_ns.benchmark.plan import plan
from baseh3d_ns.benchmark.read_definition import read_definition
from baseh3d_ns.benchmark.sweep import Sweep
from baseh3d_ns.benchmark.tables_in_md import md_files, write_tables
from baseh3d_ns.benchmark.unfinished import keep_unfinished, read_unfinished, take_up
from baseh3d_ns.errors import InputError, exit_on_input_error
from baseh3d_ns.files import check_writable, whole_file, write_text

REPO = Path(__file__).resolve().parents[1]
CONFIGS, NOTES = Path("configs"), Path("outputs/paper")
RESULTS = CONFIGS / KEPT
UNFINISHED = RESULTS / "unfinished"
KEPT_EVERY_S = 60.0
"""Seconds after which the scores of a running benchmark are kept again."""
DEMO, MAKE_DEMO = "outputs/demo", "bash scripts/demo.sh"
FIT = f"$(ls -td {DEMO}/bench/cells/baseh3d-fast-builtin-scan1-*/train/*/run | sed -n 1p)"
"""Fit of the demo that is meshed and textured: the newest, since those of other versions stay."""


@dataclass(frozen=True)
class Part:
    """Numbers or pictures, and the command that makes them."""

    name: str
    """Name of its kept numbers, and of a benchmark's definition."""
    command: str
    """As a shell takes it."""
    folder: str = ""
    """Folder of its numbers; empty: it makes a picture alone."""
    pictures: tuple[str, ...] = ()
    """Pictures of the .md files: sources in its folders, and where they belong."""
    minutes: float = 0.0
    """Expected minutes."""

    @property
    def note(self) -> Path:
        """File that says what was done and how long it took."""
        return NOTES / f"{self.name}.json"

    def spent_s(self) -> float:
        """Seconds it took so far, with this version."""
        return self._noted().get("seconds", 0.0)

    def done(self) -> bool:
        """Whether there is nothing left to do."""
        return is_current(RESULTS, self.name) if self.folder else self._noted().get("done", False)

    def left_s(self, eta: Eta) -> tuple[float, int]:
        """Expected seconds, and the number of cells that no measured cell is like."""
        if self.done():
            return 0.0, 0
        return max(60.0 * self.minutes - self.spent_s(), 0.0), 0

    def make(self) -> None:
        """Run its command, keep what it measured.

        Raises:
            InputError: the command failed.
        """
        if self._run():
            raise InputError(f"the part {self.name} is not finished ({self.command}): the same command goes on")
        for source, picture in zip(self.pictures[::2], self.pictures[1::2], strict=True):
            with whole_file(Path(picture)) as copy:
                shutil.copyfile(source, copy)
        if self.folder:
            print("kept", *keep(Path(self.folder), RESULTS, self.command))
        self._write(self.spent_s(), done=True)

    def _run(self) -> int:
        """Exit status of its command; scores so far and the time are kept while it runs."""
        before_s, begin = self.spent_s(), time.monotonic()
        with subprocess.Popen(["bash", "-euo", "pipefail", "-c", self.command]) as process:
            try:
                while True:
                    with suppress(subprocess.TimeoutExpired):
                        return process.wait(KEPT_EVERY_S)
                    self._write(before_s + time.monotonic() - begin)
                    try:
                        self.keep_so_far()
                    except InputError as error:  # the benchmark itself may still end well
                        print(f"note: {error}", flush=True)
            except BaseException:
                process.kill()
                raise
            finally:
                self._write(before_s + time.monotonic() - begin)

    def keep_so_far(self) -> None:
        """Keep what is measured while its command still runs, for the case that it is killed."""

    def _write(self, seconds: float, done: bool = False) -> None:
        write_text(self.note, json.dumps({"version": __version__, "seconds": seconds, "done": done}) + "\n")

    def _noted(self) -> dict:
        content = json.loads(self.note.read_text()) if self.note.is_file() else {}
        return content if content.get("version") == __version__ else {}


class Benchmark(Part):
    """A definition that makes its own data."""

    @property
    def unfinished(self) -> Path:
        """File of its scores as long as some are missing."""
        return UNFINISHED / f"{self.name}.jsonl"

    def left_s(self, eta: Eta) -> tuple[float, int]:
        if self.done():
            return 0.0, 0
        definition, known = read_definition(CONFIGS / f"{self.name}.toml"), read_unfinished(self.unfinished)
        cells = Sweep(definition, plan(definition), Path(self.folder), eta=eta).open_cells()
        for cell in cells:
            if cell.id in known:
                eta.note_cell(cell, known[cell.id])
        return eta.sum_seconds([cell for cell in cells if cell.id not in known])

    def make(self) -> None:
        take_up(self.unfinished, Path(self.folder))
        try:
            super().make()
        finally:
            self.keep_so_far()
        self.unfinished.unlink(missing_ok=True)

    def keep_so_far(self) -> None:
        keep_unfinished(Path(self.folder), self.unfinished)


def benchmark(name: str, at_once: int = 2) -> Part:
    """A definition, and the number of its cells that run at a time."""
    return Benchmark(name, f"baseh3d bench configs/{name}.toml --jobs {at_once}", f"outputs/bench/{name}")


def measurement(name: str, command: str, minutes: float, needs: str = "") -> Part:
    """A script that writes its table with `--out`; `needs` is the command whose results it reads."""
    made = f"{needs} >/dev/null; " if needs else ""
    return Part(name, f"{made}python scripts/{command} --out {NOTES / name}", str(NOTES / name), minutes=minutes)


PARTS = (
    Part("demo", MAKE_DEMO, f"{DEMO}/bench", (f"{DEMO}/demo.png", "scripts/demo_result.png"), minutes=10),
    benchmark("synthetic_table1_prior_sweep"),
    benchmark("main"),
    benchmark("synthetic_views"),
    benchmark("race", at_once=1),
    benchmark("robustness"),
    benchmark("ablation"),
    measurement("speed", f"bench_speed.py --data {DEMO}/heads", minutes=15, needs=MAKE_DEMO),
    measurement("mesh", f"bench_mesh.py --head {FIT}", minutes=10, needs=MAKE_DEMO),
    measurement("texture", f"score_texture.py --runs {FIT}", minutes=10, needs=MAKE_DEMO),
    measurement("own_photos", "score_own_photos.py", minutes=90),
    Part(
        "pictures",
        f"bash scripts/head_pictures.sh {NOTES}/pictures",
        pictures=tuple(
            path
            for name in ("viewer_pictures", "textured_head", "turntable", "capture_sheet")
            for path in (f"{NOTES}/pictures/{name}.jpg", f"scripts/{name}.jpg")
        ),
        minutes=15,
    ),
    Part("views_curve", "python scripts/views_curve.py --out scripts/views_curve.png", minutes=1),
    Part("latent_walk", "python scripts/latent_walk.py --out scripts/latent_walk.png", minutes=2),
)


def in_words(seconds: float, unknown: int) -> str:
    """Expected time of one part or all, in seconds, and what it leaves out."""
    return f"about {duration(seconds)}" + (f", and {counted(unknown, 'cell')} of unknown time" if unknown else "")


def plan_in_words(parts: tuple[Part, ...]) -> str:
    """A line for each part, with its time, and the sum."""
    eta = Eta()
    note_kept_times(eta, RESULTS)
    left = {part.name: part.left_s(eta) for part in parts}
    lines = [f"  {part.name:<30}{'done' if part.done() else in_words(*left[part.name])}" for part in parts]
    seconds, unknown = map(sum, zip(*left.values(), strict=True))
    spent_s = sum(part.spent_s() for part in parts)
    return "\n".join([*lines, f"{duration(spent_s)} so far; left: {in_words(seconds, unknown)}"])


@dataclass
class Paper:
    """Make what is not there; every part that fails is said at the end."""

    dry_run: bool = False
    """Only list the parts, and how long they may take."""
    only: tuple[str, ...] = ()
    """Parts to make; by default all."""

    def main(self, parts: tuple[Part, ...] = PARTS) -> None:
        unknown = set(self.only) - {part.name for part in parts}
        if unknown:
            raise InputError(f"no part '{min(unknown)}': take {', '.join(part.name for part in parts)}")
        parts = tuple(part for part in parts if not self.only or part.name in self.only)
        check_writable(NOTES)
        print(plan_in_words(parts), flush=True)
        if self.dry_run:
            return
        failed = []
        for part in parts:
            if not part.done():
                print(f"\n{part.name}: {part.command}", flush=True)
                try:
                    part.make()
                except InputError as error:
                    failed.append(f"{part.name}: {error}")
        print(f"\nAll of it took {duration(sum(part.spent_s() for part in parts))} with version {__version__}.")
        for file in md_files(Path()):
            print(f"{file}: {'written' if write_tables(file, RESULTS) else 'as it was'}")
        if failed:
            raise InputError("; ".join(failed))


if __name__ == "__main__":
    import os

    os.chdir(REPO)
    with exit_on_input_error():
        tyro.cli(Paper, description=__doc__).main()
