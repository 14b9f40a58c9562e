"""What it gives that numbers below 1e-38 count as 0 (`HeadField`): the same fit with and without, one after the other.

On a CPU only; each in a process of its own, since threads keep the setting that they were started with.
"""

from __future__ import annotations

from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch
import tyro
from in_process import configure, device_name, run, start

from baseh3d_ns.heads.readers import BUILTIN


@dataclass
class BenchDenormals:
    """Start and time `baseh3d-fast` on one head twice."""

    data: Path
    """Root in the H3DS layout."""
    scene: str = "scan1"
    """Head to fit, from its 3 views."""
    steps: int = 100
    """Of each fit, after 10 that do not count."""

    def main(self) -> None:
        print(f"{device_name()}\n\n| numbers below 1e-38 | start s | ms a step |\n| --- | --- | --- |")
        for flushed in (False, True):
            # Spawned, not forked: a fork inherits the threads' settings.
            with get_context("spawn").Pool(1) as pool:
                begun, step = pool.apply(self.fit, (flushed,))
            print(f"| {'count as 0' if flushed else 'are kept'} | {begun:.1f} | {1000.0 * step:.0f} |", flush=True)

    def fit(self, flushed: bool) -> tuple[float, float]:
        """Seconds of the start and of a step."""
        if not flushed:
            torch.set_flush_denormal = lambda mode: False  # type: ignore[assignment]
        torch.manual_seed(0)
        trainer, begun = start(configure("baseh3d-fast", self.data, self.scene, "3", BUILTIN, plateau=0.0))
        step, _, _ = run(trainer, 0, 10)
        _, _, seconds = run(trainer, step, self.steps)
        return begun, seconds / self.steps


if __name__ == "__main__":
    tyro.cli(BenchDenormals, description=__doc__).main()
