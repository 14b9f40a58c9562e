"""A lens for every photo of a reconstruction, where photos that nothing tells apart were zoomed in between."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from baseh3d_ns.capture.bundle_adjustment import adjusted
from baseh3d_ns.capture.reprojections import agreeing

LEAST_GAIN, LEAST_GAIN_SDS = 0.02, 1.5
"""Share of all features, and multiple of the square root of their number, by which more must agree before lenses of
their own are believed. They always explain a little more, of few features by chance, and a focal length of one photo is
uncertain: it hardly differs from another distance."""


def with_own_lenses(pycolmap: Any, model: Any, unnamed: Collection[str]) -> Any:
    """An adjusted reconstruction in which some photos have lenses of their own, if these explain the photos better.

    Args:
        pycolmap: the module.
        model: an adjusted reconstruction. It stays as it is.
        unnamed: file names of the photos whose EXIF tells no focal length; those of one size share a lens so far.

    Returns:
        the model itself where sharing explains them as well.
    """
    shared = [image.camera_id for image in model.images.values() if image.has_pose and image.name in unnamed]
    if len(shared) == len(set(shared)):
        return model
    found = adjusted(pycolmap, _split(pycolmap, model, unnamed))
    (photos, features), (photos_before, features_before) = agreeing(found), agreeing(model)
    least = max(LEAST_GAIN * features_before, LEAST_GAIN_SDS * features_before**0.5)
    return found if photos >= photos_before and features >= features_before + least else model


def _split(pycolmap: Any, model: Any, unnamed: Collection[str]) -> Any:
    """The same reconstruction, but for the lenses of some photos: as they were, without distortion."""
    split, next_camera = pycolmap.Reconstruction(), max(model.cameras) + 1
    for image in model.images.values():
        if not image.has_pose:
            continue
        camera = pycolmap.Camera(image.camera.todict())
        if image.name in unnamed:
            camera.camera_id, next_camera = next_camera, next_camera + 1
            # The lens that they shared bent what their zooms had moved.
            camera.params = np.where(np.isin(range(len(camera.params)), camera.extra_params_idxs()), 0, camera.params)
        if not split.exists_camera(camera.camera_id):
            split.add_camera_with_trivial_rig(camera)
        features = np.reshape([point.xy for point in image.points2D], (-1, 2))
        copy = pycolmap.Image(image.name, keypoints=features, camera_id=camera.camera_id, image_id=image.image_id)
        split.add_image_with_trivial_frame(copy, image.cam_from_world())
    for point in model.points3D.values():
        split.add_point3D(point.xyz, point.track)
    return split
