"""`baseh3d bench | report`: commands that compare methods."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from baseh3d_ns.bounds import Count, CountOrNone, Positive, Weight
from baseh3d_ns.extras import require_extra

if TYPE_CHECKING:
    from baseh3d_ns.benchmark.executors import Executor


@dataclass
class Bench:
    """Run a benchmark: every method on every scene, each its own process; what is done is not done again."""

    definition: tyro.conf.Positional[Path]
    """Definition of the comparison: a .toml file, see configs."""
    data: Path | None = None
    """Root in the H3DS layout, instead of the definition's or of the synthetic heads that it makes."""
    out: Path | None = None
    """Results folder; by default outputs/bench/NAME."""
    dry_run: bool = False
    """Only list the cells, the priors they need and how long they may take."""
    executor: Literal["local", "ray", "slurm"] = "local"
    """Executor of the cells: processes of this machine, a Ray cluster, or Slurm (through submitit)."""
    jobs: CountOrNone = 0
    """local: cells at a time; 0: one for each GPU, or one on the CPU."""
    cpus: Count = 2
    """ray, slurm: CPU cores of a cell."""
    gpus: Weight = 0.0
    """ray, slurm: GPUs of a cell."""
    ray_address: str | None = None
    """ray: address of the cluster; by default one that is found, or started here."""
    slurm_partition: str = ""
    """slurm: partition to ask for."""
    slurm_hours: Positive = 24.0
    """slurm: time limit of a cell, in hours."""

    def main(self) -> None:
        require_extra("bench")
        from baseh3d_ns.benchmark.check_trainings import check_trainings
        from baseh3d_ns.benchmark.eta import Eta, duration
        from baseh3d_ns.benchmark.kept import KEPT, note_kept_times
        from baseh3d_ns.benchmark.plan import plan
        from baseh3d_ns.benchmark.read_definition import read_definition
        from baseh3d_ns.benchmark.report import write_report
        from baseh3d_ns.benchmark.run_folder import dry_run_report, only_one, open_sweep

        definition = read_definition(self.definition).on(self.data)
        check_trainings(definition, self.definition)
        cells, eta = plan(definition), Eta()
        note_kept_times(eta, self.definition.parent / KEPT)
        out = self.out or Path("outputs/bench") / definition.name
        if self.dry_run:
            print(dry_run_report(definition, cells, out, self.jobs, eta))
            return
        sweep = open_sweep(self.definition, definition, cells, out, eta)
        with only_one(out):
            sweep.run_all(self.make_executor(out))
            page = write_report(sweep.run, definition, sweep.results())
        print((out / "tables.md").read_text(encoding="utf-8"))
        print(f"written to {page}; {len(sweep.done)} cells done, which took {duration(sweep.spent_s)}")
        if sweep.failed:
            raise SystemExit(f"{len(sweep.failed)} cells have no result; the same command tries them again")

    def make_executor(self, out: Path) -> Executor:
        """The executor of the cells; an `InputError` when it is not there."""
        from baseh3d_ns.benchmark.executors import LocalExecutor, RayExecutor, SlurmExecutor

        if self.executor == "ray":
            return RayExecutor(self.ray_address, self.cpus, self.gpus)
        if self.executor == "slurm":
            limits = (self.slurm_partition, self.slurm_hours, self.cpus, self.gpus)
            return SlurmExecutor(out / "slurm", "slurm", *limits)
        return LocalExecutor(self.jobs)


@dataclass
class Report:
    """Write the report of a benchmark again: report.html, tables.md and results.csv in its folder."""

    run: tyro.conf.Positional[Path]
    """Results folder of `baseh3d bench`."""

    def main(self) -> None:
        require_extra("bench")
        from baseh3d_ns.benchmark.report import write_report
        from baseh3d_ns.benchmark.run_folder import reopen_sweep

        sweep = reopen_sweep(self.run)
        sweep.write_results()
        print(f"written to {write_report(sweep.run, sweep.definition, sweep.results())}")
