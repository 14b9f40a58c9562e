"""Every file that a head may come from: a head file, a run's folder, a checkpoint of nerfstudio, one of original IDR.

Files may have been sent by others: nothing is ever unpickled beyond tensors (`weights_only=True`).
"""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from baseh3d_ns.errors import InputError, named_permissions
from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.heads.head_file import HEAD_FILE, LATENT, MOMENTS, PLACEMENT, Head, check_head, read_head
from baseh3d_ns.heads.latent_pca import mean_latent
from baseh3d_ns.heads.networks import to_file_name

BUILTIN = Path("builtin")
"""The shape space that comes with the plugin, in place of a path."""
BUILTIN_FILE = Path(__file__).with_name("builtin.safetensors")
MAKE_ONE = "pass `builtin`, or make one with `ns-train baseh3d-prior` (or `baseh3d-fast-prior`, `h3dnet-prior`)"
"""Remedy where a prior is wanted."""
MAKE_A_SPACE = "pass `builtin`, or make one with `ns-train h3dnet-prior` (for h3dnet-fast: `h3dnet-fast-prior`)"
"""Remedy where a shape space is wanted."""
PASS_A_HEAD = "pass a run folder, its config.yml, a head or prior .safetensors, a step-*.ckpt, or `builtin`"
"""Remedy where any head is wanted."""
_IDR_NETWORKS = {"implicit_network.": "sdf.", "rendering_network.": "colour."}
_MODEL, _FIELD, _VIEWS = "_model.", "_model.field.", "_model.views."
_VIEW_PARAMETERS = ("pose", "focal", "colour")
_CENTRES, _LATENTS, _SYMMETRIC = "_model.camera_centres", "_model.latents", "_model.symmetric_latents"
_OPTIONAL = (_CENTRES, _LATENTS, _SYMMETRIC, *(_VIEWS + name for name in _VIEW_PARAMETERS))
_BEFORE_0_2 = {
    "_model.field.appearance_network.": "_model.field.feature_network.",
    "_model.codes": "_model.latents",
    "_model.shared_latents": "_model.symmetric_latents",
}
"""Names in checkpoints of 0.1.x, and their names since."""


def open_head(path: Path) -> Head:
    """A head from a head file, a prior, a run folder, its `config.yml`, a `.ckpt`, an IDR `.pth`, or `builtin`.

    Raises:
        InputError: missing, truncated, no head, or a pickle that holds more than tensors.
    """
    file = find_head_file(Path(path))
    head = _read(file)
    try:
        check_head(head)
    except ValueError as error:
        raise InputError(f"{file} is damaged, {error}: {PASS_A_HEAD}") from error
    return head


def _read(file: Path) -> Head:
    if file.suffix == ".safetensors":
        return read_head(file, PASS_A_HEAD)
    if file.suffix == ".ckpt":
        return _from_checkpoint(file)
    if file.suffix == ".pth":
        return _from_idr(file)
    raise InputError(f"{file} holds no head: {PASS_A_HEAD}")


@named_permissions()
def find_head_file(path: Path) -> Path:
    """The file behind the path that the user passed: in a run its head file, else the newest prior or checkpoint.

    Raises:
        InputError: nothing there.
    """
    if path == BUILTIN:
        return BUILTIN_FILE
    if not path.exists():
        raise InputError(f"no such file or folder: {path}; {PASS_A_HEAD}")
    if path.is_file() and path.name != "config.yml":
        return path
    folder = path if path.is_dir() else path.parent
    for pattern in (HEAD_FILE, "prior-*.safetensors", "nerfstudio_models/step-*.ckpt", "step-*.ckpt"):
        found = sorted(folder.glob(pattern))
        if found:
            return found[-1]
    if (folder / "config.yml").is_file():
        raise InputError(f"{folder} holds no checkpoint: its training still runs, or ended before it saved one")
    raise InputError(f"{folder} holds neither {HEAD_FILE} nor prior-*.safetensors nor a checkpoint: {PASS_A_HEAD}")


def newest_checkpoint(folder: Path, step: int | None = None) -> Path:
    """The checkpoint of the last step in a run's nerfstudio_models folder, or that of `step`.

    Raises:
        InputError: there is none.
    """
    found = sorted((path for path in folder.glob("step-*.ckpt") if path.stem[5:].isdecimal()), key=step_of)
    if step is not None:
        found = [path for path in found if path.name == f"step-{step:09d}.ckpt"]
    if not found:
        which = "step-*.ckpt" if step is None else f"step-{step:09d}.ckpt"
        raise InputError(f"{folder} holds no {which}: pass the nerfstudio_models folder of a run that has saved one")
    return found[-1]


