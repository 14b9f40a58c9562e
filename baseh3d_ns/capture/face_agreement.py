"""Whether cameras from structure from motion agree with the faces that their photos show.

Hair, cloth and walls that look alike from several sides are matched with one another: the cameras then crowd on one
side of the head with small reprojection errors. A face tells from where it is seen, to some degrees.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from baseh3d_ns.capture.landmark_cameras import FaceView, head_to_camera
from baseh3d_ns.capture.solved import SolvedView
from baseh3d_ns.pretrained.landmark_model import LandmarkModel

AGREES_DEG = 25.0
"""Angle between the head's axes by two photos up to which they agree: a face from the side is placed to ten degrees."""
LEAST_AGREEING = 0.7
"""Share of the photos with faces that have to agree."""
FEWEST = 3
"""Photos with a face and a camera from which on a disagreement means anything."""


def faces_agree(views: Sequence[SolvedView], faces: Sequence[FaceView | None], model: LandmarkModel) -> bool:
    """Whether the head has one pose in the world of the cameras by most photos that show a face.

    Args:
        views: photos with the cameras that were found.
        faces: the face in each photo; None where it shows none that may be relied upon.
        model: the mean face.
    """
    to_head = Rotation.concatenate(
        [
            Rotation.from_matrix(head_to_camera(face, model).T @ view.camera.rotation)
            for view, face in zip(views, faces, strict=True)
            if view.camera is not None and face is not None
        ]
        or [Rotation.identity()]
    )
    if len(to_head) < FEWEST:
        return True
    apart = np.array([(to_head * one.inv()).magnitude() for one in to_head])
    return bool((np.degrees(apart) <= AGREES_DEG).mean(axis=1).max() >= LEAST_AGREEING)
