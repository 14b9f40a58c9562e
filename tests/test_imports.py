"""The plugin is loaded at every start of every `ns-train` on the machine: it must be cheap and must not break it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import baseh3d_ns

FILES = sorted(Path(baseh3d_ns.__file__).parent.rglob("*.py"))
NEVER = {"open3d", "pymeshlab", "tinycudann"}


def test_loading_the_methods_adds_nothing_heavy_to_nerfstudio():
    code = """
import sys, warnings
warnings.simplefilter("ignore")
import nerfstudio.configs.base_config, nerfstudio.engine.trainer, nerfstudio.pipelines.base_pipeline
import nerfstudio.models.base_model
before = set(sys.modules)
import baseh3d_ns.methods
new = {name.split(".")[0] for name in set(sys.modules) - before}
assert not new & {"trimesh", "skimage", "h3ds", "anny", "embreex", "open3d", "pymeshlab", "safetensors"}, new
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)
def test_no_forbidden_import_no_cuda_call_no_prompt(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            assert not NEVER & {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in NEVER
        if isinstance(node, ast.Call):
            called = node.func
            assert not (isinstance(called, ast.Attribute) and called.attr == "cuda"), f"{file}:{node.lineno}"
            assert not (isinstance(called, ast.Name) and called.id == "input"), f"{file}:{node.lineno}"
