"""Face correspondences: rays of the photos, and points of the prior's frame that they should meet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from baseh3d_ns.fields.placement import Placement
from baseh3d_ns.placing.face_pose import FacePose, expected_landmarks
from baseh3d_ns.placing.prior_face import PriorFace


@dataclass(frozen=True, eq=False)
class FaceCorrespondences:
    """Landmarks of one person's face: one pair of ray and point for each in every photo that shows them."""

    origins: Float[Tensor, "pairs 3"]
    """Origins of the rays in the unit frame of the photos."""
    directions: Float[Tensor, "pairs 3"]
    """Unit directions of the rays."""
    points: Float[Tensor, "pairs 3"]
    """Landmarks in the prior's unit frame, where the photo's camera is expected to see them."""
    tolerances: Float[Tensor, " pairs"]
    """Distances of ray and point, in units of the prior's unit ball, beyond which the loss grows linearly."""
    views: int
    """Number of photos that show the face."""

    def ray_loss(self, placement: Placement) -> Float[Tensor, ""]:
        """Mean pseudo-Huber distance from the points to the rays, in tolerances."""
        offset = self.points - placement.points(self.origins)
        directions = placement.directions(self.directions)
        across = offset - (offset * directions).sum(-1, keepdim=True) * directions
        return ((1.0 + (across / self.tolerances[:, None]).square().sum(-1)).sqrt() - 1.0).mean()


def correspondences(pose: FacePose, prior: PriorFace, device: torch.device) -> FaceCorrespondences:
    """Correspondences of a face whose pose has been found, with the prior's frame instead of the head frame."""
    to_prior, faces = prior.to_head.inverse(), pose.faces
    expected = list(expected_landmarks(faces, prior.model, pose.to_head, pose.head_mm))
    origins = np.repeat(faces.origins, faces.directions.shape[1], axis=0)
    points = to_prior.points(np.concatenate([points_mm for points_mm, _ in expected]))
    sd_mm = np.concatenate([sd for _, sd in expected])

    def tensor(part: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(part)).float().to(device)

    return FaceCorrespondences(
        origins=tensor(origins),
        directions=tensor(faces.directions.reshape(-1, 3)),
        points=tensor(points),
        tolerances=tensor(to_prior.scale * sd_mm),
        views=len(faces.views),
    )
