"""Cost of a viewer that somebody looks at without moving the camera, for the training beside it: ratio of the rates.

    python scripts/bench_watched_training.py --data data/heads --output shots

One training on the real page in headless Chromium. The page is closed, open with the browser halted, and open, in turn,
since a step's cost changes over a training. The browser draws in software on the same cores; a user's has a graphics
card, so the halted one is closer to what a user sees. How many stills were rendered meanwhile is printed, too.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import tyro
from bench_viewer import FULL, Notes, browser_halted
from drive_viewer import Page

from baseh3d_ns.benchmark.in_process import configure
from baseh3d_ns.errors import exit_on_input_error

CLOSED, HALTED, OPEN = "page closed", "page open, browser halted", "page open"
NOWHERE = "about:blank"


@dataclass
class WatchedTraining:
    """Train with the viewer on; count steps while the page is closed and while it is open."""

    data: Path
    """H3DS root with scans, as `baseh3d synth` makes it."""
    output: Path
    """Folder for the run."""
    scene: str = "scan0"
    views: str = "3"
    rounds: int = 4
    """Times that every state of the page is measured."""
    seconds: float = 20.0
    """Time that steps are counted in one state."""
    settle_s: float = 3.0
    """Time between a change of the page and the count."""
    port: int = 7121
    epochs: int = 5000
    """Longer than the measurement; the process ends with it."""
    stepped_s: tyro.conf.Suppress[list[float]] = field(default_factory=list)
    """Times at which steps ended."""

    def main(self) -> None:
        self.output.mkdir(parents=True, exist_ok=True)
        viewer = {"vis": "viewer", "viewer.websocket-port": self.port}
        options = {"data": self.data, "epochs": self.epochs, **viewer}
        config = configure("baseh3d-fast", self.output, options, {"scene": self.scene, "views": self.views})
        config.save_config()
        notes = Notes()
        trainer = config.setup(local_rank=0, world_size=1)
        trainer.setup()
        self.count(trainer)
        threading.Thread(target=self.look, args=(notes,), daemon=True).start()
        trainer.train()
        sys.exit(f"the training ended before it was measured: take more than --epochs {self.epochs}")

    def count(self, trainer: Any) -> None:
        """Note the time of every step from now on."""
        step = trainer.train_iteration

        def noted(number: int) -> Any:
            result = step(number)
            self.stepped_s.append(time.monotonic())
            return result

        trainer.train_iteration = noted

    def look(self, notes: Notes) -> None:
        """Open and close the page, print the rates, end the process."""
        status = 1
        try:
            print("\n" + self.measure(notes))
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)  # the training would go on

    def measure(self, notes: Notes) -> str:
        """Rates in every state of the page, and their ratios, in words."""
        page = Page(self.port, self.output)
        for process in psutil.Process().children(recursive=True):
            process.nice(19)
        page.wait(lambda: notes.of(FULL), "a still")
        rates: dict[str, list[float]] = {CLOSED: [], HALTED: [], OPEN: []}
        stills = dict.fromkeys(rates, 0)
        for _ in range(self.rounds):
            for state, found in rates.items():
                with self.in_state(page, notes, state):
                    begun = time.monotonic()
                    found.append(self.steps_a_second())
                    stills[state] += len(notes.of(FULL, begun))
        page.driver.quit()
        free = rates[CLOSED]
        lines = [f"{CLOSED}: {median(free):.2f} steps/s in the median of {self.rounds}, {stills[CLOSED]} stills"]
        for state in (HALTED, OPEN):
            slower = [100.0 * (1.0 - rate / without) for rate, without in zip(rates[state], free, strict=True)]
            each = ", ".join(f"{percent:.0f}" for percent in slower)
            lines.append(
                f"{state}: {median(rates[state]):.2f} steps/s, slower by {median(slower):.0f} % ({each}), "
                f"{stills[state]} stills"
            )
        return "\n".join(lines)

    @contextmanager
    def in_state(self, page: Page, notes: Notes, state: str) -> Iterator[None]:
        """The page as it is to be inside the block."""
        asked = time.monotonic()
        page.driver.get(NOWHERE if state == CLOSED else f"http://localhost:{self.port}")
        if state != CLOSED:
            page.wait(lambda: notes.of(FULL, asked), "a still")
        time.sleep(self.settle_s)
        with nullcontext() if state == OPEN else browser_halted():
            yield

    def steps_a_second(self) -> float:
        """Rate of the steps from now on."""
        begun = time.monotonic()
        time.sleep(self.seconds)
        steps = [end for end in list(self.stepped_s) if end >= begun]
        return (len(steps) - 1) / (steps[-1] - steps[0])


if __name__ == "__main__":
    with exit_on_input_error():
        tyro.cli(WatchedTraining, description=__doc__).main()
