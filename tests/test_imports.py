"""What no module of the package does by itself.

Libraries that the package must not import are banned in pyproject.toml (ruff, TID251); what its methods may load is
tested in test_extras.
"""

import ast
from pathlib import Path

import baseh3d_ns


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
