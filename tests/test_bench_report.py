"""The tables of a benchmark against numbers worked out by hand."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bench_run import CURVES, DEFINITION, FRAME, all_results, floors, result

from baseh3d_ns.benchmark.beside_published import h3ds_scenes, published_scenes, reasons
from baseh3d_ns.benchmark.definition import DataSource, Row
from baseh3d_ns.benchmark.detail_tables import published_table, race_table, scan_table, unfinished_table
from baseh3d_ns.benchmark.error_tables import brief_table, change_table, difference_table, error_table, views_table
from baseh3d_ns.benchmark.markdown import to_markdown, views_in_words
from baseh3d_ns.benchmark.metrics import FLOOR_NAME, floor_note
from baseh3d_ns.benchmark.point import Point
from baseh3d_ns.benchmark.published import BASEH3D_SCANS, PUBLISHED
from baseh3d_ns.benchmark.report import charts
from baseh3d_ns.benchmark.results import curves_frame, read_curves, read_results, to_frame, write_csv
from baseh3d_ns.benchmark.statistics import by_scene, fits, mean_curve, mean_interval, paired_difference, summary
from baseh3d_ns.benchmark.tables import main_tables, markdown_tables

H3D_NET = {
    next(tag for tag in tags if tag.startswith("scan")): scene_id
    for scene_id, tags in h3ds_scenes("config_v1").items()
    if "h3d-net" in tags
}
ON_H3DS = replace(DEFINITION, scenes=("h3d-net",), data=DataSource(Path("h3ds")))


def cells(table) -> dict[str, dict[str, str]]:
    """Rows by their first cell, cells by their heading."""
    return {row[0]: dict(zip(table.header, row, strict=True)) for row in table.rows}


def h3ds_results(row="ours", **others):
    """Face error 1.50 mm, head 6 mm, on the ten scenes of the papers."""
    return [result(row, scan, 1.5, scene_id=scene_id, **others) for scan, scene_id in H3D_NET.items()]


def test_seeds_are_averaged_before_scenes():
    results = [result("ours", "a", face, seed=seed) for seed, face in enumerate((1.0, 2.0, 3.0))]
    results += [result("ours", "b", 6.0), result("ours", "b", 99.0, seed=1, status="failed")]
    values = by_scene(fits(to_frame(results), "ours", "3"), "face_mm")
    assert values.to_dict() == {"a": 2.0, "b": 6.0}
    assert summary(values).mean == 4.0 and summary(values).std == 2.0 and summary(values).scenes == 2
    none = by_scene(fits(to_frame(results), "ours", "4"), "face_mm")
    assert none.empty and summary(none) is None


def test_differences_are_paired():
    ours, theirs = pd.Series({"a": 1.0, "b": 2.0, "c": 50.0}), pd.Series({"d": 0.0, "b": 5.0, "a": 2.0})
    found = paired_difference(ours, theirs)
    assert found.mean == -2.0 and found.pairs == 2 and found.interval == (-3.0, -1.0)
    assert paired_difference(ours[:1], theirs).interval is None
    assert paired_difference(ours[2:], theirs) is None


def test_interval_is_that_of_the_mean():
    values = np.random.default_rng(1).normal(0.5, 1.0, 400)
    low, high = mean_interval(values)
    half = 1.96 * values.std() / 20.0
    assert low < values.mean() < high
    assert low == pytest.approx(values.mean() - half, abs=0.02) and high == pytest.approx(
        values.mean() + half, abs=0.02
    )
    assert mean_interval(values) == (low, high), "the same numbers, the same interval"
    assert mean_interval(np.full(5, 0.25)) == (0.25, 0.25), "no spread: BCa does not exist"


def test_mean_curve_takes_the_steps_all_have():
    first = (Point(10, 1.0, 4.0, 8.0), Point(20, 2.0, 3.0, 6.0))
    second = (Point(10, 3.0, 2.0, 4.0),)
    curves = curves_frame([result("ours", "a", 3.0, curve=first), result("ours", "b", 3.0, curve=second)])
    assert mean_curve(curves).to_numpy().tolist() == [[10.0, 2.0, 3.0, 6.0]]
    assert mean_curve(curves_frame([])).empty


def test_error_table():
    table = error_table(DEFINITION, FRAME, "3")
    ours = cells(table)["ours"]
    # Face 1 and 2, head 4 and 8; sample std would be 0.71.
    assert ours["face mm"] == "1.50 ± 0.50" and ours["head mm"] == "6.00 ± 2.00"
    assert ours["face rigid mm"] == "1.60 ± 0.50" and ours["head rigid mm"] == "6.10 ± 2.00"
    assert ours["scenes"] == "2 of 2" and ours["epochs"] == "100" and ours["seconds"] == "25"
    assert cells(table)["idr"]["face mm"] == "4.00 ± 1.00"
    assert ours["worst face / head mm"] == "2.00 / 8.00" and ours["worst rigid mm"] == "2.10 / 8.10"
    assert not [name for name in error_table(DEFINITION, FRAME[:1], "3").header if name.startswith("worst")]
    assert "ddof 0" in table.caption


def test_the_mean_says_over_how_many_scenes():
    results = [one for one in all_results() if (one.row, one.scene) != ("idr", "scan1")]
    idr = cells(error_table(DEFINITION, to_frame(results), "3"))["idr"]
    assert idr["scenes"] == "1 of 2" and idr["face mm"] == "3.00"
    differences = cells(difference_table(DEFINITION, to_frame(results), "3"))["idr"]
    assert differences["pairs"] == "1" and differences["face mm"] == "+2.00"


def test_difference_table():
    # 3 - 1 and 5 - 2.
    differences = cells(difference_table(DEFINITION, FRAME, "3"))
    assert list(differences) == ["idr"]
    assert differences["idr"]["face mm"] == "+2.50 [+2.00, +3.00]"
    assert differences["idr"]["head mm"] == "+10.00 [+8.00, +12.00]"


def test_the_floor_is_under_every_table():
    note = "Metric's own floor: face 0.20, head 0.80 mm, mean of 2 scenes."
    assert floor_note(DEFINITION, FRAME) == note
    assert floor_note(DEFINITION, to_frame(floors()[:1])).endswith("mean of 1 scene.")
    assert "not measured" in floor_note(DEFINITION, to_frame([result("ours", "scan0", 1.0)]))
    tables = [*main_tables(DEFINITION, FRAME, CURVES), scan_table(DEFINITION, FRAME, "3")]
    assert len(tables) == 6
    assert all(note in table.note for table in tables if not table.title.startswith(("Race", "Settings")))
    without = replace(DEFINITION, floor=False)
    assert FLOOR_NAME not in markdown_tables(without, to_frame(all_results()[:4]), CURVES).lower()
    (settings,) = (table for table in tables if table.title.startswith("Settings"))
    at = settings.header.index("rays a step")
    assert [(row[0], row[at]) for row in settings.rows] == [("ours", "1024"), ("idr", "2048")]
    assert markdown_tables(DEFINITION, FRAME, CURVES).count(note) == 4
    assert cells(scan_table(DEFINITION, FRAME, "3"))["scan1"] == {
        "scan": "scan1",
        "ours": "2.00 / 8.00",
        "idr": "5.00 / 20.00",
        FLOOR_NAME: "0.20 / 0.80",
    }


def test_published_number_difference_and_reason():
    ours = cells(published_table(DEFINITION, FRAME, "3"))["ours"]
    assert ours["published"] == "BaseH3D-Net: 1.48 ± 0.30 / 10.65 ± 3.42"
    assert ours["ours"] == "1.50 ± 0.50 / 6.00 ± 2.00" and ours["ours - published"] == "+0.02 / -4.65"
    assert ours["reason"] == "published on the ten h3d-net scenes, ours on 2 synthetic ones"
    assert not published_table(DEFINITION, FRAME, "4").rows, "nothing is published for 4 views"


def test_published_scene_sets():
    assert len(H3D_NET) == 10 and set(H3D_NET) == set(BASEH3D_SCANS)
    assert published_scenes(PUBLISHED["BaseH3D-Net"]) == set(H3D_NET.values())
    assert len(published_scenes(PUBLISHED["SIRA++"])) == 23
    assert len(published_scenes(PUBLISHED["SIRA++ (v2)"])) == 59
    assert published_scenes(PUBLISHED["prior scan 2, 500"]) == {H3D_NET["scan3"]}


@pytest.mark.parametrize(
    ("name", "count", "config", "expected"),
    [
        ("BaseH3D-Net", 10, "config_v1", "same scenes and evaluation: another method or implementation, other priors"),
        ("BaseH3D-Net", 10, "config_v2", "other evaluation: published with config_v1, ours with config_v2"),
        (
            "BaseH3D-Net",
            3,
            "config_v1",
            "published on the ten h3d-net scenes, ours on scan3, scan6, scan7; fewer scenes finished: 3 of 10",
        ),
        (
            "InstantAvatar",
            10,
            "config_v1",
            "published on the 23 scenes of config_v1, ours on 10 of H3DS; other evaluation: its own",
        ),
        ("prior scan 2, 500", 1, "config_v1", "fewer scenes finished: 1 of 10"),
    ],
)
def test_reasons(name, count, config, expected):
    done = h3ds_results(config=config)[:count]
    assert reasons(PUBLISHED[name], ON_H3DS, to_frame(done), 10) == expected


def test_published_scans_are_beside_ours():
    # A synthetic scan3 has another id than that of H3DS: no published number belongs to it.
    failed = result("idr", "scan16", None, status="failed", scene_id="scan16")
    table = scan_table(ON_H3DS, to_frame([*h3ds_results(), failed, result("ours", "scan100", 1.5)]), "3")
    rows = cells(table)
    assert rows["scan16"]["BaseH3D-Net, published"] == "1.42 / 18.67"
    assert rows["scan16"]["ours"] == "1.50 / 6.00"
    assert rows["scan100"]["BaseH3D-Net, published"] == "-"
    synthetic = [result("ours", "scan3", 1.5)]
    assert (
        "BaseH3D-Net, published"
        not in scan_table(replace(DEFINITION, scenes=("scan3",)), to_frame(synthetic), "3").header
    )
    assert "BaseH3D-Net, published" not in scan_table(ON_H3DS, to_frame(h3ds_results(views="4")), "4").header


def test_a_published_scan_of_the_prior_sweep():
    sweep = replace(ON_H3DS, rows=(Row("ours", "baseh3d", published="prior scan 1, 500"),), scenes=("scan3",))
    rows = cells(scan_table(sweep, to_frame(h3ds_results()[:1]), "3"))
    assert rows["scan3"]["prior scan 1, 500, published"] == "1.91 / 9.96"


def test_unfinished_cells_are_listed():
    results = [one for one in all_results() if one.scene != "scan1"]
    results.append(result("idr", "scan1", None, status="failed", reason="CUDA out of memory"))
    rows = unfinished_table(DEFINITION, to_frame(results)).rows
    assert ("idr", "scan1", "3", "0", "failed", "CUDA out of memory") in rows
    assert ("ours", "scan1", "3", "0", "missing", "no result yet") in rows
    assert (FLOOR_NAME, "scan1", "", "0", "missing", "no result yet") in rows and len(rows) == 3
    assert "CUDA out of memory" in markdown_tables(DEFINITION, to_frame(results), CURVES)
    assert "Not finished" not in markdown_tables(DEFINITION, FRAME, CURVES)
    all_scenes = replace(DEFINITION, scenes=("all",))
    assert ("idr", "scan0, scan1", "3", "0", "missing", "no result yet") in unfinished_table(
        all_scenes, to_frame([])
    ).rows


def test_several_views_are_columns():
    definition = replace(DEFINITION, views=("1", "3"), rows=(Row("ours", "idr", published="IDR"),))
    results = [result("ours", "scan0", 2.0, views="1"), *all_results()]
    table = views_table(definition, to_frame(results))
    assert table.header == ("method", "1 view", "3 views")
    assert cells(table)["ours"]["1 view"] == "2.00 / 8.00 (1)"
    assert cells(table)["ours"]["3 views"] == "1.50 ± 0.50 / 6.00 ± 2.00 (2)"
    assert cells(table)["IDR, published"] == {"method": "IDR, published", "1 view": "-", "3 views": "2.79 / 14.58"}
    assert [one.title for one in main_tables(definition, to_frame(results), CURVES)] == [
        "Errors against views",
        "Errors, 1 view",
        "Errors, 3 views",
        "Beside published numbers, 3 views",
    ]
    assert views_in_words("all") == "all views" and views_in_words("0,4") == "views 0,4"


def test_tables_from_a_csv_are_the_same(tmp_path):
    write_csv(tmp_path / "results.csv", FRAME)
    write_csv(tmp_path / "curves.csv", CURVES)
    frame, curves = read_results(tmp_path / "results.csv"), read_curves(tmp_path / "curves.csv")
    assert markdown_tables(DEFINITION, frame, curves) == markdown_tables(DEFINITION, FRAME, CURVES)
    pd.testing.assert_frame_equal(read_results(tmp_path / "results.csv"), FRAME)
    assert read_curves(tmp_path / "none.csv").empty


def test_no_result_yet():
    text = markdown_tables(DEFINITION, to_frame([]), curves_frame([]))
    assert "| ours | 0 of 2 | - | - | - | - | - | - | - |" in text and "ours not finished" in text


def test_markdown_is_a_table():
    text = to_markdown(error_table(replace(DEFINITION, rows=(Row("a|b", "idr"),)), to_frame(floors()), "3"))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert lines[2].startswith("| a\\|b | 0 of 2 |")
    rows = list(csv.reader([lines[0], lines[1]], delimiter="|"))
    assert len(rows[0]) == len(rows[1]) and text.splitlines()[0].startswith("**Errors, 3 views.**")


def test_brief_table_is_one_line_a_row_and_view_configuration():
    definition = replace(DEFINITION, rows=(*DEFINITION.rows, Row("one view", "idr", views=("1",))))
    frame = to_frame([*all_results(), result("one view", "scan0", 2.5, views="1", train_s=7.0)])
    rows = brief_table(definition, frame).rows
    assert rows[0] == ("ours", "3 views", "1.50", "6.00", "1.60", "6.10", "25")
    assert rows[2] == ("one view", "1 view", "2.50", "10.00", "2.60", "10.10", "7") and len(rows) == 3
    assert [row[0] for row in error_table(definition, frame, "1").rows] == ["one view"]


def test_changed_heads_are_beside_the_unchanged():
    data = replace(DEFINITION.data, changes=("as it is", "badly captured"))
    frame = to_frame(
        result("ours", f"{scene}, {change}", face, change=change)
        for scene in ("scan0", "scan1")
        for change, face in (("as it is", 1.0), ("badly captured", 1.65))
    )
    rows = change_table(replace(DEFINITION, data=data), frame, "3").rows
    assert rows[0] == ("as it is", "ours", "1.00 / 4.00", "1.10 / 4.10", "1.00")
    assert rows[1] == ("badly captured", "ours", "1.65 / 6.60", "1.75 / 6.70", "1.59")
    assert rows[2][2] == "- / -", "idr has no result"


def test_changed_copies_are_no_scenes():
    """Tables over scenes take the first change alone, as if there were no others."""
    changes = ("as it is", "badly captured")
    data = replace(DEFINITION.data, changes=changes)
    copies = [
        replace(one, scene=f"{one.scene}, {change}", change=change, face_mm=one.face_mm + worse)
        for one in all_results()
        for change, worse in zip(changes, (0.0, 10.0), strict=True)
    ]
    definition, frame, curves = replace(DEFINITION, data=data), to_frame(copies), curves_frame(copies)
    for make in (brief_table, lambda *those: error_table(*those, "3"), lambda *those: difference_table(*those, "3")):
        alone = make(DEFINITION, FRAME)
        assert make(definition, frame) == replace(alone, caption=f"{alone.caption} Heads 'as it is' alone.")
    assert (
        cells(published_table(definition, frame, "3"))["ours"] == cells(published_table(DEFINITION, FRAME, "3"))["ours"]
    )
    assert race_table(definition, curves, "3").rows == race_table(DEFINITION, CURVES, "3").rows
    assert views_table(definition, frame).rows == views_table(DEFINITION, FRAME).rows
    note = floor_note(DEFINITION, FRAME).removesuffix(".") + ", heads 'as it is' alone."
    assert "mean of 2 scenes" in note
    assert {make(definition, frame, "3").note for make in (change_table, scan_table)} == {note}
    assert charts(definition, frame, curves)["time"] == charts(DEFINITION, FRAME, CURVES)["time"]
    assert len(scan_table(definition, frame, "3").rows) == 4, "every copy is in the table of every scan"


def test_a_changed_head_is_compared_on_the_scenes_that_have_both():
    """The hardest head failed where it was badly captured: the others became a tenth worse, by their means of seeds."""
    data = replace(DEFINITION.data, changes=("as it is", "badly captured"))
    frame = to_frame(
        result("ours", f"{scene}, {change}", factor * (face + 0.1) - 0.1, change=change, seed=seed)
        for scene, face, seeds in (("scan0", 1.0, (0,)), ("scan1", 2.0, (0, 1)), ("scan2", 9.0, (0,)))
        for seed in seeds
        for change, factor in (("as it is", 1.0), ("badly captured", 1.1))
        if (scene, change) != ("scan2", "badly captured")
    )
    rows = change_table(replace(DEFINITION, data=data), frame, "3").rows
    assert rows[0] == ("as it is", "ours", "4.00 / 16.00", "4.10 / 16.10", "1.00")
    assert rows[1][-1] == "1.10" and rows[1][3].startswith("1.76 / ")


def test_race_says_when_the_face_was_as_good_as_the_end_of_the_first_row():
    definition = replace(DEFINITION, rows=DEFINITION.rows[::-1])
    slow = (Point(50, 40.0, 5.0, 9.0), Point(100, 80.0, 3.0, 8.0))
    fast = (Point(1, 2.0, 4.0, 9.0), Point(20, 5.0, 2.9, 6.0), Point(40, 8.0, 1.5, 4.0))
    results = [result("idr", "scan0", 3.0, curve=slow), result("ours", "scan0", 1.5, curve=fast)]
    (row,) = race_table(definition, curves_frame(results), "3").rows
    assert row == ("scan0", "ours", "1.50 / 4.00", "8", "3.00 / 8.00", "80", "0.50, 0.50", "5.0", "0.06")
    both = [*results, *(replace(one, scene="scan1") for one in results)]
    *_, mean = race_table(definition, curves_frame(both), "3").rows
    assert mean == ("mean", *row[1:])
    never = [results[0], result("ours", "scan0", 1.5, curve=slow[:1])]
    assert race_table(definition, curves_frame(never), "3").rows[0][-2:] == ("-", "-")
    *_, mean = race_table(
        definition, curves_frame([*results, *(replace(one, scene="scan1") for one in never)]), "3"
    ).rows
    assert mean[0] == "mean" and mean[-2:] == ("-", "-")
    assert race_table(definition, curves_frame(results[:1]), "3").rows == ()
