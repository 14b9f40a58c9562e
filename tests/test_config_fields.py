"""No dead option: every field of our configs is read somewhere in the package."""

import ast
import dataclasses
import inspect
from pathlib import Path

import pytest

import baseh3d_ns
from baseh3d_ns import cli
from baseh3d_ns.data.datamanager import HeadDataManagerConfig
from baseh3d_ns.data.h3ds_dataparser import H3dsDataParserConfig
from baseh3d_ns.fields.head_field import HeadFieldConfig
from baseh3d_ns.fields.networks import ColourNetworkConfig, SdfNetworkConfig
from baseh3d_ns.models.h3dnet import H3dNetModelConfig
from baseh3d_ns.models.idr import IdrModelConfig
from baseh3d_ns.models.sdf_model import SdfModelConfig
from baseh3d_ns.shape_space.datamanager import SurfaceDataManagerConfig
from baseh3d_ns.shape_space.model import ShapeSpaceModelConfig
from baseh3d_ns.shape_space.trainer import ShapeTrainerConfig
from baseh3d_ns.training.trainer import (
    CarefulTrainerConfig,
    FewShotTrainerConfig,
    HeadTrainerConfig,
    PriorTrainerConfig,
)

CONFIGS = [
    HeadDataManagerConfig, H3dsDataParserConfig, SdfNetworkConfig, ColourNetworkConfig, HeadFieldConfig, IdrModelConfig,
    SdfModelConfig, H3dNetModelConfig, ShapeSpaceModelConfig, SurfaceDataManagerConfig, ShapeTrainerConfig,
    CarefulTrainerConfig, HeadTrainerConfig, PriorTrainerConfig, FewShotTrainerConfig,
    cli.Synth, cli.Export, cli.Evaluate, cli.Prior, cli.Bench, cli.Report,
]  # fmt: skip
PACKAGE = Path(baseh3d_ns.__file__).parent
# Read by nerfstudio, not by us.
STOCK = {"_target", "enable_collider", "eval_num_rays_per_chunk", "dataparser"}


def attributes_read() -> set[str]:
    """Every `something.name` that is loaded, not assigned, in the package's code."""
    read = set()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                read.add(node.attr)
    return read


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.__name__)
def test_every_field_is_read(config):
    own = {
        name
        for cls in config.__mro__
        if cls.__module__.startswith("baseh3d_ns")
        for name in vars(cls).get("__annotations__", {})
    }
    assert own - STOCK <= attributes_read()


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.__name__)
def test_every_field_is_explained(config):
    """The docstring below a field is what `--help` shows."""
    own = [
        f.name
        for f in dataclasses.fields(config)
        if f.name in vars(config).get("__annotations__", {}) and f.name != "_target"
    ]
    body = ast.parse(inspect.getsource(config).lstrip()).body[0].body
    explained = {
        before.target.id
        for before, after in zip(body, body[1:], strict=False)
        if isinstance(before, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
    }
    assert set(own) <= explained
