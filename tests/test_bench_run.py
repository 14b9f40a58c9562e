"""Benchmarks end to end: killed and finished, failing and going on, on every executor."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import submitit
import trimesh
from filelock import FileLock
from processes import begin, call, call_here
from tiny_root import CENTRE_MM, write_root

from baseh3d_ns.benchmark import executors, training
from baseh3d_ns.benchmark.cell import RunCell
from baseh3d_ns.benchmark.cells import (
    Cell,
    ChangeSpec,
    FitSpec,
    FloorSpec,
    PriorSpec,
    SceneId,
    blank_result,
    read_cell,
)
from baseh3d_ns.benchmark.commands import parse
from baseh3d_ns.benchmark.definition import DataSource, Definition, Row
from baseh3d_ns.benchmark.detail_tables import unfinished_table
from baseh3d_ns.benchmark.eta import Eta
from baseh3d_ns.benchmark.executors import LocalExecutor, RayExecutor, SlurmExecutor
from baseh3d_ns.benchmark.metrics import FLOOR_NAME
from baseh3d_ns.benchmark.plan import check_scans, plan
from baseh3d_ns.benchmark.read_definition import read_definition
from baseh3d_ns.benchmark.results import FAILURE, load_result, read_results
from baseh3d_ns.benchmark.run_folder import only_one, open_sweep, reopen_sweep
from baseh3d_ns.benchmark.sweep import Sweep
from baseh3d_ns.benchmark.training import Trained
from baseh3d_ns.errors import InputError, ended_by_interrupt

SCENES = ("00000000000000aa", "00000000000000bb")
SMALL = Path(__file__).parents[1] / "configs" / "synthetic_small.toml"
DEFINITION = """
name = "tiny"
title = "Two methods on one ellipsoid of 48 px, a few steps"
scenes = ["scan1"]
views = ["3"]
epochs = 8
spacing_mm = 4.0
curve = [0.5]
data = {path = "%s"}

[options]
"pipeline.datamanager.train-num-rays-per-batch" = 64

[priors.one_head]
method = "baseh3d-fast-prior"
scene = "scan0"
epochs = 12
snapshots = [6]
options = {"pipeline.model.grid-cells" = 24}

[[rows]]
name = "one head"
method = "baseh3d-fast"
prior = "one_head@6"
options = {register = false, QUICK}

[[rows]]
name = "builtin"
method = "baseh3d-fast"
prior = "builtin"
options = {register = false, QUICK}

