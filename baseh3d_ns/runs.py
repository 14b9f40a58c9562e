"""Open a finished run for our own commands: its config.yml and its newest checkpoint, nothing executed on the way."""

from __future__ import annotations

import enum
import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import yaml
from jaxtyping import Float
from torch import Tensor

from baseh3d_ns.data.datamanager import HeadDataManager
from baseh3d_ns.data.h3ds_dataparser import H3dsDataParser, H3dsDataParserConfig
from baseh3d_ns.errors import InputError
from baseh3d_ns.fields.head_field import HeadField
from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.heads.head_file import apply_prior
from baseh3d_ns.heads.readers import load_prior, newest_checkpoint, read_checkpoint
from baseh3d_ns.models.h3dnet import H3dNetModel, H3dNetModelConfig
from baseh3d_ns.models.idr import IdrModel, IdrModelConfig
from baseh3d_ns.training.trainer import HeadPipeline, HeadTrainerConfig

if TYPE_CHECKING:
    import trimesh


MODELS = {IdrModelConfig: IdrModel, H3dNetModelConfig: H3dNetModel}
"""What a run of one head may hold."""


@dataclass(frozen=True)
class Run:
    """A trained head, ready to ask, without its data."""

    config: HeadTrainerConfig
    field: HeadField
    """Both networks, on `device`, in eval mode."""
    frame: SceneFrame
    """The unit frame it was trained in, from the checkpoint."""
    camera_centres: Float[Tensor, "views 3"]
    """Of the training views, in the unit frame, from the checkpoint."""
    checkpoint: Path
    step: int
    """Last training step the checkpoint has seen, counted from 0."""
    device: torch.device


def open_run(config_path: Path) -> Run:
    """Load the newest checkpoint of a run onto the GPU, or the CPU where there is none.

    Raises:
        InputError: what `read_config` raises, no usable checkpoint, or one of other networks than the config's.
    """
    config = read_config(config_path)
    # The config's own output folder may have been moved since.
    folder = Path(config_path) if Path(config_path).is_dir() else Path(config_path).parent
    checkpoint = newest_checkpoint(folder / config.relative_model_dir)
    weights = load_prior(checkpoint)
    assert weights.frame is not None
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    field: HeadField = config.pipeline.model.sdf_field.setup()
    apply_prior(weights, field, checkpoint)
    state = read_checkpoint(checkpoint)
    centres = state["pipeline"].get("_model.camera_centres")
    if not isinstance(centres, Tensor):
        raise InputError(f"{checkpoint} was saved by another version of this plugin: train again")
    return Run(config, field.to(device).eval(), weights.frame, centres.to(device), checkpoint, state["step"], device)


def scene_of_run(run: Run, data: Path | None) -> H3dsDataParser:
    """The scene a run was trained on, from `data` where the folder has moved.

    Raises:
        InputError: the data are gone, damaged, or another scene lies there.
    """
    parser_config = run.config.pipeline.datamanager.dataparser
    assert isinstance(parser_config, H3dsDataParserConfig)
    if data is not None:
        parser_config.data = data
    parser: H3dsDataParser = parser_config.setup()
    there, trained_in = (np.array([*frame.centre_mm, frame.radius_mm]) for frame in (parser.scene.frame, run.frame))
    if not np.allclose(there, trained_in, atol=1e-2):
        raise InputError(f"scene {parser.scene.scene_id} in {parser_config.data} is not the one the run was trained on")
    return parser


def mesh_of_run(run: Run, spacing_mm: float, keep_all: bool = False) -> trimesh.Trimesh:
    """The head as a closed, coloured mesh in world millimetres.

    Raises:
        NoSurfaceError: the trained SDF has no surface.
    """
    from baseh3d_ns.mesh.extract import extract_mesh
    from baseh3d_ns.mesh.files import colour_mesh

    mesh = extract_mesh(run.field.sdf, run.frame, spacing_mm=spacing_mm, device=run.device, keep_all=keep_all)

    def appearance(points: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
        return run.field.colour_towards_cameras(points, run.camera_centres)

    return colour_mesh(mesh, appearance, run.frame, device=run.device)


def read_config(path: Path) -> HeadTrainerConfig:
    """The config.yml of a run, without executing anything it may hold.

    Raises:
        InputError: missing, not a nerfstudio config, of another method, or naming what no config of ours names.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "config.yml"
    if not path.is_file():
        raise InputError(f"no such config: {path}; pass the config.yml that ns-train wrote into the run's folder")
    remedy = "train again, or pass another run's"
    try:
        config = yaml.load(path.read_text(encoding="utf-8"), Loader=_ConfigLoader)  # noqa: S506
    except (
        yaml.YAMLError,
        ImportError,
        AttributeError,
        TypeError,
        ValueError,
        KeyError,
        RecursionError,
        OSError,
    ) as error:
        reason = getattr(error, "problem", None) or (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} is not a config.yml of ns-train ({reason}): {remedy}") from error
    if not isinstance(config, HeadTrainerConfig):
        raise InputError(f"{path} belongs to another method: pass a run that fits one head")
    pipeline = config.pipeline
    parts = (pipeline, pipeline.datamanager, pipeline.datamanager.dataparser, pipeline.model, pipeline.model.sdf_field)
    expected = (HeadPipeline, HeadDataManager, H3dsDataParser, MODELS.get(type(pipeline.model)), HeadField)
    if any(getattr(part, "_target", None) is not target for part, target in zip(parts, expected, strict=True)):
        raise InputError(f"{path} sets up other classes than this plugin's: {remedy}")
    return config


@functools.cache
def _names_in_our_configs() -> frozenset[str]:
    """Every class and function that a config.yml of ours may name: those that dumping our own methods names."""
    from nerfstudio.plugins.types import MethodSpecification

    from baseh3d_ns import methods

    specs = [spec for spec in vars(methods).values() if isinstance(spec, MethodSpecification)]
    dumped = "\n".join(yaml.dump(spec.config) for spec in specs)
    names = re.findall(r"!!python/(?:object/apply|object/new|object|name):([\w.]+)", dumped)
    return frozenset(names) | {"pathlib.PosixPath", "pathlib.WindowsPath"}


class _ConfigLoader(yaml.UnsafeLoader):
    """Builds what a config of ours consists of, and refuses every other name in the file."""

    def find_python_name(self, name, mark):
        if name not in _names_in_our_configs():
            raise yaml.constructor.ConstructorError(None, None, f"it names {name}", mark)
        return super().find_python_name(name, mark)

    def make_python_instance(self, suffix, node, args=None, kwds=None, newobj=False):
        # How some releases of Python 3.11 write the member of an enum; attributes of nothing else are looked up.
        if suffix != "builtins.getattr":
            return super().make_python_instance(suffix, node, args, kwds, newobj)
        owner, member = args if isinstance(args, list) and len(args) == 2 else (None, "")
        if not (isinstance(owner, type) and issubclass(owner, enum.Enum)):
            raise yaml.constructor.ConstructorError(None, None, f"it asks {owner} for {member}", node.start_mark)
        return owner[member]

    def find_python_module(self, name, mark):
        raise yaml.constructor.ConstructorError(None, None, f"it names the module {name}", mark)
