"""What an evaluation says about the run it scored, and the photos it is shown beside."""

from __future__ import annotations

from typing import Any

import numpy as np

from baseh3d_ns.data.h3ds_scene import H3dsScene, read_image
from baseh3d_ns.evaluation.pictures import PhotoView
from baseh3d_ns.runs import Run


def run_provenance(run: Run) -> dict[str, Any]:
    """Method, views, steps, prior, seed and device of a run."""
    config = run.config
    return {
        "method": config.method_name,
        "data": str(run.dataparser.config.data),
        "views": list(run.dataparser.train_views),
        "step": run.step,
        "max_num_iterations": config.max_num_iterations,
        "load_prior": str(getattr(config, "load_prior", None)),
        "seed": config.machine.seed,
        "trained_on": config.machine.device_type,
        "evaluated_on": str(run.model.device),
        "checkpoint": run.checkpoint.name,
    }


def photo_views(scene: H3dsScene) -> list[PhotoView]:
    """All photos of a scene with their cameras in world millimetres."""
    return [
        PhotoView(
            image=read_image(view.image_path),
            intrinsics=view.intrinsics,
            rotation=view.rotation,
            translation_mm=np.asarray(view.translation_mm),
        )
        for view in scene.views
    ]