[[rows]]
name = "neus-facto"
method = "neus-facto"
""".replace(
    "QUICK",
    '"pipeline.model.grid-cells" = 24, "warm-start.colours.steps" = 5, "finish-colours.steps" = 0, '
    '"warm-start.grid-cells" = 24',
)


def finished(run: Path) -> dict[Path, tuple[int, bytes]]:
    """Every result there is: when it was written, and what it says."""
    return {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in run.rglob("result.json")}


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[Path, tuple[int, bytes]]]:
    """A tiny benchmark, killed while its first fit was trained: definition, folder, and what it had by then."""
    folder = tmp_path_factory.mktemp("bench")
    run, definition = folder / "run", folder / "tiny.toml"
    definition.write_text(DEFINITION % write_root(folder / "h3ds", scenes=SCENES))
    bench = begin("baseh3d", "bench", definition, "--out", run)
    deadline = time.monotonic() + 300
    while not list(run.glob("cells/builtin-*/train")):
        assert bench.is_alive() and time.monotonic() < deadline
        time.sleep(0.1)
    bench.kill()
    bench.join()
    before = finished(run)
    # The cell that it was at ends as well: one would work beside its successor's.
    for cell in (run / "cells").iterdir():
        with FileLock(cell / ".lock", timeout=60):
            pass
    return definition, run, before


def test_a_killed_benchmark_is_finished_by_the_same_command(killed):
    definition, run, before = killed
    assert len(before) == 1 and not list(run.glob("cells/builtin-*/result.json"))
    text = call_here("bench", definition, "--out", run)
    after = finished(run)
    assert before.items() <= after.items() and len(after) == 4
    assert "neus-facto" in text and "tiny-cuda-nn" in text and "report.html" in text
    results = read_results(run / "results.csv").set_index("row")
    assert set(results.index) == {"prior one_head", "one head", "builtin", "neus-facto", "floor"}
    assert results.loc["neus-facto", "status"] == "skipped"
    for row in ("one head", "builtin"):
        result = results.loc[row]
        assert result.status == "done" and 0.3 < result.face_mm < 30 and result.steps == 24 and result.train_s > 0
    # What is done is not done again.
    call_here("bench", definition, "--out", run)
    assert finished(run) == after


def test_a_result_says_where_it_comes_from(killed):
    _, run, _ = killed
    (folder,) = run.glob("cells/builtin-*")
    result = load_result(folder)
    assert result is not None and result.id == folder.name[-12:]
    assert [point.step for point in result.curve] == [12, 24] and 0 < result.curve[0].seconds < result.train_s
    assert result.curve[1].seconds == result.train_s and result.config == "config" and result.version
    known = result.provenance
    assert known["seed"] == 0 and known["views"] and known["packages"]["h3ds"] and known["scored_regions"]
    assert result.peak_memory_gb > 0.1 and ("CPU" in result.device or "NVIDIA" in result.device)
    assert (folder / "evaluation" / "evaluation.png").is_file() and (folder / "log.txt").stat().st_size > 100


def test_the_floor_is_what_the_metric_cannot_see_below(killed):
    _, run, _ = killed
    (folder,) = run.glob("cells/floor-scan1-*")
    floor = load_result(folder)
    # Vertices 4 mm apart: a perfect surface is about 1.6 mm from the nearest.
    assert floor is not None and 1.0 < floor.face_mm < 2.2


def test_the_report_is_written_again(killed):
    _, run, _ = killed
    page = run / "report.html"
    page.unlink()
    assert "report.html" in call_here("report", run)
    assert page.stat().st_size > 1e6


def test_a_report_of_nothing(tmp_path):
    assert "holds no benchmark" in call("baseh3d", "report", tmp_path, fails=True)


@pytest.fixture
def on_tiny(own_root) -> Definition:
    own_length = {"register": False, "steps-of-one-view": 3}
    row = Row("fast", "baseh3d-fast", "builtin", epochs=0, options=own_length)
    few = {"pipeline.datamanager.train-num-rays-per-batch": 64, "pipeline.model.grid-cells": 24}
    few |= {"finish-colours.steps": 0, "warm-start.colours.steps": 5}
    few |= {"warm-start.colours.batches": 4, "warm-start.grid-cells": 24}
    scenes = ("scan0", "scan1")
    return Definition("tiny", "tiny", scenes, DataSource(own_root), (row,), epochs=2, spacing_mm=6.0, options=few)


def sweep_of(definition: Definition, run: Path, *kinds: str) -> Sweep:
    cells = [cell for cell in plan(definition) if cell.kind in kinds]
    (run / "cells").mkdir(parents=True)
    return Sweep(definition, cells, run)


def test_a_cell_that_fails_is_reported_and_the_others_go_on(on_tiny, own_root, tmp_path):
    sweep = sweep_of(on_tiny, tmp_path / "run", "fit")
    for photo in (own_root / "00000000000000aa" / "image").iterdir():
        photo.unlink()
    sweep.run_all(LocalExecutor())
    results = {result.scene: result for _, result in sweep.results()}
    assert results["scan1"].done and not results["scan0"].done
    own_steps = round(3 * 3**0.5)  # of three views, where the definition's two epochs were six
    assert (results["scan1"].steps, results["scan1"].epochs) == (own_steps, 2)
    assert "img_0000.jpg" in results["scan0"].reason and "log.txt" in results["scan0"].reason
    assert len(sweep.failed) == 1 and len(read_results(tmp_path / "run" / "results.csv")) == 2


def test_what_did_not_run_yet_is_missing(on_tiny, tmp_path):
    sweep = sweep_of(on_tiny, tmp_path / "run", "fit", "floor")
    sweep.failed[sweep.cells[0].id] = "it needs another"
    sweep.write_results()
    results = read_results(tmp_path / "run" / "results.csv")
    assert list(results["status"]) == ["failed", *3 * ["missing"]]
    lines = [row[0::4] for row in unfinished_table(on_tiny, results).rows]
    assert lines == [("fast", "failed"), ("fast", "missing"), (FLOOR_NAME, "missing")]


def test_an_interrupt_is_no_failure(tmp_path, monkeypatch):
    def interrupted(*_) -> None:
        with ended_by_interrupt(lambda: "stopped"):
            raise KeyboardInterrupt

    monkeypatch.setattr(RunCell, "make", interrupted)
    folder = Cell(FloorSpec(SceneId("scan1"), 2.0), "floor").prepare(tmp_path)
    with pytest.raises(SystemExit):
        RunCell(folder).main()
    assert load_result(folder, FAILURE) is None


class Dies:
    """An executor whose processes are killed before they say anything."""

    jobs = 1

    def run(self, arguments: list[str], log: Path) -> int:
        return -9


def test_a_later_report_knows_why(on_tiny, tmp_path):
    prior = Cell(PriorSpec("baseh3d-fast-prior", {}, 1, (), 0), "prior x")
    killed, blocked = plan(on_tiny)[0], replace(plan(on_tiny)[2], needs=(prior,))
    cells = [prior, killed, blocked]
    (tmp_path / "cells").mkdir()
    Sweep(on_tiny, cells, tmp_path).run_all(Dies())
    later = Sweep(on_tiny, cells, tmp_path)
    assert all(result.status == "failed" for _, result in later.results())
    later.write_results()
    rows = unfinished_table(on_tiny, read_results(tmp_path / "results.csv")).rows
    reasons = {row[0::5] for row in rows}
    assert ("prior x", f"its process ended with -9; log: {prior.folder(tmp_path) / 'log.txt'}") in reasons
    assert ("fast", f"its process ended with -9; log: {killed.folder(tmp_path) / 'log.txt'}") in reasons
    assert ("fast", "it needs prior x, which has no result") in reasons
    # What is tried again blocks nothing.
    (prior.folder(tmp_path) / FAILURE).unlink()
    assert [result.status for _, result in later.results()] == ["missing", "failed", "missing"]


class Succeeds:
    """An executor whose cells are done at once."""

    jobs = 1

    def run(self, arguments: list[str], log: Path) -> int:
        folder = Path(arguments[0])
        replace(blank_result(read_cell(folder)), status="done").save(folder)
        return 0


def test_a_process_that_dies_without_a_word_is_not_taken_for_its_last_failure(on_tiny, tmp_path):
    sweep = sweep_of(on_tiny, tmp_path / "run", "fit")
    cell = sweep.cells[0]
    replace(cell.no_result("no tiny-cuda-nn"), status="skipped").save(cell.prepare(sweep.run))
    sweep.run_all(Dies())
    assert "its process ended with -9" in sweep.failed[cell.id] and not sweep.skipped


def test_square_brackets_are_no_markup(on_tiny, tmp_path, capsys):
    row = replace(on_tiny.rows[0], name="fast [/idr] [bold]")
    sweep = sweep_of(replace(on_tiny, rows=(row,)), tmp_path / "run", "fit")
    sweep.run_all(Dies())
    assert "fast [/idr] [bold], scan0, 3 views: no result" in capsys.readouterr().out
    sweep.run_all(Succeeds())
    assert "fast [/idr] [bold], scan0, 3 views: done in 0 s" in capsys.readouterr().out


class Breaks(Dies):
    """An executor that fails itself, as one may whose cluster goes away."""

    def run(self, arguments: list[str], log: Path) -> int:
        raise RuntimeError("the cluster went away")


def test_an_executor_that_fails_does_not_end_the_benchmark(on_tiny, tmp_path):
    sweep = sweep_of(on_tiny, tmp_path / "run", "fit")
    sweep.run_all(Breaks())
    assert set(sweep.failed) == {cell.id for cell in sweep.cells}
    reasons = [result.reason for _, result in Sweep(on_tiny, sweep.cells, sweep.run).results()]
    assert reasons == 2 * ["RuntimeError: the cluster went away"]


def test_what_needs_a_failed_cell_is_not_run(on_tiny, tmp_path):
    broken = Cell(PriorSpec("idr", {"no-such": 1}, 1, (), 0), "prior x")
    fit = replace(plan(on_tiny)[0], needs=(broken,))
    (tmp_path / "cells").mkdir()
    sweep = Sweep(on_tiny, [broken, fit], tmp_path)
    sweep.run_all(LocalExecutor())
    assert set(sweep.failed) == {broken.id, fit.id} and "it needs prior x" in sweep.failed[fit.id]
    assert not fit.folder(tmp_path).exists()


def test_a_shape_space_is_learned_from_the_scans_of_its_cell(own_root, tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(training, "train", lambda command: commands.append(command) or Trained(None, tmp_path))
    monkeypatch.setattr(Trained, "steps", 1)
    spec = PriorSpec("h3dnet-fast-prior", {}, 0, (), 0, scans=(SceneId(SCENES[1]),))
    Cell(spec, "prior heads").prepare(tmp_path)
    (folder,) = (tmp_path / "cells").iterdir()
    assert RunCell(folder, own_root).main() == 0
    config = parse(commands[0])
    assert config.pipeline.datamanager.source(config.data).names == [SCENES[1]]


def test_a_changed_copy_is_fitted_and_scored_in_its_place(on_tiny, tmp_path):
    data = replace(on_tiny.data, changes=("turned by 15 degrees",))
    definition = replace(on_tiny, scenes=("scan1",), data=data)
    sweep = sweep_of(definition, tmp_path / "run", "change", "fit", "floor")
    sweep.run_all(LocalExecutor())
    assert not sweep.failed, sweep.failed
    (copy,) = [cell for cell in sweep.cells if isinstance(cell.spec, ChangeSpec)]
    truth = trimesh.load(definition.data.path / SCENES[1] / "full_head.obj", process=False)
    moved = trimesh.load(copy.folder(sweep.run) / "heads" / SCENES[1] / "full_head.obj", process=False)
    to_centre = truth.vertices - CENTRE_MM
    assert np.abs(np.linalg.norm(moved.vertices - CENTRE_MM, axis=1) - np.linalg.norm(to_centre, axis=1)).max() < 0.1
    assert np.abs(moved.vertices - truth.vertices).max() > 10.0
    for _, result in sweep.results():
        assert result.done and (result.scene, result.change) == ("scan1, turned by 15 degrees", data.changes[0])


@pytest.mark.parametrize("executor", ["ray", "slurm"])
def test_the_same_cells_on_a_cluster(executor, on_tiny, tmp_path, monkeypatch):
    """A Ray of this machine, and submitit's processes of this machine in the place of Slurm's nodes."""
    made = RayExecutor(cpus=1) if executor == "ray" else SlurmExecutor(tmp_path / "slurm", cluster="local", cpus=1)
    sweep = sweep_of(replace(on_tiny, scenes=("scan0",)), tmp_path / "run", "floor")
    try:
        sweep.run_all(made)
        monkeypatch.setattr(executors, "COMMAND", ["false"])
        assert made.run([], tmp_path / "log.txt") == 1
    finally:
        if executor == "ray":
            import ray

            ray.shutdown()
    ((_, result),) = sweep.results()
    assert result.done, sweep.failed


def test_gpus_that_were_taken_away_stay_away(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    executor, seen = LocalExecutor(gpus=2), []
    monkeypatch.setattr(
        executors, "run_logged", lambda command, log, env: seen.append(env["CUDA_VISIBLE_DEVICES"]) or 0
    )
    executor.run(["a"], tmp_path / "log.txt")
    executor.run(["b"], tmp_path / "log.txt")
    assert executor.jobs == 2 and seen == ["2", "5"]


def test_a_cell_that_cannot_even_start_does_not_end_the_others(on_tiny, tmp_path):
    sweep = sweep_of(on_tiny, tmp_path / "run", "floor")
    first = sweep.cells[0].prepare(sweep.run)
    (first / "cell.json").write_text('{"id": "", "spec": {"kind": "floor"}}')
    sweep.run_all(LocalExecutor())
    assert list(sweep.failed) == [sweep.cells[0].id] and "of another configuration" in sweep.failed[sweep.cells[0].id]
    assert sweep.results()[1][1].done


def test_a_ray_cluster_that_is_not_there():
    with pytest.raises(InputError, match="no Ray cluster at 127.0.0.1:1"):
        RayExecutor("127.0.0.1:1")


def test_slurm_where_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="no srun on this machine"):
        SlurmExecutor(tmp_path)


def test_slurm_gives_whole_gpus_and_no_job_of_no_time(tmp_path, monkeypatch):
    asked = {}
    monkeypatch.setattr(submitit.AutoExecutor, "update_parameters", lambda self, **given: asked.update(given))
    with pytest.raises(InputError, match=r"--gpus 0\.5 is no whole number"):
        SlurmExecutor(tmp_path, cluster="local", gpus=0.5)
    SlurmExecutor(tmp_path, cluster="local", gpus=1.0, hours=0.01)
    assert asked["timeout_min"] == 1 and asked["gpus_per_node"] == 1


def test_a_report_is_not_written_over_results_of_another_version(tmp_path):
    """After an upgrade no cell is known by the id that it had."""
    shutil.copy(SMALL, tmp_path / "definition.toml")
    begun = reopen_sweep(tmp_path)
    assert not begun.done
    old = tmp_path / "cells" / "ours-0123456789ab"
    old.mkdir(parents=True)
    replace(begun.cells[0].no_result(""), status="done", version="0.2.9").save(old)
    with pytest.raises(InputError, match=r"holds results of version 0\.2\.9, and none of a cell as version"):
        reopen_sweep(tmp_path)
    cell = begun.cells[0]
    cell.no_result("it failed").save(cell.prepare(tmp_path))
    assert reopen_sweep(tmp_path).results()[0][1].reason == "it failed"


def test_a_full_disk_leaves_earlier_results_alone(tmp_path, monkeypatch):
    spec = FitSpec("idr", {}, SceneId("scan1"), "3", 0, 8, 1.0, 2.0, ())
    result = Cell(spec, "row").no_result("")
    result = replace(result, status="done", face_mm=1.0)
    result.save(tmp_path)

    def full(self, *_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(InputError, match="No space left"):
        replace(result, face_mm=2.0).save(tmp_path)
    kept = load_result(tmp_path)
    assert kept is not None and kept.face_mm == 1.0 and [file.name for file in tmp_path.iterdir()] == ["result.json"]


def test_a_damaged_result_is_named(tmp_path):
    (tmp_path / "result.json").write_text('{"id": "half')
    with pytest.raises(InputError, match=r"result.json is damaged .*: move it away"):
        load_result(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"), [("face_mm", "many"), ("face_mm", -1.0), ("head_mm", "NaN"), ("steps", 10**30), ("seed", None)]
)
def test_a_number_that_is_none_is_named(name, value, tmp_path):
    spec = FitSpec("idr", {}, SceneId("scan1"), "3", 0, 8, 1.0, 2.0, ())
    replace(Cell(spec, "row").no_result(""), status="done").save(tmp_path)
    content = json.loads((tmp_path / "result.json").read_text())
    (tmp_path / "result.json").write_text("\ufeff" + json.dumps(content), encoding="utf-8")
    assert load_result(tmp_path).done, "a byte-order mark does not matter"
    (tmp_path / "result.json").write_text(json.dumps({**content, name: value}))
    with pytest.raises(InputError, match=f"result.json is damaged .{name}: "):
        load_result(tmp_path)


def test_a_long_name_of_a_row_is_cut_for_its_folder(tmp_path):
    spec = FitSpec("idr", {}, SceneId("scan1"), "3", 0, 8, 1.0, 2.0, ())
    cell = Cell(spec, 100 * "long ")
    assert cell.prepare(tmp_path).name.endswith(cell.id) and cell.folder(tmp_path).is_dir()


def test_a_scan_that_cannot_be_scored_is_said_before_anything_runs(on_tiny, own_root):
    check_scans(plan(on_tiny), on_tiny)
    (own_root / SCENES[1] / "landmarks.txt").write_text("chin 3\n")
    with pytest.raises(InputError, match=f"{SCENES[1]}/landmarks.txt has no landmark nose_tip"):
        open_sweep(SMALL, on_tiny, plan(on_tiny), own_root.parent / "run", Eta())
    assert not (own_root.parent / "run").exists()


def test_results_on_other_heads_are_not_written_over(on_tiny, tmp_path):
    made, on_root = tmp_path / "made", tmp_path / "on_root"
    synthetic = read_definition(SMALL)
    elsewhere = synthetic.on(on_tiny.data.path)
    open_sweep(SMALL, synthetic, [], made, Eta())
    open_sweep(SMALL, elsewhere, [], on_root, Eta())
    with pytest.raises(InputError, match="made holds results on synthetic heads: choose another --out"):
        open_sweep(SMALL, elsewhere, [], made, Eta())
    with pytest.raises(InputError, match=f"on_root holds results on {on_tiny.data.path}: choose another --out"):
        open_sweep(SMALL, synthetic, [], on_root, Eta())
    open_sweep(SMALL, elsewhere, [], on_root, Eta())


def test_two_benchmarks_never_share_a_folder(tmp_path):
    with only_one(tmp_path), pytest.raises(InputError, match="another process works in"), only_one(tmp_path):
        pass


def test_a_dry_run_writes_nothing(tmp_path):
    text = call_here("bench", SMALL, "--out", tmp_path / "run", "--dry-run")
    assert "6 cells" in text and "needs data, prior one_head" in text and not (tmp_path / "run").exists()


def test_seeds_and_views_are_cells_of_their_own():
    definition = replace(read_definition(SMALL), seeds=(0, 1), views=("1", "3"))
    fits = [cell for cell in plan(definition) if cell.kind == "fit"]
    assert len(fits) == 3 * 4 and len({cell.label for cell in fits}) == len({cell.id for cell in fits}) == 12
