"""A score of a training that is still running."""

from __future__ import annotations

from typing import Any

from baseh3d_ns.evaluation.rigid import gt_to_pred
from baseh3d_ns.mesh.extract import NoSurfaceError, extract_mesh

SPACING_MM = 1.5
"""Enough, because distances to the surface do not depend on the mesh's density."""


def quick_score(trainer: Any) -> tuple[float, float]:
    """Face and head in mm, rigid, ground truth to surface; infinite while there is no surface."""
    model, manager = trainer.pipeline.model, trainer.pipeline.datamanager
    frame, scene = trainer.dataset.metadata["frame"], manager.dataparser.scene.scene_id
    try:
        mesh = extract_mesh(model.field.sdf, frame, spacing_mm=SPACING_MM, device=model.device, progress=False)
    except NoSurfaceError:
        return float("inf"), float("inf")
    return gt_to_pred(manager.dataparser.root.h3ds, scene, mesh).means_mm
