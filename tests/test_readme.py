"""Every command in the README is one the tools understand."""

import dataclasses
import re
import shlex
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import tyro

REPO = Path(__file__).parents[1]
README = (REPO / "README.md").read_text()
BLOCKS = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
COMMANDS = [line.split("#")[0].strip() for block in BLOCKS for line in block.splitlines() if line.split("#")[0].strip()]


def parsed(command: str):
    """The config the tool would run with; parsing only."""
    from nerfstudio.configs.method_configs import AnnotatedBaseConfigUnion
    from nerfstudio.scripts.eval import ComputePSNR
    from nerfstudio.scripts.render import Commands as Render
    from nerfstudio.scripts.viewer.run_viewer import RunViewer

    from baseh3d_ns.cli import Commands

    tool, *arguments = shlex.split(command)
    kinds = {
        "ns-train": AnnotatedBaseConfigUnion,
        "ns-eval": ComputePSNR,
        "ns-render": Render,
        "ns-viewer": RunViewer,
        "baseh3d": Commands,
    }
    return tyro.cli(kinds[tool], args=arguments)


def test_the_readme_has_commands():
    assert len(COMMANDS) > 12


@pytest.mark.parametrize(
    "command", [c for c in COMMANDS if c.split()[0] in ("ns-train", "baseh3d", "ns-eval", "ns-render", "ns-viewer")]
)
def test_commands_are_understood(command):
    if command.endswith("--help"):
        with pytest.raises(SystemExit) as ended:
            parsed(command)
        assert ended.value.code == 0
        return
    assert dataclasses.is_dataclass(parsed(command))


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("bash ")])
def test_scripts_are_there(command):
    assert (REPO / command.split()[1]).is_file()


def test_every_other_command_is_known():
    known = ("ns-train", "baseh3d", "ns-eval", "ns-render", "ns-viewer", "ns-export", "bash", "python", "pip")
    assignment = re.compile(r"[A-Z]+=")
    assert {c.split()[0] for c in COMMANDS if not assignment.match(c)} <= set(known)


def test_every_method_is_in_the_readme():
    methods = [
        point.name for point in entry_points(group="nerfstudio.method_configs") if point.value.startswith("baseh3d_ns")
    ]
    assert len(methods) == 9 and all(re.search(rf"`{name}[` ]", README) for name in methods)


def test_pictures_are_there():
    assert all((REPO / path).is_file() for path in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README))
