"""Orientation of an upright head in its unit frame, for priors that are upright themselves.

A capture's world may have any axes (H3DS's, COLMAP's, a phone's). People hold cameras upright, or on their side, and
photograph faces: up is up in the photos once the faces stand upright (`photos.py`), and ahead is where the cameras are
that see a face from the front: the more clearly, the more often it is detected.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn.functional import normalize

from baseh3d_ns.placing.config import PlacingConfig
from baseh3d_ns.placing.face_detection import frontal_face_votes
from baseh3d_ns.placing.photos import SmallPhoto


def rotation_to_upright(photos: Sequence[SmallPhoto], config: PlacingConfig) -> Float[Tensor, " 3"] | None:
    """Rotation vector from the unit frame's axes to an upright head's (+y up, +z where the face looks).

    Zero where the head stands that way already; None where no photo shows a face from the front. Within
    `config.frontal_deg` only the horizon of photos from several sides counts.
    """
    votes = torch.tensor([frontal_face_votes(photo.picture, config.faces.min_width) for photo in photos])
    poses = torch.stack([photo.pose for photo in photos])
    if not votes.any():
        return None
    level = up_from_horizons(poses)
    up = normalize(poses[:, :, 1].sum(dim=0), dim=0) if level is None else level
    towards_cameras = (votes[:, None] * normalize(poses[:, :, 3], dim=-1)).sum(dim=0)
    ahead = normalize(towards_cameras - (towards_cameras @ up) * up, dim=0)
    axes = torch.stack([torch.linalg.cross(up, ahead), up, ahead])
    if not torch.isfinite(axes).all():
        return None
    rotation = Rotation.from_matrix(axes.double().numpy())
    if np.degrees(rotation.magnitude()) < config.frontal_deg:
        rotation, _ = Rotation.align_vectors([[0.0, 1.0, 0.0]], [up.tolist()])
        if level is None or np.degrees(rotation.magnitude()) < config.level_deg:
            return torch.zeros(3)
    return torch.tensor(rotation.as_rotvec()).float()


def up_from_horizons(poses: Float[Tensor, "views 3 4"]) -> Float[Tensor, " 3"] | None:
    """Up direction, at right angles to the cameras' right-hand axes, which stay level when cameras look up or down.

    None when all look from one side, or some are not level (a phone on its side among others).

    Args:
        poses: camera to unit frame, OpenGL axes.
    """
    _, spread, axes = torch.linalg.svd(poses[:, :, 0])
    if len(spread) < 2 or spread[1] < 0.3 * spread[0] or spread[2:].sum() > 0.3 * spread[0]:
        return None
    return axes[2] * torch.sign(axes[2] @ poses[:, :, 1].sum(dim=0))
