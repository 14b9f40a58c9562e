"""One cell as a process: `python -m baseh3d_ns.benchmark.cell FOLDER --data ROOT`; writes result.json, once."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import threading
import time
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tyro
from filelock import FileLock

from baseh3d_ns.benchmark.cells import (
    DATA,
    CellFile,
    ChangeSpec,
    DataSpec,
    FitSpec,
    FloorSpec,
    PriorSpec,
    blank_result,
    read_cell,
)
from baseh3d_ns.benchmark.results import Result, load_result
from baseh3d_ns.errors import InputError
from baseh3d_ns.synthetic.noise_parts import NOISE_PARTS


@dataclass
class RunCell:
    """Run the cell that FOLDER/cell.json describes, unless it has its result."""

    folder: tyro.conf.Positional[Path]
    """Folder of the cell."""
    data: Path | None = None
    """Root in the H3DS layout."""
    prior: Path | None = None
    """Start of the fit: a prior's file, or `builtin`."""
    stay: bool = True
    """Go on when the parent process ends."""

    def main(self) -> int:
        """The exit status."""
        if not self.stay:
            threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
        # Waits for another process that works here; the system takes the lock off one that was killed.
        with FileLock(self.folder / ".lock"):
            if load_result(self.folder):
                return 0
            result = self.attempt(read_cell(self.folder))
            result.save(self.folder)
            print(f"{result.status} {result.reason}", flush=True)
        return 0 if result.done else 1

    def attempt(self, cell: CellFile) -> Result:
        """The result, or why there is none."""
        from baseh3d_ns.benchmark.external_methods import Skipped

        blank = blank_result(cell)
        try:
            return self.make(cell, blank)
        except Skipped as reason:
            return replace(blank, status="skipped", reason=str(reason))
        except (Exception, SystemExit) as error:
            # Our trainer ends with an exit status for bad input and Ctrl-C, after it has said so.
            cause = error.__context__ if isinstance(error, SystemExit) and error.__context__ else error
            if isinstance(cause, KeyboardInterrupt):
                raise  # stopped, not failed
            traceback.print_exc()
            said = str(cause) if isinstance(cause, InputError) else f"{type(cause).__name__}: {cause}"
            return replace(blank, reason=said.strip().splitlines()[0])

    def make(self, cell: CellFile, blank: Result) -> Result:
        """Do the work of a cell."""
        spec = cell.spec
        if isinstance(spec, DataSpec):
            return make_data(self, spec, blank)
        if self.data is None and not (isinstance(spec, PriorSpec) and spec.scene is None):
            raise InputError(f"the cell in {self.folder} needs scenes: pass --data ROOT")
        if isinstance(spec, ChangeSpec):
            return make_change(self, spec, blank)
        if isinstance(spec, PriorSpec):
            return make_prior(self, spec, blank)
        return make_fit(self, spec, blank) if isinstance(spec, FitSpec) else make_floor(self, spec, blank)


def make_data(run: RunCell, spec: DataSpec, blank: Result) -> Result:
    """Synthetic subjects; a half-made folder of an earlier try goes first."""
    from baseh3d_ns.synthetic.dataset import synthesize

    recipe = spec.synthetic
    shutil.rmtree(run.folder / DATA, ignore_errors=True)
    begin = time.monotonic()
    noise = NOISE_PARTS if recipe.noise else ()
    synthesize(run.folder / DATA, recipe.subjects, recipe.views, recipe.size, recipe.seed, noise)
    return replace(blank, status="done", train_s=time.monotonic() - begin)


def make_change(run: RunCell, spec: ChangeSpec, blank: Result) -> Result:
    """A root with one scene, changed."""
    from baseh3d_ns.benchmark.perturb import CHANGES, perturb

    assert run.data is not None
    shutil.rmtree(run.folder / DATA, ignore_errors=True)
    begin = time.monotonic()
    perturb(run.data, spec.scene.name, run.folder / DATA, CHANGES[spec.change])
    return replace(blank, status="done", train_s=time.monotonic() - begin)


