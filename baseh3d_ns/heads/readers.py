"""Every file a prior may come from: our own, a run, a nerfstudio checkpoint, an original IDR checkpoint.

Files may have been sent by others: nothing is ever unpickled beyond tensors (`weights_only=True`).
"""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from baseh3d_ns.errors import InputError
from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.heads.head_file import FORMAT, LATENT, LATENTS, MOMENTS, PLACEMENT, HeadPrior, to_prior_name
from baseh3d_ns.heads.latent_pca import mean_latent

BUILTIN = Path("builtin")
"""The shape space that comes with the plugin, in place of a path."""
BUILTIN_FILE = Path(__file__).with_name("builtin.safetensors")
MAKE_ONE = "pass `builtin`, or make one with `ns-train baseh3d-prior` (or `baseh3d-fast-prior`, `h3dnet-prior`)"
_IDR_NETWORKS = {"implicit_network.": "sdf.", "rendering_network.": "colour."}
_CHECKPOINT_FIELD = "_model.field."
_FIELD_BEFORE_0_2 = {"_model.field.appearance_network.": "_model.field.feature_network."}


def load_prior(path: Path) -> HeadPrior:
    """Read a prior from a `.safetensors`, a run folder, its `config.yml`, a `.ckpt`, or an original IDR `.pth`.

    Raises:
        InputError: missing, truncated, no prior, or a pickle that holds more than tensors.
    """
    file = find_prior_file(Path(path))
    if file.suffix == ".safetensors":
        return _from_safetensors(file)
    if file.suffix == ".ckpt":
        return _from_checkpoint(file)
    if file.suffix == ".pth":
        return _from_idr(file)
    raise InputError(f"{file} is not a prior: pass a .safetensors, a run folder, a config.yml, a .ckpt or an IDR .pth")


def find_prior_file(path: Path) -> Path:
    """The file behind what the user passed: in a run, the newest prior, else the newest checkpoint.

    Raises:
        InputError: nothing there.
    """
    if path == BUILTIN:
        return BUILTIN_FILE
    if not path.exists():
        raise InputError(f"no such prior: {path}; {MAKE_ONE}")
    if path.is_file() and path.name != "config.yml":
        return path
    folder = path if path.is_dir() else path.parent
    priors = sorted(folder.glob("prior-*.safetensors"))
    checkpoints = sorted([*folder.glob("nerfstudio_models/step-*.ckpt"), *folder.glob("step-*.ckpt")])
    for found in (priors, checkpoints):
        if found:
            return found[-1]
    raise InputError(f"{folder} holds neither prior-*.safetensors nor a checkpoint: {MAKE_ONE}")


def newest_checkpoint(folder: Path, step: int | None = None) -> Path:
    """The checkpoint of the last step in a run's nerfstudio_models folder, or that of `step`.

    Raises:
        InputError: there is none.
    """
    found = sorted(folder.glob("step-*.ckpt"))
    if step is not None:
        found = [path for path in found if path.name == f"step-{step:09d}.ckpt"]
    if not found:
        which = "step-*.ckpt" if step is None else f"step-{step:09d}.ckpt"
        raise InputError(f"{folder} holds no {which}: pass the nerfstudio_models folder of a run that has saved one")
    return found[-1]


def _from_safetensors(path: Path) -> HeadPrior:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path} is truncated or no safetensors file: copy it again, or {MAKE_ONE}") from error
    if metadata.get("format") != FORMAT:
        raise InputError(f"{path} is a safetensors file but not a head prior ({FORMAT}): {MAKE_ONE}")
    try:
        frame = json.loads(metadata["frame"])
        latents = tensors.pop(LATENTS, None)
        return HeadPrior(
            weights={name: tensor for name, tensor in tensors.items() if not name.startswith(MOMENTS)},
            latents=latents,
            moments={name: tensor for name, tensor in tensors.items() if name.startswith(MOMENTS)},
            provenance=json.loads(metadata["provenance"]),
            frame=frame and SceneFrame(centre_mm=tuple(frame["centre_mm"]), radius_mm=float(frame["radius_mm"])),
            adam_steps=int(metadata["adam_steps"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path} lacks what a head prior records ({error}): {MAKE_ONE}") from error


def _from_checkpoint(path: Path) -> HeadPrior:
    state = read_checkpoint(path)
    pipeline = state.get("pipeline") if isinstance(state, dict) else None
    if not isinstance(pipeline, dict) or not isinstance(state.get("step"), int):
        raise InputError(f"{path} is not a nerfstudio checkpoint: {MAKE_ONE}")
    # As saved by a training on several GPUs.
    pipeline = {name.replace("_model.module.", "_model.", 1): tensor for name, tensor in pipeline.items()}
    for old, new in _FIELD_BEFORE_0_2.items():
        pipeline = {name.replace(old, new, 1): tensor for name, tensor in pipeline.items()}
    weights = {
        to_prior_name(name[len(_CHECKPOINT_FIELD) :]): tensor
        for name, tensor in pipeline.items()
        if name.startswith(_CHECKPOINT_FIELD)
    }
    frame = pipeline.get("_model.frame_mm")
    if not weights or not _all_tensors(weights) or not isinstance(frame, Tensor) or frame.shape != (4,):
        raise InputError(f"{path} is a checkpoint of another method, without SDF and colour networks: {MAKE_ONE}")
    x, y, z, radius = frame.tolist()
    codes, shared = pipeline.get("_model.codes"), pipeline.get("_model.shared_latents")
    if isinstance(codes, Tensor):
        weights[LATENT] = mean_latent(codes, int(shared) if isinstance(shared, Tensor) else 0)
    moments, adam_steps = _checkpoint_moments(state, [name for name in weights if name != PLACEMENT])
    return HeadPrior(
        weights=weights,
        provenance={"source": path.name, "steps": state["step"] + 1},
        frame=SceneFrame(centre_mm=(x, y, z), radius_mm=radius),
        latents=codes,
        moments=moments,
        adam_steps=adam_steps,
    )


def _all_tensors(weights: dict[str, Any]) -> bool:
    return all(isinstance(tensor, Tensor) for tensor in weights.values())


def _checkpoint_moments(state: dict[str, Any], names: list[str]) -> tuple[dict[str, Tensor], int]:
    """Adam numbers its parameters in the order of the field's, which is the state dict's."""
    per_parameter = state.get("optimizers", {}).get("fields", {}).get("state", {})
    if set(per_parameter) != set(range(len(names))):
        return {}, 0
    moments = {f"{moment}.{name}": per_parameter[i][moment] for i, name in enumerate(names) for moment in MOMENTS}
    return moments, int(per_parameter[0]["step"])


def _from_idr(path: Path) -> HeadPrior:
    state = read_checkpoint(path)
    named = state.get("model_state_dict", state) if isinstance(state, dict) else {}
    weights: dict[str, Tensor] = {}
    for name, tensor in named.items() if isinstance(named, dict) else ():
        network = re.sub(r"^module\.", "", str(name))
        for idr, ours in _IDR_NETWORKS.items():
            if network.startswith(idr):
                weights[ours + network[len(idr) :]] = tensor
    if not weights:
        raise InputError(
            f"{path} holds no implicit_network / rendering_network, so it is no IDR checkpoint: {MAKE_ONE}"
        )
    return HeadPrior(weights=weights, provenance={"source": path.name, "epochs": state.get("epoch")})


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
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} is truncated or no checkpoint: copy it again, or take an earlier one") from error
