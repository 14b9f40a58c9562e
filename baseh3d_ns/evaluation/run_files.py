"""Where an evaluation of a run is written, and what it records of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from baseh3d_ns.evaluation.scores import environment
from baseh3d_ns.heads.head_file import Head
from baseh3d_ns.heads.readers import BUILTIN_FILE

KEPT = ("method", "dataparser", "views", "steps", "planned_steps", "load_prior", "seed", "trained_on")


def evaluation_folder(file: Path, output_dir: Path | None) -> Path:
    """`output_dir`, or else `evaluation` in the folder of the run that a head file or a checkpoint belongs to.

    The built-in head belongs to no run, but to the package: its evaluation is for the current folder.
    """
    if output_dir is not None:
        return output_dir
    if file.resolve() == BUILTIN_FILE.resolve():
        return Path("evaluation")
    folder = file.resolve().parent
    return (folder.parent if folder.name == "nerfstudio_models" else folder) / "evaluation"


def training_provenance(head: Head, file: Path, device: torch.device) -> dict[str, Any]:
    """Training of the head, and where it was scored."""
    trained = {name: head.provenance.get(name) for name in KEPT}
    return {**trained, "evaluated_on": str(device), "file": file.name}


def run_provenance(head: Head, file: Path, device: torch.device) -> dict[str, Any]:
    """Training of the head, its data as recorded, packages, commit and date."""
    recorded = {name: head.provenance.get(name) for name in ("scene", "data")}
    return {**recorded, **training_provenance(head, file, device), **environment()}


def scale_of(head: Head) -> dict[str, Any] | None:
    """Source and uncertainty of the millimetres of own photos; None where the data are in millimetres by contract."""
    frame = head.provenance.get("head")
    if not isinstance(frame, dict):
        return None
    return {name: frame.get(name) for name in ("scale_source", "scale_uncertainty_percent")}


def scale_sentence(scale: dict[str, Any]) -> str:
    """The same in words."""
    percent = scale["scale_uncertainty_percent"]
    about = f", +- {percent:g} %" if percent else ""
    return f"millimetres by {scale['scale_source']}{about}"
