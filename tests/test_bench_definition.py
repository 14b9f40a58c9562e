"""Definitions of benchmarks: what is wrong is said before anything runs, and a cell is what decides its result."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import toml

from baseh3d_ns.benchmark import external_methods
from baseh3d_ns.benchmark.cells import Cell, FitSpec, SceneId
from baseh3d_ns.benchmark.check_trainings import check_trainings
from baseh3d_ns.benchmark.commands import length
from baseh3d_ns.benchmark.content import content_of, content_of_heads
from baseh3d_ns.benchmark.definition import PriorRun, Row, SnapshotRef
from baseh3d_ns.benchmark.eta import Eta
from baseh3d_ns.benchmark.markdown import Table
from baseh3d_ns.benchmark.plan import plan
from baseh3d_ns.benchmark.published import BASEH3D_SCANS, PUBLISHED
from baseh3d_ns.benchmark.read_definition import read_definition
from baseh3d_ns.benchmark.run_folder import dry_run_report, open_sweep, reopen_sweep
from baseh3d_ns.benchmark.unequal_settings import settings_table
from baseh3d_ns.commands.benchmarks import Bench
from baseh3d_ns.data.h3ds_package import ConfigsHelper
from baseh3d_ns.errors import InputError
from baseh3d_ns.heads.readers import BUILTIN_FILE

CONFIGS = Path(__file__).parents[1] / "configs"
SMALL = CONFIGS / "synthetic_small.toml"


def h3ds_shaped(root: Path, version: int) -> Path:
    """The folders of H3DS with the real scene ids, and no photos in them."""
    table = toml.load(ConfigsHelper.get_config_file(f"config_v{version}"))
    for scene in table["scenes"]:
        (root / scene).mkdir(parents=True)
        (root / scene / "full_head.obj").touch()
    (root / "version.txt").write_text(str(table["version"]) + "\n")
    return root


def changed(tmp_path: Path, old: str, new: str) -> Path:
    text = SMALL.read_text()
    assert old in text
    (tmp_path / "changed.toml").write_text(text.replace(old, new))
    return tmp_path / "changed.toml"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_definition_of_any_editor_says_the_same(encoding, tmp_path):
    (tmp_path / "small.toml").write_bytes(SMALL.read_text().replace("\n", "\r\n").encode(encoding))
    assert read_definition(tmp_path / "small.toml") == read_definition(SMALL)


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.toml")), ids=lambda file: file.stem)
def test_every_definition_passes_a_dry_run(file, tmp_path):
    definition = read_definition(file)
    assert definition.name == file.stem
    data = None
    if definition.data.synthetic is None:
        data = h3ds_shaped(tmp_path / "h3ds", 2 if "1" in definition.all_views else 1)
    definition = definition.on(data)
    check_trainings(definition, file)
    cells = plan(definition)
    text = dry_run_report(definition, cells, tmp_path / "out", 1, Eta())
    fits = [cell for cell in cells if cell.kind == "fit"]
    scenes = {cell.scene for cell in fits}
    views = sum(len(definition.views_of(row)) for row in definition.rows)
    assert len(fits) == len(scenes) * views * len(definition.seeds)
    assert all(cell.label in text for cell in cells) and f"{len(cells)} cells to run" in text
    assert not (tmp_path / "out").exists()
    expected = {"h3ds_table2_methods": set(BASEH3D_SCANS), "h3ds_table1_prior_sweep": {"scan3"}}
    assert scenes == expected.get(definition.name, scenes)
    if definition.name == "h3ds_v2":
        assert len(scenes) == 59


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("epochs = 8", "epoch = 8", "unknown key 'epoch'; nearest: epochs"),
        ("epochs = 8", 'epochs = "8"', "epochs is '8': input should be a valid integer"),
        ("curve = [0.5]", "curve = 0.5", "curve is 0.5: input should be a valid array"),
        ("curve = [0.5]", "curve = [1.5]", "is 1.5: input should be less than 1"),
        ('scenes = ["scan1"]', "scenes = []", "scenes is []: tuple should have at least 1 item"),
        ('title = "', 'titel = "', "unknown key 'titel'; nearest: title"),
        ('method = "neus-facto"', 'method = "neus-facta"', "no method 'neus-facta'; nearest: neus-facto"),
        ("num-rays-per-batch", "num-ray-per-batch", "nearest to 'train_num_ray_per_batch': train_num_rays_per_batch"),
        ('name = "builtin"', 'name = "one head"', "two rows are called 'one head'"),
        ("one_head@6", "one_haed@6", "no prior 'one_haed@6'; nearest: one_head"),
        ("one_head@6", "one_head@7", "kept after [6, 12] epochs, not after 7"),
        ("synthetic = {", 'path = "x"\nsynthetic = {', "give either path or synthetic"),
        ('name = "builtin"', 'name = "b"\npublished = "IDL"', "nothing published as 'IDL'; nearest: IDR"),
        ("subjects = ", "subjects = -", "subjects is -2: input should be greater than or equal to 1"),
        ("[data]", "[data", "is not TOML"),
        ('name = "synthetic_small"', 'name = "../small"', "name is '../small': string should match"),
        ('name = "synthetic_small"', f'name = "{300 * "a"}"', "string should have at most 100 characters"),
        (
            'prior = "builtin"',
            'options = {"load_prior" = "x"}',
            "'load_prior' is set by the benchmark: say it by prior = ...",
        ),
        ('prior = "builtin"', 'options = {"data" = "x"}', "'data' is set by the benchmark: say it by [data]"),
        ('prior = "builtin"', 'options = {"epochs" = 3}', "drop it, the row or the definition says epochs = ..."),
        ("[options]", '[options]\n"machine.seed" = 3', "row 'one head': its option 'machine.seed' is set"),
        *(
            ('prior = "builtin"', f'options = {{"{name}" = "x"}}', f"'{name}' is set by the benchmark: {remedy}")
            for name, remedy in (
                ("pipeline.datamanager.data", "say it by [data]"),
                ("machine.seed", "say it by seeds"),
                ("output-dir", "say the folder of all results by --out"),
                ("experiment-name", "say the folder of all results by --out"),
                ("timestamp", "say the folder of all results by --out"),
            )
        ),
        *(
            (
                "epochs = 12",
                f'epochs = 12\noptions = {{"{name}" = "x"}}',
                f"[priors.one_head]: its option '{name}' is set",
            )
            for name in ("data", "pipeline.datamanager.data", "pipeline.datamanager.scenes", "load-prior", "epochs")
        ),
        (
            "epochs = 12",
            'epochs = 12\noptions = {"snapshot-epochs" = [6]}',
            "is set by the benchmark: say it by snapshots",
        ),
        ("epochs = 12", 'epochs = 12\noptions = {"machine.seed" = 3}', "or by seed of a prior"),
        ("views = 8", "views = 2", "[data.synthetic]: --views is 2, but a subject needs at least 3 views"),
        ("size = 64", "size = 8", "[data.synthetic]: --size is 8, but photographs need at least 32 pixels"),
        ("epochs = 8", "epochs = 8\nseeds = [-1]", "is -1: input should be greater than or equal to 0"),
        ("seed = 7", "seed = 4294967296", "seed is 4294967296: input should be less than 4294967296"),
        ("spacing_mm = 2.0", "spacing_mm = inf", "spacing_mm is inf: input should be a finite number"),
        ('batch" = 256', 'batch" = 0', "--pipeline.datamanager.train-num-rays-per-batch 0 is out of range"),
        ('batch" = 256', 'batch" = nan', "nan is no finite number"),
        ("[data]", "[data]\ndownscale = 0.5", "downscale is 0.5: input should be greater than or equal to 1"),
        ('scene = "scan0"', "", "name the scene it is of"),
        ('method = "neus-facto"', "", "row 3: 'method' is missing: add it"),
        ("epochs = 12", "epoch = 12", "[priors.one_head]: unknown key 'epoch'; nearest: epochs"),
        ("subjects = 2", "subject = 2", "[data.synthetic]: unknown key 'subject'; nearest: subjects"),
        ("[data]", '[data]\nchanges = ["cropped"]', "no change 'cropped'; nearest: cropped at the neck"),
        ("snapshots = [6]", "snapshots = [6, 13]", "between 1 and its 12 epochs"),
        ('method = "baseh3d-fast-prior"', 'method = "h3dnet-fast-prior"', "leave out scene, epochs and snapshots"),
        ('method = "baseh3d-fast-prior"', 'method = "idr"', "idr writes no prior"),
        ('method = "neus-facto"', 'method = "h3dnet-prior"', "learns many heads, and is no row: say it by [priors]"),
        (
            'prior = "builtin"',
            "options.pipeline.model.photos.weight = 0.5",
            'option pipeline.model.photos.weight has no quotes: write "pipeline.model.photos.weight" = 0.5',
        ),
        ('prior = "builtin"', "options.pipeline.model = {}", "option pipeline.model is an empty table: drop it"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, old, new, said):
    with pytest.raises(InputError) as error:
        read_definition(changed(tmp_path, old, new))
    assert said in str(error.value) and "changed.toml" in str(error.value)


PHOTOS, TRACER, SDF = "pipeline.model.photos.weight", "pipeline.model.tracer", "pipeline.model.sdf-field.sdf"
COLOURS = "warm-start.colours.steps"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            'prior = "builtin"',
            f'options = {{"{PHOTOS}" = "0,5"}}',
            "row 'builtin': .* could not convert string to float",
        ),
        ('prior = "builtin"', f'options = {{"{TRACER}" = "spehre"}}', "row 'builtin': .*invalid choice 'spehre'"),
        ("epochs = 12", f'epochs = 12\noptions = {{"{TRACER}" = "spehre"}}', r"\[priors.one_head\]: .* 'spehre'"),
        ('"baseh3d-fast-prior"', '"baseh3d-prior"', "row 'one head': prior 'one_head' holds an SDF of 8 x 512"),
        (
            'method = "baseh3d-fast"',
            'method = "h3dnet-fast"',
            "row 'one head': prior 'one_head' is the prior of one head",
        ),
        ('prior = "builtin"', f'prior = "{BUILTIN_FILE.parent}"', "row 'builtin': .* holds neither"),
        ('method = "baseh3d-fast"', 'method = "idr"', "row 'one head': idr starts from nothing: leave out prior"),
        ('method = "neus-facto"', 'method = "neus-facto"\nprior = "builtin"', ".*neus-facto starts from nothing"),
        ('method = "neus-facto"', 'method = "h3dnet"', ".*h3dnet starts from a prior: say prior = ..."),
        ('prior = "builtin"', f'options = {{"{SDF}.width" = 39}}', "row 'builtin': --.*sdf.width"),
        ('prior = "builtin"', f'options = {{"{SDF}.octaves" = 30}}', "row 'builtin': --.*sdf.width"),
        ("epochs = 12", f'epochs = 12\noptions = {{"{SDF}.width" = 20}}', r"\[priors.one_head\]: --.*sdf.width"),
        ('prior = "builtin"', f'options = {{"{SDF}.sphere-radius" = 0.4}}', "row 'builtin': --.*sphere-radius: a fit"),
        ('prior = "builtin"', f'options = {{"carry-optimizer" = true, "{COLOURS}" = 9}}', "row 'builtin': --carry-opt"),
        ('prior = "builtin"', 'options = {"load-checkpoint" = "gone.ckpt"}', "row 'builtin': no such checkpoint: gone"),
    ],
)
def test_a_fit_that_cannot_start_is_refused_before_its_prior_is_trained(old, new, said, tmp_path):
    with pytest.raises(InputError, match=f"changed.toml, {said}"):
        Bench(changed(tmp_path, old, new), dry_run=True).main()


def test_a_row_that_goes_on_from_a_checkpoint_needs_no_prior(tmp_path, capsys):
    checkpoint = tmp_path / "step-000000009.ckpt"
    checkpoint.touch()
    row = f'method = "h3dnet"\noptions = {{"load-checkpoint" = "{checkpoint}"}}'
    Bench(changed(tmp_path, 'method = "neus-facto"', row), dry_run=True).main()
    assert "neus-facto, scan1" in capsys.readouterr().out


@pytest.mark.parametrize("row", ['method = "neus-facto"\nprior = "builtin"', 'method = "h3dnet"'])
def test_a_report_shows_what_is_finished_beside_rows_that_cannot_start(row, tmp_path):
    file = changed(tmp_path, 'method = "neus-facto"', row)
    definition = read_definition(file)
    open_sweep(file, definition, cells := plan(definition), tmp_path / "run", Eta())
    assert [cell.id for cell in reopen_sweep(tmp_path / "run").cells] == [cell.id for cell in cells]


def test_a_method_that_cannot_run_here_is_skipped_and_not_checked(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(external_methods.importlib.util, "find_spec", lambda _: None)
    row = 'method = "neus-facto"\noptions = {"mixed-precision" = "perhaps"}'
    Bench(changed(tmp_path, 'method = "neus-facto"', row), dry_run=True).main()
    assert "neus-facto, scan1" in capsys.readouterr().out


def test_a_definition_that_is_nested_too_deep_is_named(tmp_path):
    (tmp_path / "deep.toml").write_text("a = " + 20000 * "[")
    with pytest.raises(InputError, match=r"deep.toml is not TOML"):
        read_definition(tmp_path / "deep.toml")


def test_a_definition_that_is_not_there_names_the_nearest():
    with pytest.raises(InputError, match="nearest: synthetic_small.toml"):
        read_definition(CONFIGS / "synthetic_smal.toml")


@pytest.mark.parametrize("views", ["5", "3,99", "32"])
def test_views_that_synthetic_data_will_not_have(tmp_path, views):
    file = changed(tmp_path, 'views = ["3"]', f'views = ["{views}"]')
    with pytest.raises(InputError, match="scan0 of synthetic_small"):
        plan(read_definition(file))


def test_a_scene_that_the_data_lack(tmp_path, tiny_root):
    with pytest.raises(InputError, match="lack 'scan7'; nearest: scan"):
        plan(read_definition(changed(tmp_path, '["scan1"]', '["scan7"]')))
    with pytest.raises(InputError, match="no scene 'nobody'"):
        plan(on_root(tmp_path, tiny_root, '["nobody"]'))


def test_scenes_that_were_not_unzipped(tmp_path):
    root = h3ds_shaped(tmp_path / "h3ds", 1)
    shutil.rmtree(root / "1b2a8613401e42a8")
    with pytest.raises(InputError, match=r"lacks 1 of the scenes \(scan3\)"):
        plan(read_definition(CONFIGS / "h3ds_table2_methods.toml").on(root))


def test_the_scene_of_a_pre_training_that_was_not_unzipped(tmp_path):
    root = h3ds_shaped(tmp_path / "h3ds", 1)
    shutil.rmtree(root / "168f8ca5c2dce5bc")
    with pytest.raises(InputError, match="lacks scan2, which the prior 'scan2' is of"):
        plan(read_definition(CONFIGS / "h3ds_table2_methods.toml").on(root))


def test_a_shape_space_is_another_when_more_scans_were_unzipped(tmp_path):
    root = h3ds_shaped(tmp_path / "h3ds", 1)
    definition = read_definition(CONFIGS / "h3ds_table2_methods.toml").on(root)
    before = {cell.label: cell.id for cell in plan(definition)}
    shutil.rmtree(root / "0cd3f3c0bc34a287")
    after = {cell.label: cell.id for cell in plan(definition)}
    changed_cells = {label for label in before if before[label] != after[label]}
    assert changed_cells == {label for label in before if label.startswith(("h3dnet", "prior heads"))}


def shape_space_cell(tmp_path: Path, root: Path, scenes: str) -> Cell:
    """The pre-training of a shape space by a definition that is tested on those scenes."""
    definition = on_root(tmp_path, root, scenes)
    rows = (replace(definition.rows[0], prior="heads"),)
    definition = replace(definition, rows=rows, priors={"heads": PriorRun("h3dnet-fast-prior")})
    (cell,) = [cell for cell in plan(definition) if cell.kind == "prior"]
    return cell


def test_a_shape_space_is_not_learned_from_what_is_tested(tmp_path, tiny_root):
    assert [scan.name for scan in shape_space_cell(tmp_path, tiny_root, '["scan1"]').spec.scans] == ["00000000000000aa"]
    with pytest.raises(InputError, match="has no scan that the prior 'heads' may be learned from"):
        shape_space_cell(tmp_path, tiny_root, '["all"]')
    # Without a row that starts from it, it is not asked for.
    definition = on_root(tmp_path, tiny_root, '["all"]')
    assert plan(replace(definition, priors={**definition.priors, "heads": PriorRun("h3dnet-fast-prior")}))


def test_a_shape_space_of_another_scan_is_another(tmp_path, own_root):
    before = shape_space_cell(tmp_path, own_root, '["scan1"]')
    with next(own_root.glob("*00bb/full_head.obj")).open("a") as scan:
        scan.write("# not learned from\n")
    assert shape_space_cell(tmp_path, own_root, '["scan1"]').id == before.id
    with next(own_root.glob("*00aa/full_head.obj")).open("a") as scan:
        scan.write("# changed\n")
    assert shape_space_cell(tmp_path, own_root, '["scan1"]').id != before.id


def test_views_of_a_configuration_are_part_of_a_fit(tmp_path, own_root):
    ids = {cell.id for cell in plan(on_root(tmp_path, own_root, '["scan1"]')) if cell.kind == "fit"}
    config = own_root / "config.toml"
    table = toml.load(config)
    table["scenes"]["00000000000000bb"]["default_views_configs"]["3"] = [0, 1, 4]
    config.write_text(toml.dumps(table))
    assert not ids & {cell.id for cell in plan(on_root(tmp_path, own_root, '["scan1"]'))}


def test_a_row_without_a_prior_starts_from_its_methods_own():
    """Another built-in space is another result, also where the row does not name it."""
    definition = read_definition(SMALL)
    silent = replace(definition, rows=(replace(definition.rows[1], prior=None),))
    (cell,) = [cell for cell in plan(silent) if cell.kind == "fit"]
    assert cell.id in {cell.id for cell in plan(definition)}


def on_root(tmp_path: Path, root: Path, scenes: str):
    file = changed(tmp_path, "synthetic = {subjects = 2, views = 8, size = 64, seed = 7}", f'path = "{root}"')
    text = file.read_text().replace('["scan1"]', scenes)
    file.write_text(text)
    return read_definition(file)


def test_another_root_is_before_the_heads_that_a_definition_makes(tiny_root):
    cells = plan(read_definition(SMALL).on(tiny_root))
    assert {cell.kind for cell in cells} == {"prior", "fit", "floor"}
    assert {cell.spec.scene.name for cell in cells} == {"00000000000000aa", "00000000000000bb"}
    assert all(cell.spec.scene.content for cell in cells)
    assert read_definition(SMALL).on(None) == read_definition(SMALL)


@pytest.mark.parametrize("name", ["cameras.npz", "mask/mask_0001.png", "full_head.obj"])
def test_a_scene_whose_files_changed_is_another_scene(tmp_path, own_root, name):
    scene = next(own_root.glob("*00aa"))
    before = content_of(scene)
    (scene / ".DS_Store").write_bytes(b"left by a file manager")
    assert content_of(scene) == before
    with (scene / name).open("ab") as file:
        file.write(b"more")
    assert content_of(scene) not in (before, "not there")
    assert content_of(tmp_path / "nowhere") == "not there"


@pytest.mark.parametrize("name", ["full_head.obj", "landmarks.txt"])
def test_the_heads_of_a_root_are_others_where_a_byte_is(own_root, name):
    before = content_of_heads(own_root)
    file = next(own_root.glob(f"*00aa/{name}"))
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b" ")
    assert content_of_heads(own_root) != before
    file.write_bytes(content)
    assert content_of_heads(own_root) == before


def test_tags_stand_for_their_scenes_and_no_scene_comes_twice(tmp_path, tiny_root):
    cells = plan(on_root(tmp_path, tiny_root, '["tiny", "scan1", "00000000000000aa"]'))
    assert [cell.scene for cell in cells if cell.row == "builtin"] == ["scan0", "scan1"]


def test_two_rows_that_are_the_same_fit(tmp_path):
    with pytest.raises(InputError, match="are the same fit"):
        plan(read_definition(changed(tmp_path, "one_head@6", "builtin")))


def test_identity_is_what_decides_and_nothing_else(tmp_path):
    definition = read_definition(SMALL)
    ids = {cell.row: cell.id for cell in plan(definition)}
    renamed = replace(definition, title="other", rows=tuple(replace(row, published="") for row in definition.rows))
    assert {cell.row: cell.id for cell in plan(renamed)} == ids
    longer = {cell.row: cell.id for cell in plan(replace(definition, epochs=9))}
    assert longer["builtin"] != ids["builtin"] and longer["data"] == ids["data"]
    # Another pre-training is another fit, but only of the rows that start from it.
    other = replace(definition, priors={"one_head": replace(definition.priors["one_head"], epochs=13)})
    moved = {cell.row: cell.id for cell in plan(other)}
    assert moved["one head"] != ids["one head"] and moved["builtin"] == ids["builtin"]
    # Other data, other everything.
    assert definition.data.synthetic is not None
    data = replace(definition.data, synthetic=replace(definition.data.synthetic, seed=8))
    assert not set(ids.values()) & {cell.id for cell in plan(replace(definition, data=data))}


def test_a_pre_training_that_no_row_needs_does_not_run():
    definition = read_definition(SMALL)
    without = replace(definition, rows=definition.rows[1:])
    assert not [cell for cell in plan(without) if cell.kind == "prior"]


def test_a_folder_of_another_configuration_is_not_taken_over(tmp_path):
    spec = FitSpec("idr", {}, SceneId("scan1"), "3", 0, 8, 1.0, 2.0, ())
    cell = Cell(spec, "row")
    folder = cell.prepare(tmp_path)
    assert cell.prepare(tmp_path) == folder
    # A row that was renamed finds its folder again.
    assert replace(cell, row="renamed").folder(tmp_path) == folder
    content = json.loads((folder / "cell.json").read_text())
    assert content["id"] == cell.id and content["spec"]["method"] == "idr"
    content["spec"]["seed"] = 1
    (folder / "cell.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="of another configuration"):
        cell.prepare(tmp_path)


def test_a_results_folder_of_another_definition(tmp_path):
    definition = read_definition(SMALL)
    open_sweep(SMALL, definition, plan(definition), tmp_path / "run", Eta())
    other = CONFIGS / "main.toml"
    with pytest.raises(InputError, match="holds results of 'synthetic_small', not of 'main'"):
        open_sweep(other, read_definition(other), [], tmp_path / "run", Eta())
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="something else than a benchmark"):
        open_sweep(SMALL, definition, [], tmp_path / "home", Eta())


def test_a_results_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("x")
    definition = read_definition(SMALL)
    with pytest.raises(InputError, match="file holds something else than a benchmark"):
        open_sweep(SMALL, definition, plan(definition), tmp_path / "file", Eta())


def column(table: Table, heading: str) -> list[str]:
    """Cells below a heading."""
    at = table.header.index(heading)
    return [row[at] for row in table.rows]


def test_what_rows_do_not_share_is_a_table():
    table = settings_table(read_definition(CONFIGS / "main.toml"))
    assert column(table, "method") == ["idr", "baseh3d-fast, one head", "baseh3d-fast, builtin", "h3dnet-fast, builtin"]
    assert column(table, "steps of a shape space's latent, before") == ["0", "0", "200", "200"]
    assert column(table, "steps of the colours alone, after, with up to three views") == ["0", "400", "400", "400"]
    assert column(table, "epochs") == ["350, at most 1000 steps", *["350 steps x root of views"] * 3]
    table = settings_table(read_definition(CONFIGS / "h3ds_table2_methods.toml"))
    assert column(table, "epochs") == ["2000", "2000", "2000", "350 steps x root of views"]
    assert "width of the SDF" in table.header and "rays a step" not in table.header


@pytest.mark.parametrize(
    ("option", "value", "heading", "values"),
    [
        ("warm-start.colours.steps", 5, "steps of the colours alone, before", ["240", "5"]),
        (
            "pipeline.model.sdf-field.detail.cells",
            [16, 32],
            "cells of the SDF's detail grid, at most",
            ["32/64/128/256", "16/32"],
        ),
        (
            "pipeline.model.sdf-field.colour-detail.cells",
            [],
            "cells of the colours' detail grid, at most",
            ["32/64/128/256/512", "none"],
        ),
        ("finish-colours.steps", 0, "steps of the colours alone, after, with up to three views", ["400", "0"]),
        ("steps-of-one-view", 20, "epochs", ["350 steps x root of views", "20 steps x root of views"]),
    ],
)
def test_a_setting_that_two_rows_do_not_share_is_a_column(option, value, heading, values):
    definition = replace(read_definition(CONFIGS / "race.toml"), options={})
    one, other = Row("one", "baseh3d-fast"), Row("other", "baseh3d-fast", options={option: value})
    assert settings_table(replace(definition, rows=(one, replace(one, name="other")))).rows == ()
    table = settings_table(replace(definition, rows=(one, other)))
    assert table.header == ("method", heading) and column(table, heading) == values


def test_published_rows_of_the_definitions_are_those_of_their_papers():
    rows = read_definition(CONFIGS / "h3ds_table1_prior_sweep.toml").rows
    assert len(rows) == 9 and {row.published for row in rows} < set(PUBLISHED)
    scores = list(BASEH3D_SCANS.values())
    mean = PUBLISHED["BaseH3D-Net"].by_views["3"]
    assert sum(score.face_mm for score in scores) / 10 == pytest.approx(mean.face_mm, abs=0.005)
    assert sum(score.head_mm for score in scores) / 10 == pytest.approx(mean.head_mm, abs=0.005)


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("scan2", SnapshotRef("scan2")),
        ("scan2@500", SnapshotRef("scan2", 500)),
        ("scan2@", None),
        ("scan2@last", None),
        ("me@home/prior@5.safetensors", None),
    ],
)
def test_a_snapshot_is_a_name_and_epochs(text, reference):
    assert SnapshotRef.parse(text) == reference


def test_a_file_is_no_snapshot(tmp_path):
    prior = tmp_path / "me@500"
    prior.touch()
    file = changed(tmp_path, "one_head@6", str(prior))
    definition = read_definition(file)
    assert definition.start_of(definition.rows[0]) == prior


def with_own_heads(tmp_path: Path, option: str) -> Path:
    """A definition whose first row starts from a shape space of the meshes in the folder `scans`."""
    space = f'[priors.heads]\nmethod = "h3dnet-fast-prior"\noptions = {{"{option}" = "scans"}}\n\n'
    file = changed(tmp_path, "[priors.", f"{space}[priors.")
    file.write_text(file.read_text().replace("one_head@6", "heads"))
    return file


def test_the_folder_of_own_heads_is_no_part_of_cells_on_a_root(tmp_path, tiny_root):
    definition = on_root(tmp_path, tiny_root, '["scan1"]')
    definition = replace(definition, rows=(replace(definition.rows[0], prior="heads"),))

    def ids(options: dict[str, str]) -> list[str]:
        prior = PriorRun("h3dnet-fast-prior", options=options)
        return [cell.id for cell in plan(replace(definition, priors={"heads": prior}))]

    assert ids({"data": "/one/folder"}) == ids({"data": "/another"}) == ids({})


def test_a_report_needs_no_heads_that_a_shape_space_was_learned_from(tmp_path, monkeypatch):
    file = with_own_heads(tmp_path, "data")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "me.ply").write_text("ply")
    definition = read_definition(file)
    open_sweep(file, definition, cells := plan(definition), tmp_path / "run", Eta())
    (tmp_path / "scans").rename(tmp_path / "moved")
    again = reopen_sweep(tmp_path / "run").cells
    assert {one.row for one, other in zip(cells, again, strict=True) if one.id == other.id} >= {"builtin", "neus-facto"}


@pytest.mark.parametrize("option", ["data", "pipeline.datamanager.data"])
def test_a_shape_space_beside_synthetic_heads_may_learn_from_a_folder(option, tmp_path, monkeypatch):
    """It is another where the heads there are others, and the same from wherever they are found."""
    file = with_own_heads(tmp_path, option)
    monkeypatch.chdir(tmp_path)

    def of_the_space(folder: Path | None = None) -> dict[str, Cell]:
        cells = plan(read_definition(file, folder))
        return {cell.row: cell for cell in cells if cell.row in ("prior heads", "one head", "builtin")}

    with pytest.raises(InputError, match="row 'one head': no folder scans, which the prior 'heads' is learned from"):
        Bench(file, dry_run=True).main()
    mesh = tmp_path / "scans" / "me.ply"
    mesh.parent.mkdir()
    mesh.write_text("ply")
    before = of_the_space()
    assert before["prior heads"].data_root(tmp_path / "run", None) == mesh.parent
    (tmp_path / "scans" / "more").mkdir()
    monkeypatch.chdir(tmp_path / "scans" / "more")
    assert {row: cell.id for row, cell in of_the_space(tmp_path).items()} == {
        row: cell.id for row, cell in before.items()
    }
    mesh.write_text("PLY")  # as many bytes
    after = of_the_space(tmp_path)
    assert [row for row in before if before[row].id != after[row].id] == ["prior heads", "one head"]


def test_a_benchmark_is_found_again_from_another_folder(tmp_path, monkeypatch):
    (tmp_path / "before").mkdir()
    monkeypatch.chdir(tmp_path / "before")
    shutil.copy(BUILTIN_FILE, "own.safetensors")
    file = changed(tmp_path, "one_head@6", "own.safetensors")
    file.write_text(file.read_text().replace('prior = "builtin"', 'prior = "builtin"\nepochs = 9'))
    definition = read_definition(file)
    cells = plan(definition)
    open_sweep(file, definition, cells, tmp_path / "run", Eta())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert [cell.id for cell in reopen_sweep(tmp_path / "run").cells] == [cell.id for cell in cells]
    (tmp_path / "before").rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path / "moved")
    assert [cell.id for cell in reopen_sweep(tmp_path / "run").cells] == [cell.id for cell in cells]


def test_changed_copies_are_made_by_cells_of_their_own(tmp_path):
    file = changed(tmp_path, "[data]", '[data]\nchanges = ["as it is", "badly captured"]')
    cells = plan(read_definition(file))
    made = [cell for cell in cells if cell.kind == "change"]
    assert [cell.scene for cell in made] == ["scan1, as it is", "scan1, badly captured"]
    copies = {cell.id: cell for cell in made}
    for cell in cells:
        if cell.kind in ("fit", "floor"):
            (needed,) = [one for one in cell.needs if one.id in copies]
            assert needed.scene == cell.scene and cell.data_root(tmp_path, None) == needed.folder(tmp_path) / "heads"
    assert len([cell for cell in cells if cell.kind == "floor"]) == 2


def test_a_row_may_take_as_long_as_its_method_by_itself(tmp_path):
    def lengths(file: Path) -> list[int]:
        return [cell.spec.epochs for cell in plan(read_definition(file)) if cell.kind == "fit"]

    assert lengths(changed(tmp_path, 'name = "builtin"', 'name = "builtin"\nepochs = 0')) == [8, 0, 8]
    assert lengths(changed(tmp_path, "epochs = 8\n", "")) == [0, 0, 0]


def test_epochs_are_steps_for_methods_that_know_no_epochs(tiny_root):
    parser = {"scene": "scan0", "views": "3"}
    assert length(4, True, tiny_root, parser) == {"max-num-iterations": 12}
    assert length(4, False, tiny_root, parser) == {"epochs": 4}
    assert length(0, True, tiny_root, parser) == length(0, False, tiny_root, parser) == {}


def test_rows_may_have_their_own_views(tmp_path):
    file = changed(tmp_path, 'name = "builtin"', 'name = "builtin"\nviews = ["1", "3"]')
    fits = [(cell.row, cell.spec.views) for cell in plan(read_definition(file)) if cell.kind == "fit"]
    assert fits == [("one head", "3"), ("builtin", "1"), ("builtin", "3"), ("neus-facto", "3")]
