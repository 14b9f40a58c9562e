"""One cell as a process: `python -m baseh3d_ns.benchmark.cell FOLDER --data ROOT`; writes result.json, once."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tyro

from baseh3d_ns.benchmark.cells import CELL, DATA, Cell
from baseh3d_ns.benchmark.machine import device_name, peak_memory_gb
from baseh3d_ns.benchmark.results import Result, load_result
from baseh3d_ns.errors import InputError


@dataclass
class RunCell:
    """Run the cell that FOLDER/cell.json describes, unless it has its result."""

    folder: tyro.conf.Positional[Path]
    """Folder of the cell."""
    data: Path | None = None
    """Root in the H3DS layout."""
    prior: Path | None = None
    """What the fit starts from."""
    parent: int = 0
    """End when the process of this number is not the parent any more; 0: go on alone."""

    def main(self) -> int:
        """The exit status."""
        if self.parent:
            threading.Thread(target=_end_with, args=(self.parent,), daemon=True).start()
        with _alone(self.folder):
            if load_result(self.folder):
                return 0
            result = self.attempt(json.loads((self.folder / CELL).read_text(encoding="utf-8")))
            result.save(self.folder)
            print(f"{result.status} {result.reason}", flush=True)
        return 0 if result.done else 1

    def attempt(self, cell: dict[str, Any]) -> Result:
        """The result, or why there is none."""
        from baseh3d_ns.benchmark.external_methods import Skipped

        decides = cell["decides"]
        blank = Cell(cell["kind"], "", decides).no_result("")
        blank = replace(blank, id=self.folder.name.rpartition("-")[2])
        try:
            return KINDS[cell["kind"]](self, decides, blank)
        except Skipped as reason:
            return replace(blank, status="skipped", reason=str(reason))
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            # Our trainer ends with exit status 1 for bad input, after it has said what is wrong.
            cause = error.__context__ if isinstance(error, SystemExit) and error.__context__ else error
            said = str(cause) if isinstance(cause, InputError) else f"{type(cause).__name__}: {cause}"
            return replace(blank, reason=said.strip().splitlines()[0])


def make_data(run: RunCell, decides: dict[str, Any], blank: Result) -> Result:
    """Synthetic subjects; a half-made folder of an earlier try goes first."""
    from baseh3d_ns.synthetic.dataset import synthesize

    recipe = decides["synthetic"]
    shutil.rmtree(run.folder / DATA, ignore_errors=True)
    begin = time.monotonic()
    synthesize(run.folder / DATA, recipe["subjects"], recipe["views"], recipe["size"], recipe["seed"], recipe["noise"])
    return replace(blank, status="done", train_s=time.monotonic() - begin)


def make_prior(run: RunCell, decides: dict[str, Any], blank: Result) -> Result:
    """A pre-training: its priors stay in the folder."""
    from baseh3d_ns.benchmark import commands, training

    shutil.rmtree(run.folder / commands.EXPERIMENT, ignore_errors=True)
    options = dict(decides["options"])
    parser: dict[str, Any] = {}
    if run.data is not None:
        options["data"] = run.data
    if decides["epochs"]:
        options["epochs"] = decides["epochs"]
    if decides["snapshots"]:
        options["snapshot-epochs"] = decides["snapshots"]
    if "scene" in decides["scene"]:
        parser = {key: decides[key] for key in ("views", "downscale")} | {"scene": decides["scene"]["scene"]}
    trained = training.train(commands.arguments(decides["method"], run.folder, blank.seed, options, parser))
    return replace(_measured(blank, trained), status="done")


def make_fit(run: RunCell, decides: dict[str, Any], blank: Result) -> Result:
    """Train, mesh, score."""
    from baseh3d_ns.benchmark import commands, external_methods, training

    shutil.rmtree(run.folder / commands.EXPERIMENT, ignore_errors=True)
    shutil.rmtree(run.folder / "evaluation", ignore_errors=True)
    assert run.data is not None
    options = {**decides["options"], "data": run.data}
    if run.prior is not None:
        options["load-prior"] = run.prior
    parser = {"scene": decides["scene"]["scene"], "views": decides["views"], "downscale": decides["downscale"]}
    method = commands.method_config(decides["method"])
    peer = external_methods.is_peer(method)
    if peer:
        external_methods.check_runs_here(method)
        options["max-num-iterations"] = decides["epochs"] * commands.count_views(run.data, parser)
    else:
        options["epochs"] = decides["epochs"]
    command = commands.arguments(decides["method"], run.folder, blank.seed, options, parser)
    trained = training.train(command, () if peer else tuple(decides["curve"]))
    begin = time.monotonic()
    measured = _measured(blank, trained)
    spacing_mm, output = decides["spacing_mm"], run.folder / "evaluation"
    if peer:
        from baseh3d_ns.benchmark.scan_scores import score_sdf

        sdf, device = external_methods.sdf_of_peer(trained.trainer), trained.trainer.pipeline.model.device
        evaluation = score_sdf(sdf, device, run.data, parser["scene"], spacing_mm, output)
    else:
        from baseh3d_ns.evaluation.score_run import score_run

        evaluation = score_run(trained.folder / "config.yml", run.data, output, spacing_mm).evaluation
    return _scored(measured, evaluation, time.monotonic() - begin)


def make_floor(run: RunCell, decides: dict[str, Any], blank: Result) -> Result:
    """The scan, meshed by our mesher and scored."""
    from baseh3d_ns.benchmark.scan_scores import score_scan

    assert run.data is not None
    begin = time.monotonic()
    evaluation = score_scan(run.data, decides["scene"]["scene"], decides["spacing_mm"])
    scored = _scored(blank, evaluation, time.monotonic() - begin)
    # Beyond the rim of an open scan its mesh goes on: no lower bound of what counts both ways.
    return replace(scored, face_rigid_mm=None, head_rigid_mm=None)


KINDS: dict[str, Callable[[RunCell, dict[str, Any], Result], Result]] = {
    "data": make_data,
    "prior": make_prior,
    "fit": make_fit,
    "floor": make_floor,
}


def _measured(blank: Result, trained: Any) -> Result:
    return replace(
        blank, steps=trained.steps, train_s=trained.seconds, peak_memory_gb=peak_memory_gb(),
        device=device_name(), curve=tuple(trained.curve),
    )  # fmt: skip


def _scored(measured: Result, evaluation: Any, score_s: float) -> Result:
    official, rigid = evaluation.official, evaluation.rigid
    return replace(
        measured, status="done", scene_id=evaluation.provenance["scene"], face_mm=official.face_mm,
        head_mm=official.head_mm, face_rigid_mm=rigid.face.mean_mm, head_rigid_mm=rigid.head.mean_mm, score_s=score_s,
        provenance={**evaluation.provenance, "face_spacing_mm": evaluation.face_spacing_mm},
    )  # fmt: skip


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process works on the folder; the system takes the lock off one that was killed."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _end_with(parent: int) -> None:
    """A benchmark that was killed leaves no process that would work beside its successor's."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    raise SystemExit(tyro.cli(RunCell, description=__doc__).main())
