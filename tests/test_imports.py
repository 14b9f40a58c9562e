"""The plugin is loaded at every start of every `ns-train` on the machine: it must be cheap and must not break it.

Libraries that the package must not import are banned in pyproject.toml (ruff, TID251).
"""

import ast
import subprocess
import sys
from pathlib import Path

import baseh3d_ns

HEAVY = {"trimesh", "skimage", "h3ds", "anny", "embreex", "igl", "pandas", "plotly", "safetensors"}


def test_loading_the_methods_adds_nothing_heavy_to_nerfstudio():
    code = f"""
import sys, warnings
warnings.simplefilter("ignore")
import nerfstudio.configs.base_config, nerfstudio.engine.trainer, nerfstudio.pipelines.base_pipeline
import nerfstudio.models.base_model
before = set(sys.modules)
import baseh3d_ns.methods
new = {{name.split(".")[0] for name in set(sys.modules) - before}}
assert not new & {HEAVY}, new
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_picks_the_gpu_itself_or_asks_the_user():
    found = [
        f"{file}:{node.lineno}"
        for file in sorted(Path(baseh3d_ns.__file__).parent.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and (
            (isinstance(node.func, ast.Attribute) and node.func.attr == "cuda")
            or (isinstance(node.func, ast.Name) and node.func.id == "input")
        )
    ]
    assert found == []
