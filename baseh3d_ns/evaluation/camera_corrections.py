"""Differences between the cameras of a head's photos as given and as its training refined them."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.errors import InputError
from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.heads.head_file import Head
from baseh3d_ns.models.view_corrections import ViewCorrections


@dataclass(frozen=True)
class CameraCorrection:
    """Difference between a camera as given and as the training refined it, relative to all others."""

    rotation_deg: float
    centre_mm: float
    """Distance that the centre of projection moved."""
    focal_percent: float
    """Change of the focal length."""


def corrections_of(head: Head, training: HeadDataset) -> ViewCorrections | None:
    """Corrections of the training views that a head file holds.

    Raises:
        InputError: they are not those of as many views.
    """
    if not head.view_corrections:
        return None
    corrections = ViewCorrections(training.metadata["camera_axes"], training.metadata["camera_centres"])
    ours = {name: parameter.shape for name, parameter in corrections.named_parameters()}
    if ours != {name: tensor.shape for name, tensor in head.view_corrections.items()}:
        raise InputError(f"the head file's corrections are not those of its {len(training)} views: fit the head again")
    with torch.no_grad():
        for name, parameter in corrections.named_parameters():
            parameter.copy_(head.view_corrections[name])
    return corrections


@torch.no_grad()
def camera_corrections(corrections: ViewCorrections, frame: SceneFrame) -> list[CameraCorrection]:
    """Correction of every training view."""
    views = torch.arange(len(corrections.centres), device=corrections.centres.device)
    moved, _ = corrections.rays(corrections.centres, corrections.axes, views)
    shifts_mm = (moved - corrections.centres).norm(dim=-1) * frame.radius_mm
    turns = torch.rad2deg(corrections.motions()[:, 3:].norm(dim=-1))
    zooms = 100.0 * (corrections.focal_factors() - 1.0)
    columns = zip(turns.tolist(), shifts_mm.tolist(), zooms.tolist(), strict=True)
    return [CameraCorrection(*column) for column in columns]
