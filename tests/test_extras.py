"""Extras: a plain install fits, exports and evaluates; `synth` and `bench` say what they lack."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from setuptools.config.pyprojecttoml import read_configuration

import baseh3d_ns
from baseh3d_ns import extras
from baseh3d_ns.benchmark.executors import RayExecutor, SlurmExecutor
from baseh3d_ns.errors import InputError
from baseh3d_ns.extras import EXTRAS, require_extra
from baseh3d_ns.synthetic.head_samples import AnnyHeads

PACKAGE = Path(baseh3d_ns.__file__).parent
REPO = PACKAGE.parent
ABSENT = ("anny", "warp", "jinja2", "pandas", "plotly")
"""Guests that a plain install may lack; nerfstudio brings pydantic and rich in any case."""
USED_THROUGH_OTHERS = {"embreex"}
"""Distributions that nothing of ours imports: trimesh casts rays with embree."""
HEAVY = {"trimesh", "skimage", "h3ds", "embreex", "igl", "safetensors", *ABSENT}
"""Libraries that no start of `ns-train` should wait for; it loads the methods of every plugin."""
PLAIN_INSTALL = """
import contextlib, io, json, sys, warnings
warnings.simplefilter("ignore")
for guest in json.loads(sys.argv[1]):
    sys.modules[guest] = None  # importing it fails
import nerfstudio.configs.base_config, nerfstudio.engine.trainer, nerfstudio.pipelines.base_pipeline
import nerfstudio.models.base_model
before = set(sys.modules)
import baseh3d_ns.methods
loaded = sorted({name.split(".")[0] for name in set(sys.modules) - before})
from baseh3d_ns import cli
answers = []
for words in json.loads(sys.argv[2]):
    sys.argv, said, code = ["baseh3d", *words], io.StringIO(), 0
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            cli.entrypoint()
        except SystemExit as end:
            code = end.code
    answers.append([code, said.getvalue()])
print(json.dumps([loaded, answers]))
"""


def without_guests(*commands: list[str]) -> tuple[set[str], list[tuple[int, str]]]:
    """A process in which the guests cannot be imported: libraries that the methods load on top of nerfstudio's base;
    exit code and output of `baseh3d` commands."""
    words = [json.dumps(ABSENT), json.dumps(commands)]
    done = subprocess.run([sys.executable, "-c", PLAIN_INSTALL, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded, answers = json.loads(done.stdout.splitlines()[-1])
    return set(loaded), [tuple(answer) for answer in answers]


@pytest.fixture(scope="module")
def project() -> dict:
    return read_configuration(REPO / "pyproject.toml")["project"]


def declared(requirements: list[str]) -> set[str]:
    """Names of distributions, spelled as modules are."""
    names = (requirement.split(";")[0] for requirement in requirements)
    return {name.split("[")[0].split(">")[0].strip().replace("-", "_").lower() for name in names}


def test_a_package_of_an_extra_that_is_too_old_is_named(monkeypatch):
    require_extra("bench")
    monkeypatch.setattr(extras, "version", lambda name: "4.0.1")
    with pytest.raises(InputError, match=r"this needs pycolmap <5,>=4.2 \(here is 4.0.1\): pip install"):
        require_extra("capture")


def test_a_plain_install_loads_nothing_heavy_opens_heads_and_says_what_synth_and_bench_need(tmp_path):
    wanted = tmp_path / "heads"
    loaded, (help_text, prior, synth, bench, report) = without_guests(
        ["--help"],
        ["prior", "builtin"],
        ["synth", str(wanted)],
        ["bench", str(REPO / "configs" / "synthetic_small.toml"), "--dry-run"],
        ["report", str(tmp_path)],
    )
    assert "baseh3d_ns" in loaded and not loaded & HEAVY
    assert help_text[0] == 0 and "synth" in help_text[1]
    assert prior[0] == 0 and "shape space" in prior[1]
    assert synth == (1, 'Error: this needs anny: pip install "baseh3d_ns[synth]"\n')
    needs = 'Error: this needs jinja2, pandas, plotly: pip install "baseh3d_ns[bench]"\n'
    assert bench == report == (1, needs)
    assert list(tmp_path.iterdir()) == []


def test_heads_of_a_shape_space_are_read_without_the_body_model_but_not_made(tmp_path, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'this needs anny: pip install "baseh3d_ns\[synth\]"'):
        AnnyHeads.heads(tmp_path, 1, 7, 300)
    assert list(tmp_path.iterdir()) == []


def test_what_is_installed_is_not_asked_for():
    for extra in EXTRAS:
        require_extra(extra)


def test_executors_say_what_they_need(tmp_path, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'this needs ray: pip install "baseh3d_ns\[ray\]"'):
        RayExecutor()
    with pytest.raises(InputError, match=r'this needs submitit: pip install "baseh3d_ns\[slurm\]"'):
        SlurmExecutor(tmp_path)


@pytest.mark.parametrize("extra", EXTRAS)
def test_extras_are_those_of_the_project(project, extra):
    assert declared(project["optional-dependencies"][extra]) == set(EXTRAS[extra])


def test_every_dependency_is_imported_and_every_import_declared(project):
    brought_by = packages_distributions()
    imported: set[str] = set()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            if isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").split(".")[0])
    others = imported - set(sys.stdlib_module_names) - {"baseh3d_ns", "tomli"}
    # A module that is an extension alone (xatlas) is in no list of files of Python; its distribution has its name.
    needed = {name: {found.replace("-", "_").lower() for found in brought_by.get(name, [name])} for name in others}
    optional = project["optional-dependencies"]
    known = declared(project["dependencies"]).union(*(declared(optional[extra]) for extra in EXTRAS))
    assert {name for name, found in needed.items() if not found & known} == set()
    assert known - set().union(*needed.values()) - USED_THROUGH_OTHERS - {"tomli"} == set()


def test_the_version_is_kept_in_one_place(project):
    assert project["version"] == baseh3d_ns.__version__
    assert f"## [{baseh3d_ns.__version__}]" in (REPO / "CHANGELOG.md").read_text()


def test_every_data_file_goes_into_the_wheel():
    """Files that are no modules are named in pyproject.toml; an editable install would find them in any case."""
    there = {file for file in PACKAGE.rglob("*") if file.is_file() and file.suffix not in (".py", ".pyc")}
    patterns = read_configuration(REPO / "pyproject.toml")["tool"]["setuptools"]["package-data"]["baseh3d_ns"]
    assert {file for pattern in patterns for file in PACKAGE.glob(pattern)} == there
