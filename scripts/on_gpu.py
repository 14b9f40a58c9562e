"""Run the parts of `on_gpu.sh` one after the other, each in a process of its own, and keep what they measure.

Results are written whole after every part: on_gpu.json and on_gpu.md; on_gpu.log holds all output. A part that fails,
hangs or crashes leaves its reason and what it had measured.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from on_gpu_table import table

from baseh3d_ns import __version__
from baseh3d_ns.files import write_text

SECONDS = 540.0
"""Time that everything may take."""
NOT_RUN = "not run"
"""Among a part's measurements: why it makes no sense on this machine."""
REFERENCE = Path(".gpu/cpu/on_gpu.json")
"""Results of the same fits on a CPU."""


@dataclass(frozen=True)
class Part:
    """A command that measures something."""

    name: str
    share: float
    """Its share of the time; what earlier parts leave unused comes on top."""
    command: tuple[str, ...] = ()
    """Program and arguments; `--figures FILE`, where it writes a JSON table, is appended."""


PARTS = (
    Part("machine", 15),
    Part("cuda tests", 120),
    Part("idr", 50),
    Part("baseh3d", 50),
    Part("fits", 200),
    Part("many photos", 70),
    Part("profile", 30),
    Part("h3dnet-prior", 40),
    Part("meshing", 30),
)
"""All parts, those that matter most first."""


@dataclass
class Outcome:
    """A part's end, and its measurements."""

    part: str
    status: str
    """done, skipped, failed, or out of time"""
    reason: str = ""
    """Why it is not done, one line."""
    seconds: float = 0.0
    """Wall-clock time of its process."""
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass
class OnGpu:
    """All parts within a time."""

    out: Path
    """Folder for on_gpu.json, on_gpu.md and on_gpu.log."""
    parts: Sequence[Part]
    seconds: float = SECONDS
    """Time that is left for all of them."""
    about: dict[str, Any] = field(default_factory=dict)
    """Options, for the results."""
    reference: dict[str, Any] = field(default_factory=dict)
    """Results of another machine to compare with."""

    def main(self) -> list[Outcome]:
        self.out.mkdir(parents=True, exist_ok=True)
        end = time.monotonic() + self.seconds
        outcomes: list[Outcome] = []
        with (self.out / "on_gpu.log").open("w", encoding="utf-8") as log, tempfile.TemporaryDirectory() as scratch:
            self.write(outcomes)
            for number, part in enumerate(self.parts):
                later = sum(other.share for other in self.parts[number + 1 :])
                left = end - time.monotonic()
                # Shares shrink together where time is short.
                limit = max(left - later, left * part.share / (part.share + later))
                outcomes.append(run_part(part, Path(scratch) / f"{number}.json", log, limit))
                self.write(outcomes)
                last = outcomes[-1]
                print(f"{part.name}: {last.status} after {last.seconds:.0f} s {last.reason}", flush=True)
        return outcomes

    def write(self, outcomes: list[Outcome]) -> None:
        """Write JSON and table, each whole."""
        results = {"baseh3d_ns": __version__, **self.about, "parts": [asdict(outcome) for outcome in outcomes]}
        write_text(self.out / "on_gpu.json", json.dumps(results, indent=1) + "\n")
        write_text(self.out / "on_gpu.md", table(results, self.reference))


def run_part(part: Part, figures: Path, log: IO[str], limit_s: float) -> Outcome:
    """Run one part to its end or to its limit; never raises for what the part does."""
    log.write(f"\n===== {part.name} (at most {limit_s:.0f} s)\n")
    log.flush()
    before, begin = os.fstat(log.fileno()).st_size, time.monotonic()
    if limit_s <= 0:
        return Outcome(part.name, "out of time", "no time was left to start it")
    try:
        process = subprocess.Popen(
            [*part.command, "--figures", str(figures)], stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    except OSError as error:
        return Outcome(part.name, "failed", str(error))
    try:
        code = process.wait(limit_s)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        # Its whole group: tests and data loaders start processes of their own.
        kill_group(process)
    outcome = Outcome(part.name, "done", "", time.monotonic() - begin, read_figures(figures))
    if code is None:
        outcome.status, outcome.reason = "out of time", f"stopped after {limit_s:.0f} s"
    elif code:
        outcome.status, outcome.reason = "failed", last_line(Path(log.name), before) or f"exit code {code}"
    elif NOT_RUN in outcome.figures:
        outcome.status, outcome.reason = "skipped", str(outcome.figures.pop(NOT_RUN))
    return outcome


def kill_group(process: subprocess.Popen) -> None:
    """End a process and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def read_figures(file: Path) -> dict[str, Any]:
    """A part's measurements; none where it ended before its first."""
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def last_line(log: Path, start: int) -> str:
    """The last line of a log with something in it, after so many bytes."""
    with log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode("utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def read_reference(file: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Results to compare with; none where the file is missing or damaged, or of another version or other sizes."""
    try:
        results = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        print(f"nothing to compare with: {file} ({error})")
        return {}
    same = {"baseh3d_ns": __version__, "small": about["small"]}
    return results if all(results.get(name) == value for name, value in same.items()) else {}


def with_command(part: Part, options: argparse.Namespace) -> Part:
    """A part with the command that runs it."""
    here = Path(__file__).parent
    if part.name == "cuda tests":
        return replace(part, command=(sys.executable, str(here / "on_gpu_tests.py")))
    words = [str(here / "on_gpu_parts.py"), part.name, "--data", str(options.data)]
    return replace(part, command=(sys.executable, *words, *["--small"] * options.small))


def main() -> None:
    """The command line, as `on_gpu.sh` calls it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder for on_gpu.json, on_gpu.md, on_gpu.log")
    parser.add_argument("--data", type=Path, default=Path(".gpu/heads"), help="H3DS root with photos of 512 pixels")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="time for everything")
    parser.add_argument("--started-s", type=float, default=0.0, help="seconds that are gone already")
    parser.add_argument("--only", nargs="+", choices=[part.name for part in PARTS], help="run these parts alone")
    parser.add_argument("--small", action="store_true", help="small sizes: minutes on a CPU")
    parser.add_argument("--reference", type=Path, default=REFERENCE, help="on_gpu.json of a CPU")
    options = parser.parse_args()
    if not (options.data / "version.txt").is_file():
        parser.error(f"{options.data} is no H3DS root: make it with `bash scripts/on_gpu.sh prepare`, or pass --data")
    # Without the machine, results say nothing.
    wanted = ["machine", *options.only] if options.only else [part.name for part in PARTS]
    parts = [with_command(part, options) for part in PARTS if part.name in wanted]
    about = {"small": options.small, "data": str(options.data), "date": time.strftime("%Y-%m-%d")}
    reference = read_reference(options.reference, about)
    outcomes = OnGpu(options.out, parts, options.seconds - options.started_s, about, reference).main()
    print((options.out / "on_gpu.md").read_text(encoding="utf-8"))
    sys.exit(any(outcome.status in ("failed", "out of time") for outcome in outcomes))


if __name__ == "__main__":
    main()
