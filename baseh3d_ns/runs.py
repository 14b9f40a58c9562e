"""Open a finished run for our own commands: its config.yml, its newest checkpoint, nothing executed on the way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import yaml

from baseh3d_ns.data.h3ds_dataparser import H3dsDataParser
from baseh3d_ns.errors import InputError
from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.models.idr import IdrModel
from baseh3d_ns.priors.sources import read_checkpoint
from baseh3d_ns.trainer import HeadPipeline, HeadTrainerConfig

if TYPE_CHECKING:
    import trimesh

_TRUSTED_MODULES = ("nerfstudio.", "baseh3d_ns.", "pathlib", "torch.optim.")
_TRUSTED_FUNCTIONS = ("nerfstudio_collate", "variable_res_collate")


class _ConfigLoader(yaml.UnsafeLoader):
    """Builds config classes of nerfstudio and of this plugin, and refuses every other name in the file."""

    def find_python_name(self, name, mark):
        if name.startswith(_TRUSTED_MODULES) or name in ("tuple", "builtins.tuple"):
            found = super().find_python_name(name, mark)
            if isinstance(found, type) or found.__name__ in _TRUSTED_FUNCTIONS:
                return found
        raise yaml.constructor.ConstructorError(None, None, f"it names {name}", mark)

    def find_python_module(self, name, mark):
        raise yaml.constructor.ConstructorError(None, None, f"it names the module {name}", mark)


@dataclass(frozen=True)
class Run:
    """A trained head, ready to ask."""

    config: HeadTrainerConfig
    pipeline: HeadPipeline
    checkpoint: Path
    step: int

    @property
    def model(self) -> IdrModel:
        """The model, in eval mode."""
        model = self.pipeline.model
        assert isinstance(model, IdrModel)
        return model

    @property
    def dataparser(self) -> H3dsDataParser:
        """The scene the run was trained on."""
        parser = self.pipeline.datamanager.dataparser
        assert isinstance(parser, H3dsDataParser)
        return parser

    @property
    def frame(self) -> SceneFrame:
        """Its unit frame."""
        return self.dataparser.scene.frame


def read_config(path: Path) -> HeadTrainerConfig:
    """The config.yml of a run, without executing anything it may hold.

    Raises:
        InputError: missing, not a nerfstudio config, of another method, or naming code that no config needs.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "config.yml"
    if not path.is_file():
        raise InputError(f"no such config: {path}; pass the config.yml that ns-train wrote into the run's folder")
    try:
        config = yaml.load(path.read_text(encoding="utf-8"), Loader=_ConfigLoader)  # noqa: S506
    except (yaml.YAMLError, ImportError, AttributeError, TypeError) as error:
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InputError(
            f"{path} is not a config.yml of ns-train ({reason}): train again, or pass another run's"
        ) from error
    if not isinstance(config, HeadTrainerConfig):
        raise InputError(f"{path} belongs to another method: pass a run of idr, baseh3d or baseh3d-fast")
    return config


def open_run(config_path: Path) -> Run:
    """Load the newest checkpoint of a run onto the GPU, or the CPU where there is none.

    Raises:
        InputError: what `read_config` raises, or no usable checkpoint.
    """
    config = read_config(config_path)
    # The config's own relative output folder would be looked up in the current one.
    folder = Path(config_path) if Path(config_path).is_dir() else Path(config_path).parent
    checkpoints = sorted((folder / config.relative_model_dir).glob("step-*.ckpt"))
    if not checkpoints:
        raise InputError(
            f"{folder / config.relative_model_dir} holds no checkpoint: let the training reach its first save"
        )
    state = read_checkpoint(checkpoints[-1])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    pipeline = config.pipeline.setup(device=device, test_mode="test")
    pipeline.eval()
    pipeline.load_pipeline(state["pipeline"], state["step"])
    return Run(config=config, pipeline=pipeline, checkpoint=checkpoints[-1], step=int(state["step"]))


def mesh_of_run(run: Run, spacing_mm: float, keep_all: bool = False) -> trimesh.Trimesh:
    """The head as a closed, coloured mesh in world millimetres.

    Raises:
        NoSurfaceError: the trained SDF has no surface.
    """
    from baseh3d_ns.mesh_files import colour_mesh
    from baseh3d_ns.meshing import extract_mesh

    head, frame, device = run.model.field, run.frame, run.model.device
    mesh = extract_mesh(head.sdf, frame, spacing_mm=spacing_mm, device=device, keep_all=keep_all)
    return colour_mesh(mesh, head.frontal_colour, head.gradient, frame, device=device)