def make_prior(run: RunCell, spec: PriorSpec, blank: Result) -> Result:
    """A pre-training: its priors stay in the folder."""
    from baseh3d_ns.benchmark import commands
    from baseh3d_ns.benchmark.training import train

    shutil.rmtree(run.folder / commands.EXPERIMENT, ignore_errors=True)
    given: commands.Options = {"data": run.data, "epochs": spec.epochs, "snapshot-epochs": spec.snapshots}
    given["pipeline.datamanager.scenes"] = tuple(scan.name for scan in spec.scans)
    options = {**spec.options, **{name: value for name, value in given.items() if value}}
    parser: commands.Options = {}
    if spec.scene:
        parser = {"scene": spec.scene.name, "views": spec.views, "downscale": spec.downscale}
    trained = train(commands.arguments(spec.method, run.folder, spec.seed, options, parser))
    return replace(_measured(blank, trained), status="done")


def make_fit(run: RunCell, spec: FitSpec, blank: Result) -> Result:
    """Train, mesh, score."""
    from baseh3d_ns.benchmark import commands, external_methods
    from baseh3d_ns.benchmark.training import train

    shutil.rmtree(run.folder / commands.EXPERIMENT, ignore_errors=True)
    shutil.rmtree(run.folder / "evaluation", ignore_errors=True)
    assert run.data is not None
    options = {**spec.options, "data": run.data, **({"load-prior": run.prior} if run.prior is not None else {})}
    parser = {"scene": spec.scene.name, "views": spec.views, "downscale": spec.downscale}
    method = commands.method_config(spec.method)
    external = external_methods.is_external(method)
    if external:
        external_methods.check_runs_here(method)
    options |= commands.length(spec.epochs, external, run.data, parser)
    command = commands.arguments(spec.method, run.folder, spec.seed, options, parser)
    trained = train(command, () if external else spec.curve)
    begin = time.monotonic()
    measured, output = replace(_measured(blank, trained), epochs=trained.epochs), run.folder / "evaluation"
    if external:
        from baseh3d_ns.benchmark.scan_scores import score_sdf

        sdf, device = external_methods.sdf_of_external(trained.trainer), trained.trainer.pipeline.model.device
        evaluation = score_sdf(sdf, device, run.data, spec.scene.name, spec.spacing_mm, output)
    else:
        from baseh3d_ns.evaluation.score_run import score_run
        from baseh3d_ns.heads.opened import OpenedHead

        evaluation = score_run(OpenedHead.read(trained.folder, run.data), output, spec.spacing_mm).evaluation
    return _scored(measured, evaluation, time.monotonic() - begin)


def make_floor(run: RunCell, spec: FloorSpec, blank: Result) -> Result:
    """The scan, meshed by our mesher and scored."""
    from baseh3d_ns.benchmark.scan_scores import score_scan

    assert run.data is not None
    begin = time.monotonic()
    evaluation = score_scan(run.data, spec.scene.name, spec.spacing_mm)
    scored = _scored(blank, evaluation, time.monotonic() - begin)
    # Beyond the rim of an open scan its mesh goes on: no lower bound of two-way errors.
    return replace(scored, face_rigid_mm=None, head_rigid_mm=None)


def _measured(blank: Result, trained: Any) -> Result:
    from baseh3d_ns.benchmark.machine import device_name, peak_memory_gb

    return replace(
        blank,
        steps=trained.steps,
        train_s=trained.seconds,
        peak_memory_gb=peak_memory_gb(),
        device=device_name(),
        curve=tuple(trained.curve),
    )


def _scored(measured: Result, evaluation: Any, score_s: float) -> Result:
    official, rigid = evaluation.official, evaluation.rigid
    return replace(
        measured,
        status="done",
        scene_id=evaluation.provenance["scene"],
        face_mm=official.face_mm,
        head_mm=official.head_mm,
        face_rigid_mm=rigid.face.mean_mm,
        head_rigid_mm=rigid.head.mean_mm,
        score_s=score_s,
        config=Path(evaluation.provenance["config"]).stem,
        provenance={**evaluation.provenance, "face_spacing_mm": evaluation.face_spacing_mm},
    )


def _end_with_parent(parent: int) -> None:
    """End this process soon after its parent, so that it never works beside the parent's successor."""
    # A fork server, which is every cell's parent, lives as long as any cell does: it says who asked for this one.
    asked_by = multiprocessing.parent_process()
    while asked_by.is_alive() if asked_by else os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def main(arguments: list[str] | None = None) -> int:
    """Run a cell; the exit status."""
    return tyro.cli(RunCell, description=__doc__, args=arguments).main()


if __name__ == "__main__":
    raise SystemExit(main())