def step_of(checkpoint: Path) -> int:
    """The training step in the name of a `step-000000011.ckpt`."""
    return int(checkpoint.stem.removeprefix("step-"))


def _from_checkpoint(path: Path) -> Head:
    """A head from a checkpoint of `ns-train`, of this version or of 0.1.x."""
    state = read_checkpoint(path)
    pipeline = state.get("pipeline") if isinstance(state, dict) else None
    if not isinstance(pipeline, dict) or not isinstance(state.get("step"), int):
        raise InputError(f"{path} is not a nerfstudio checkpoint: {PASS_A_HEAD}")
    # As saved by a training on several GPUs.
    pipeline = {str(name).replace("_model.module.", _MODEL, 1): tensor for name, tensor in pipeline.items()}
    for old, new in _BEFORE_0_2.items():
        pipeline = {name.replace(old, new, 1): tensor for name, tensor in pipeline.items()}
    weights = {
        to_file_name(name[len(_FIELD) :]): tensor for name, tensor in pipeline.items() if name.startswith(_FIELD)
    }
    frame = pipeline.get("_model.frame_mm")
    known: dict[str, Any] = {name: pipeline.get(name) for name in _OPTIONAL if pipeline.get(name) is not None}
    if not weights or not _all_tensors({**weights, **known}) or not isinstance(frame, Tensor) or frame.shape != (4,):
        raise InputError(f"{path} is a checkpoint of another method, without SDF and colour networks: {PASS_A_HEAD}")
    x, y, z, radius = frame.tolist()
    latents, symmetric = known.get(_LATENTS), known.get(_SYMMETRIC, torch.tensor(0))
    if latents is not None:
        if latents.ndim != 2 or symmetric.numel() != 1:
            raise InputError(f"{path} is damaged, its latents are no table of numbers: {PASS_A_HEAD}")
        weights[LATENT] = mean_latent(latents, int(symmetric))
    moments, adam_steps = _checkpoint_moments(state, [name for name in weights if name != PLACEMENT])
    views = {name: known[_VIEWS + name] for name in _VIEW_PARAMETERS if _VIEWS + name in known}
    centres = known.get(_CENTRES)
    if centres is not None and centres.ndim != 2:
        raise InputError(f"{path} is damaged, its camera centres are no points: {PASS_A_HEAD}")
    return Head(
        weights=weights,
        provenance={"source": path.name, "steps": state["step"] + 1},
        frame=SceneFrame(centre_mm=(x, y, z), radius_mm=radius),
        camera_centres=centres,
        view_corrections=views,
        latents=latents,
        moments=moments,
        adam_steps=adam_steps,
    )


def _all_tensors(weights: dict[str, Any]) -> bool:
    return all(isinstance(tensor, Tensor) for tensor in weights.values())


def _checkpoint_moments(state: dict[str, Any], names: list[str]) -> tuple[dict[str, Tensor], int]:
    """Adam's moments and steps; it numbers its parameters in the order of the field's, which is the state dict's.

    None where they are of other parameters, or of no use: a head does without.
    """
    try:
        per_parameter = state["optimizers"]["fields"]["state"]
        if set(per_parameter) != set(range(len(names))):
            return {}, 0
        moments = {f"{moment}.{name}": per_parameter[i][moment] for i, name in enumerate(names) for moment in MOMENTS}
        return (moments, int(per_parameter[0]["step"])) if _all_tensors(moments) else ({}, 0)
    except (KeyError, TypeError, ValueError, RuntimeError):
        return {}, 0


def _from_idr(path: Path) -> Head:
    """A head from a checkpoint of the original IDR code."""
    state = read_checkpoint(path)
    named = state.get("model_state_dict", state) if isinstance(state, dict) else {}
    weights: dict[str, Tensor] = {}
    for name, tensor in named.items() if isinstance(named, dict) else ():
        network = re.sub(r"^module\.", "", str(name))
        for idr, ours in _IDR_NETWORKS.items():
            if network.startswith(idr):
                weights[ours + network[len(idr) :]] = tensor
    if not weights or not _all_tensors(weights):
        raise InputError(
            f"{path} holds no implicit_network / rendering_network, so it is no IDR checkpoint: {PASS_A_HEAD}"
        )
    return Head(weights=weights, provenance={"source": path.name, "epochs": state.get("epoch")})


def read_checkpoint(path: Path) -> Any:
    """`torch.load` of a file that may have been sent by anybody: tensors and plain containers only.

    Raises:
        InputError: it holds anything else, or is cut off.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} holds more than tensors and could execute code, so it was not opened: ask for a .safetensors prior"
        ) from error
    except Exception as error:  # whatever the damaged bytes lead torch to
        raise InputError(f"{path} is truncated or no checkpoint: copy it again, or take an earlier one") from error
