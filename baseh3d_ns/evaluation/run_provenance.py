"""What an evaluation says about the run it scored, and the photos it is shown beside."""

from __future__ import annotations

from typing import Any

import numpy as np

from baseh3d_ns.data.h3ds_dataparser import H3dsDataParser
from baseh3d_ns.data.h3ds_scene import H3dsScene, read_image
from baseh3d_ns.evaluation.pictures import PhotoView, three_sides
from baseh3d_ns.runs import Run


def run_provenance(run: Run, parser: H3dsDataParser) -> dict[str, Any]:
    """Method, views, steps, prior, seed and device of a run."""
    config = run.config
    prior = getattr(config, "load_prior", None)
    return {
        "method": config.method_name,
        "data": str(parser.config.data),
        "views": list(parser.train_views),
        "step": run.step,
        "max_num_iterations": config.max_num_iterations,
        "load_prior": str(prior) if prior else None,
        "seed": config.machine.seed,
        "trained_on": config.machine.device_type,
        "evaluated_on": str(run.device),
        "checkpoint": run.checkpoint.name,
    }


def three_photos(scene: H3dsScene) -> list[PhotoView]:
    """The photos of a scene from the front and the two sides, with their cameras in world millimetres."""
    views = [
        PhotoView(
            image=read_image(view.image_path),
            intrinsics=view.intrinsics,
            rotation=view.rotation,
            translation_mm=np.asarray(view.translation_mm),
        )
        for view in scene.views
    ]
    return three_sides(views, np.asarray(scene.frame.centre_mm))
