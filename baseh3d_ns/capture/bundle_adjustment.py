"""Bundle adjustment of a reconstruction by structure from motion, to lenses as there are.

Its robust losses fall in width (graduated non-convexity, Blake and Zisserman 1987): a few wrong matches turn the
cameras of few photos by degrees.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from baseh3d_ns.own_photos.lens import COEFFICIENTS, Lens

FEWEST_FOR_PRINCIPAL_POINT = 15
"""Photos of every lens from which on the principal points are found too, instead of taken as the middles."""
FARTHEST_PRINCIPAL_POINT, STRONGEST_DISTORTION = 0.03, 0.35
"""Distance of the principal point from the middle in longer sides of a photo, and radial coefficient, that lenses have
at most. Features of a head alone, in the middle of the photos, may ask for more, and turn the cameras by degrees."""
LOSS_PX = (2.0, 1.0, 0.5)
"""Widths of the Cauchy losses, one after another, in pixels of the small photos."""
ADJUSTED = 1e-6
"""Relative change of the loss at which it counts as least; COLMAP's own 0 goes on to the last iteration."""


def adjusted(pycolmap: Any, model: Any) -> Any:
    """A reconstruction after bundle adjustment of poses, points and lenses.

    With the principal points where enough photos determine them; without them, and without distortion, where they come
    out as no lens has them.
    """
    of_camera = Counter(image.camera_id for image in model.images.values() if image.has_pose)
    enough = min(of_camera.values()) >= FEWEST_FOR_PRINCIPAL_POINT
    for principal_point, distortion in ((True, True), (False, True), (False, False)):
        if enough or not principal_point:
            found = pycolmap.Reconstruction(model)
            _adjust(pycolmap, found, principal_point, distortion)
            if all(_is_likely(camera) for camera in found.cameras.values()):
                break
    return found


def _is_likely(camera: Any) -> bool:
    """Whether there are lenses with such a principal point and distortion, which can be undone all over the photo."""
    offset = np.hypot(camera.principal_point_x - camera.width / 2.0, camera.principal_point_y - camera.height / 2.0)
    distortion = np.abs(camera.params[camera.extra_params_idxs()])
    farthest = FARTHEST_PRINCIPAL_POINT * max(camera.width, camera.height)
    if offset > farthest or (distortion > STRONGEST_DISTORTION).any():
        return False
    coefficients = np.zeros(len(COEFFICIENTS))
    coefficients[: len(distortion)] = camera.params[camera.extra_params_idxs()]
    return Lens(camera.calibration_matrix(), coefficients, camera.width, camera.height).can_be_undone


def _adjust(pycolmap: Any, model: Any, principal_point: bool, distortion: bool) -> None:
    options = pycolmap.BundleAdjustmentOptions()
    options.refine_principal_point, options.refine_extra_params = principal_point, distortion
    options.print_summary = False
    options.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    options.ceres.solver_options.function_tolerance = ADJUSTED
    for width_px in LOSS_PX:
        options.ceres.loss_function_scale = width_px
        _solve(pycolmap, model, options)


def _solve(pycolmap: Any, model: Any, options: Any) -> None:
    """COLMAP's global bundle adjustment without its words, which `pycolmap.bundle_adjustment` turns on for good."""
    config = pycolmap.BundleAdjustmentConfig()
    for image in model.reg_image_ids():
        config.add_image(image)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    pycolmap.create_default_bundle_adjuster(options, config, model).solve()
