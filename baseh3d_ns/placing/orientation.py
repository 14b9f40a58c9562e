"""Which way up a head stands in its unit frame, for priors that know how heads stand.

A capture's world may have any axes (H3DS's, COLMAP's, a phone's). People hold cameras upright and photograph faces, so
up is up in the photos, and ahead is where the cameras are that see a face from the front.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn.functional import normalize

from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.placing.correspondences import small_photo
from baseh3d_ns.placing.face_detection import sees_face_from_front

TRUSTED_DEG = 40.0
"""A detector takes a face for frontal when it is turned by thirty degrees as well: within that, the frame is right."""
LEVEL_DEG = 4.0
"""What is level in photos from several sides is so to a degree or two, three at most (heads of two generators)."""


def turn_to_standing(dataset: HeadDataset) -> Float[Tensor, " 3"]:
    """Rotation vector from the unit frame's axes to a standing head's (+y up, +z where the face looks).

    Zero where the head stands that way already, or where no face is seen from the front. Within `TRUSTED_DEG` only what
    photos from several sides say about up is taken.
    """
    views = range(len(dataset))
    frontal = [view for view in views if sees_face_from_front(small_photo(dataset, view)[0])]
    poses = dataset.cameras.camera_to_worlds
    if not frontal:
        return torch.zeros(3)
    level = _up_where_photos_are_level(poses)
    up = normalize(poses[:, :, 1].sum(dim=0), dim=0) if level is None else level
    towards_cameras = normalize(poses[frontal, :, 3], dim=-1).sum(dim=0)
    ahead = normalize(towards_cameras - (towards_cameras @ up) * up, dim=0)
    axes = torch.stack([torch.linalg.cross(up, ahead), up, ahead])
    if not torch.isfinite(axes).all():
        return torch.zeros(3)
    turn = Rotation.from_matrix(axes.double().numpy())
    if np.degrees(turn.magnitude()) < TRUSTED_DEG:
        turn, _ = Rotation.align_vectors([[0.0, 1.0, 0.0]], [up.tolist()])
        if level is None or np.degrees(turn.magnitude()) < LEVEL_DEG:
            return torch.zeros(3)
    return torch.tensor(turn.as_rotvec()).float()


def _up_where_photos_are_level(poses: Float[Tensor, "views 3 4"]) -> Float[Tensor, " 3"] | None:
    """Across the right-hand axes of all cameras: they stay level when cameras look down or up. None when they all look
    from one side, or are not level (a phone on its side among others).

    Args:
        poses: camera to unit frame, OpenGL axes.
    """
    _, spread, axes = torch.linalg.svd(poses[:, :, 0])
    if len(spread) < 2 or spread[1] < 0.3 * spread[0] or spread[2:].sum() > 0.3 * spread[0]:
        return None
    return axes[2] * torch.sign(axes[2] @ poses[:, :, 1].sum(dim=0))
