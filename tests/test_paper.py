"""The paper run: stopped in the middle, finished, and then with nothing left to do."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from baseh3d_ns import __version__
from baseh3d_ns.benchmark.cells import CellFile, blank_result
from baseh3d_ns.benchmark.eta import Eta
from baseh3d_ns.benchmark.kept import Origin, is_current, keep, keep_table, read_origin
from baseh3d_ns.benchmark.plan import plan
from baseh3d_ns.benchmark.read_definition import read_definition
from baseh3d_ns.benchmark.sweep import Sweep
from baseh3d_ns.benchmark.tables_in_md import md_files
from baseh3d_ns.errors import InputError

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO / "scripts"))

import paper  # noqa: E402
from paper import PARTS, Benchmark, Paper, Part, plan_in_words  # noqa: E402


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder like the repository's, with the definitions and nothing kept."""
    shutil.copytree(REPO / "configs", tmp_path / "configs", ignore=shutil.ignore_patterns("results"))
    (tmp_path / "configs" / "results").mkdir()
    monkeypatch.chdir(tmp_path)
    table = Origin("x", __version__, (0,), "CPU", "Seconds")
    keep_table(tmp_path / "made.csv", pd.DataFrame({"method": ["a"], "s": [1]}), table)
    return tmp_path


def test_every_part_is_there():
    for part in PARTS:
        for word in part.command.split():
            if part.folder and word.startswith(("scripts/", "configs/")):
                assert (REPO / word).is_file(), word
        definition = REPO / "configs" / f"{part.name}.toml"
        if part.command.startswith("baseh3d bench"):
            assert read_definition(definition).data.synthetic, "a part makes its own data"
    names = {part.name for part in PARTS if part.folder}
    made = {target for part in PARTS for target in (*part.pictures[1::2], *part.command.split())}
    for file in md_files(REPO):
        tables = re.findall(r"^<!-- table: (\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
        assert set(tables) <= names, "a table that no part makes"
        shown = re.findall(r"!\[[^]]*\]\(([^)]+)\)", file.read_text(encoding="utf-8"))
        assert {os.path.relpath(file.parent / name, REPO) for name in shown} <= made, "a picture that no part makes"


def test_what_is_stopped_goes_on_and_what_is_done_is_not_done_again(here, capsys):
    """The first command fails once, after it has written half; the second makes a picture."""
    once = "echo . >>calls; [ -f half ] || { touch half; exit 1; }; mkdir -p t; cp made.csv t/t.csv"
    once += "; cp made.json t/t.json"
    picture = Part("picture", "echo . >>calls; touch a.png", pictures=("a.png", "b.png"), minutes=1)
    parts = (Part("t", once, "t", minutes=1), picture)
    with pytest.raises(InputError, match="the part t is not finished"):
        Paper().main(parts)
    assert len((here / "calls").read_text().split()) == 2 and (here / "b.png").is_file()
    assert not is_current(paper.RESULTS, "t")
    Paper().main(parts)
    assert len((here / "calls").read_text().split()) == 3 and is_current(paper.RESULTS, "t")
    Paper().main(parts)
    assert len((here / "calls").read_text().split()) == 3, "nothing is left to do"
    assert "All of it took" in capsys.readouterr().out
    assert parts[0].spent_s() > 0 and parts[0].done() and parts[1].done()


def test_the_tables_of_what_is_done_are_written_while_other_parts_fail_or_are_left_out(here):
    file = here / "README.md"
    file.write_text("<!-- table: t -->\n<!-- end -->\n<!-- table: fails -->\n<!-- end -->\n")
    made = Part("t", "mkdir -p t; cp made.csv t/t.csv; cp made.json t/t.json", "t")
    with pytest.raises(InputError, match="the part fails is not finished"):
        Paper().main((made, Part("fails", "exit 1", "f")))
    text = file.read_text()
    assert "| a | 1 |" in text and "Not measured yet: `bash scripts/paper.sh --only fails`." in text
    file.write_text(text.replace("| a | 1 |", "| a | 2 |"))
    Paper(only=("t",)).main((made, Part("left", "exit 1", "l")))
    assert "| a | 1 |" in file.read_text()


def test_a_stopped_benchmark_goes_on_in_another_checkout(here, monkeypatch):
    definition = read_definition(here / "configs" / "synthetic_small.toml")
    cells = plan(definition)
    fit, prior = (next(cell for cell in cells if cell.kind == kind) for kind in ("fit", "prior"))
    run = here / "run"
    for cell in (fit, prior):
        result = replace(blank_result(CellFile(cell.id, cell.spec)), status="done", face_mm=1.0, train_s=7.0)
        result.save(cell.prepare(run))
    part = Benchmark(definition.name, "exit 1", "run")
    with pytest.raises(InputError, match="is not finished"):
        part.make()
    shutil.rmtree(run)
    fit.prepare(run)  # begun here as well, and stopped
    before = part.left_s(Eta())
    with pytest.raises(InputError, match="is not finished"):
        part.make()
    sweep = Sweep(definition, cells, run)
    assert sweep.done.keys() == {fit.id}, "the prior's file was left behind"
    assert sweep.done[fit.id].face_mm == 1.0 and fit not in sweep.open_cells()
    assert part.left_s(Eta()) == before and before[1] < len(cells) - 1, "kept times say how long the others take"
    monkeypatch.setattr(paper, "KEPT_EVERY_S", 0.1)
    kept = part.unfinished.rename(here / "kept.jsonl").read_text()
    waits = f"timeout 10 bash -c 'until [ -s {part.unfinished} ]; do sleep 0.1; done'; touch seen; exit 1"
    with pytest.raises(InputError, match="is not finished"):
        replace(part, command=waits).make()
    assert (here / "seen").exists() and part.unfinished.read_text() == kept, "scores are kept while a benchmark runs"
    part.unfinished.write_text("{}")
    with pytest.raises(InputError, match=r"synthetic_small.jsonl is damaged: take it from git again"):
        part.make()


def test_numbers_of_another_version_or_definition_are_not_current(here):
    results = here / "configs" / "results"
    keep(make_run(here), results, "python x.py")
    assert is_current(results, "made") and not is_current(results, "other")
    origin = read_origin(results, "made")
    assert origin.command == "python x.py"
    table = pd.read_csv(results / "made.csv")
    keep_table(results / "made.csv", table, replace(origin, version="0.1.10"))
    assert not is_current(results, "made")
    keep_table(results / "made.csv", table, replace(origin, benchmark=True, definition="0"))
    assert not is_current(results, "made")
    with pytest.raises(InputError, match="holds neither a benchmark nor the tables of a script"):
        keep(here / "configs", results)


def make_run(here: Path) -> Path:
    (here / "run").mkdir()
    for name in ("made.csv", "made.json"):
        shutil.copy(here / name, here / "run")
    return here / "run"


def test_the_plan_sums_what_is_known(here):
    text = plan_in_words((Part("a", "", "a", minutes=90), Part("b", "", "b", minutes=60)))
    assert "a                             about 90 min" in text and text.endswith("0 s so far; left: about 2.5 h")


def test_the_plan_names_every_part_and_the_sum(here):
    text = plan_in_words(PARTS)
    assert all(f"  {part.name} " in text for part in PARTS) and "left: about" in text


def test_a_part_that_there_is_not(here):
    with pytest.raises(InputError, match="no part 'mian': take demo, "):
        Paper(only=("mian",)).main()


@pytest.mark.parametrize("script", sorted((REPO / "scripts").glob("*.py")), ids=lambda script: script.stem)
def test_every_script_finds_what_it_imports(script):
    """A person alone runs the rest of most of them."""
    importlib.import_module(script.stem)
