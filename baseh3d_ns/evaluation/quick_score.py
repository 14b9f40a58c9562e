"""A score in about a second, for a training that is still running."""

from __future__ import annotations

import torch

from baseh3d_ns.data.h3ds_package import H3DS
from baseh3d_ns.evaluation.rigid import gt_to_pred
from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.mesh.extract import NoSurfaceError, extract_mesh
from baseh3d_ns.rendering.chunks import Sdf

SPACING_MM = 1.5
"""Mesh spacing; distances to the surface do not depend on the mesh's density."""


def quick_score(sdf: Sdf, frame: SceneFrame, device: torch.device, h3ds: H3DS, scene_id: str) -> tuple[float, float]:
    """Face and head error in mm (rigid, ground truth to surface); infinite while there is no surface.

    Args:
        sdf: signed distance in the unit frame.
        frame: unit ball in world millimetres.
        device: where `sdf` wants its points.
        h3ds: dataset with the ground truth.
        scene_id: scene of the dataset.
    """
    try:
        mesh = extract_mesh(sdf, frame, spacing_mm=SPACING_MM, device=device, progress=False)
    except NoSurfaceError:
        return float("inf"), float("inf")
    return gt_to_pred(h3ds, scene_id, mesh).means_mm
