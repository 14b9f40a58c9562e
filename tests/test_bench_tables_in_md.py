"""Tables of .md files: written from kept results by one command, and refused where those are of another version."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from bench_run import CURVES, all_results

from baseh3d_ns import __version__
from baseh3d_ns.benchmark.eta import Eta, Work
from baseh3d_ns.benchmark.kept import Origin, keep_benchmark, keep_table, kept_markdown, note_kept_times, read_origin
from baseh3d_ns.benchmark.plan import plan
from baseh3d_ns.benchmark.read_definition import read_definition
from baseh3d_ns.benchmark.results import to_frame, write_csv
from baseh3d_ns.benchmark.tables_in_md import TABLE, md_files, tables_by_hand, with_tables, write_tables
from baseh3d_ns.errors import InputError

REPO = Path(__file__).parents[1]
FILES = md_files(REPO)
DEFINITION = """
name = "two"
title = "Two methods on two scenes"
scenes = ["scan0", "scan1"]
epochs = 100
data = {synthetic = {subjects = 2}}
[[rows]]
name = "ours"
method = "baseh3d-fast"
[[rows]]
name = "idr"
method = "idr"
"""
PAGE = "# Results\n\n<!-- table: two brief -->\n<!-- end -->\n\nText.\n"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(REPO)))
def test_every_table_is_that_of_its_kept_numbers(file):
    text = file.read_text(encoding="utf-8")
    assert with_tables(text, REPO / "configs" / "results") == text, "run scripts/update_readme.py"
    assert tables_by_hand(text) == []


def test_every_kept_result_is_shown():
    shown = {match["name"] for file in FILES for match in TABLE.finditer(file.read_text(encoding="utf-8"))}
    kept = {file.stem for file in (REPO / "configs" / "results").glob("*.json")}
    assert kept <= shown, "add `<!-- table: NAME -->` and `<!-- end -->` to configs/results/README.md"


@pytest.fixture
def results(tmp_path) -> Path:
    """A run as `baseh3d bench` leaves it, and the folder to keep it in."""
    (tmp_path / "configs" / "results").mkdir(parents=True)
    (tmp_path / "configs" / "two.toml").write_text(DEFINITION)
    write_run(tmp_path / "run")
    return tmp_path / "configs" / "results"


def write_run(run: Path, **changed: str) -> None:
    run.mkdir(exist_ok=True)
    (run / "definition.toml").write_text(DEFINITION)
    made = {"version": __version__, "device": "CPU, 2 threads (A, 2 cores)", **changed}
    write_csv(run / "results.csv", to_frame(replace(one, **made) for one in all_results()))
    write_csv(run / "curves.csv", CURVES)


def test_a_table_is_filled_from_kept_numbers(results, tmp_path):
    keep_benchmark(tmp_path / "run", results)
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    assert write_tables(page, results) and not write_tables(page, results)
    text = page.read_text()
    assert f"`baseh3d bench configs/two.toml`, version {__version__}, seed 0, CPU, 2 threads (A, 2 cores)." in text
    assert "| ours | 3 views | 1.50 | 6.00 |" in text and text.startswith("# Results\n") and text.endswith("Text.\n")


@pytest.mark.parametrize("view", ["all", "errors"])
def test_settings_are_those_of_the_measurement(view, results, tmp_path, monkeypatch):
    """A default that has changed since says nothing of kept numbers."""
    keep_benchmark(tmp_path / "run", results)
    before = kept_markdown(results, "two", view)
    assert "| 128 | 32/64/128/256 |" in before  # width and detail of `ours`
    changed = replace(read_origin(results, "two").settings, rows=())
    monkeypatch.setattr("baseh3d_ns.benchmark.tables.settings_table", lambda _: changed)
    monkeypatch.setattr("baseh3d_ns.benchmark.kept.settings_table", lambda _: changed)
    assert kept_markdown(results, "two", view) == before


def test_a_number_changed_by_hand_is_stale(results, tmp_path):
    keep_benchmark(tmp_path / "run", results)
    text = with_tables(PAGE, results)
    assert with_tables(text.replace("| 1.50 |", "| 1.40 |"), results) == text != text.replace("| 1.50 |", "| 1.40 |")
    kept = results / "two.csv"
    kept.write_text(kept.read_text().replace("1.0000", "1.1000", 1))
    assert with_tables(text, results) != text


def test_results_of_another_version_are_refused(results, tmp_path):
    write_run(tmp_path / "run", version="0.1.10")
    keep_benchmark(tmp_path / "run", results)
    with pytest.raises(InputError, match=r"'two' was made with 0\.1\.10, not \d+\.\d+\.\d+: measure it again"):
        with_tables(PAGE, results)
    kept = results / "two.csv"
    kept.write_text(kept.read_text().replace("0.1.10", "0.1.9", 1))
    with pytest.raises(InputError, match=r"holds results of 0\.1\.9, not 0\.1\.10"):
        kept_markdown(results, "two")


def test_numbers_on_a_root_are_not_kept_as_those_of_synthetic_heads(results, tmp_path):
    (tmp_path / "run" / "data.txt").write_text("data/heads")
    with pytest.raises(InputError, match="was run with --data"):
        keep_benchmark(tmp_path / "run", results)
    assert list(results.iterdir()) == []


def test_results_that_cannot_be_kept(results, tmp_path):
    frame = to_frame(replace(one, version=__version__, device=f"CPU {n % 2}") for n, one in enumerate(all_results()))
    write_csv(tmp_path / "run" / "results.csv", frame)
    with pytest.raises(InputError, match=r"more than one kind of device \(CPU 0, CPU 1\)"):
        keep_benchmark(tmp_path / "run", results)
    for status in ("failed", "missing"):
        frame.loc[1, "status"] = status
        write_csv(tmp_path / "run" / "results.csv", frame)
        with pytest.raises(InputError, match="is not finished"):
            keep_benchmark(tmp_path / "run", results)
    (tmp_path / "configs" / "two.toml").write_text(DEFINITION.replace("epochs = 100", "epochs = 99"))
    with pytest.raises(InputError, match="run the benchmark again"):
        keep_benchmark(tmp_path / "run", results)


def test_every_machine_of_a_kind_is_named(results, tmp_path):
    names = ("CPU, 2 threads (B, 2 cores)", "CPU, 2 threads (A, 8 cores)")
    frame = to_frame(replace(one, version=__version__, device=names[n % 2]) for n, one in enumerate(all_results()))
    write_csv(tmp_path / "run" / "results.csv", frame)
    keep_benchmark(tmp_path / "run", results)
    assert read_origin(results, "two").machine == f"{names[1]}; {names[0]}"


def test_numbers_of_another_definition_are_refused(results, tmp_path):
    keep_benchmark(tmp_path / "run", results)
    definition = tmp_path / "configs" / "two.toml"
    definition.write_text("# a comment\n" + DEFINITION.replace("Two methods", "Other words"))
    assert "Other words" in kept_markdown(results, "two", "brief")
    definition.write_text(DEFINITION.replace("epochs = 100", "epochs = 99"))
    with pytest.raises(InputError, match="two.toml is not what two was measured with"):
        kept_markdown(results, "two")


def test_kept_times_are_estimates(results, tmp_path):
    """A fit of the same method with twice the steps takes twice as long; networks of another size say nothing."""
    keep_benchmark(tmp_path / "run", results)
    eta, definition = Eta(), read_definition(tmp_path / "configs" / "two.toml")
    note_kept_times(eta, results)
    longer = replace(definition, epochs=200, rows=(replace(definition.rows[0], name="longer"),), seeds=(5,))
    fits = [cell for cell in plan(longer) if cell.kind == "fit"]
    kept = [one.train_s for one in all_results() if one.row == "ours"]
    assert eta.sum_seconds(fits) == (pytest.approx(2 * sum(kept)), 0)
    larger = replace(longer, options={"pipeline.model.sdf-field.sdf.width": 64})
    assert eta.sum_seconds([cell for cell in plan(larger) if cell.kind == "fit"]) == (0.0, 2)
    assert eta.left(plan(longer), 1) == f"about {sum(kept) * 2:.0f} s left, and 1 cell of unknown time"


def test_a_start_and_a_time_by_the_step_are_told_apart():
    eta = Eta()
    for steps, seconds in ((100, 30.0), (300, 50.0)):
        eta.note(Work("fit", f"row of {steps}", "m", "3", steps), seconds, 10.0)
    (key, *_) = Work("fit", "another", "m", "8", 800).likeness
    assert key not in eta.measured
    assert eta.expected_s(Work("fit", "another", "m", "8", 800)) == pytest.approx(20.0 + 80.0 + 10.0)
    assert eta.expected_s(Work("fit", "row of 100", "m", "3", 200)) == pytest.approx(60.0 + 10.0)
    assert eta.expected_s(Work("fit", "another", "n", "8", 800, size=(1024,))) is None


def test_a_table_that_nothing_is_kept_for_says_how_to_measure_it(results, tmp_path):
    said = "Not measured yet: `bash scripts/paper.sh --only two`."
    empty = with_tables("before\n<!-- table: two brief -->\n1.00\n<!-- end -->\nafter", results)
    assert empty == f"before\n<!-- table: two brief -->\n{said}\n<!-- end -->\nafter"
    keep_benchmark(tmp_path / "run", results)
    assert said not in with_tables(empty, results)
    with pytest.raises(InputError, match="keep that result first"):
        kept_markdown(results, "nothing")


def test_a_view_that_there_is_not(results, tmp_path):
    keep_benchmark(tmp_path / "run", results)
    with pytest.raises(InputError, match="no table 'breif': take all, brief"):
        kept_markdown(results, "two", "breif")


def test_a_measurement_that_is_no_benchmark(tmp_path):
    origin = Origin("python scripts/x.py", "0.2.0", (0, 1), "CPU", "Seconds", digits={"s": 1})
    keep_table(tmp_path / "x.csv", pd.DataFrame({"method": ["a", "b"], "s": [1.25, None], "steps": [3, 4]}), origin)
    lines = kept_markdown(tmp_path, "x").splitlines()
    assert lines[0] == "`python scripts/x.py`, version 0.2.0, seeds 0, 1, CPU. Seconds."
    assert lines[2:] == ["| method | s | steps |", "| --- | --- | --- |", "| a | 1.2 | 3 |", "| b | - | 4 |"]


def test_tables_outside_of_markers_are_found():
    by_hand = "| method | face mm |\n| --- | --- |\n| a | 1.00 |\n"
    assert tables_by_hand(by_hand) == ["| method | face mm |"]
    assert tables_by_hand(f"<!-- table: x -->\n{by_hand}<!-- end -->\n| method | what |\n|---|---|\n") == []
