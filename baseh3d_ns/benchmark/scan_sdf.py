"""The scan itself as a signed distance field, to measure our mesher and the metric on a perfect reconstruction."""

from __future__ import annotations

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from scipy.spatial import cKDTree
from torch import Tensor

from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.rendering.chunks import Sdf

POINT_SPACING_MM = 0.4
"""Distance between the points on the scan; the field between them is that of their tangent planes."""
TANGENT_MM = 1.0
"""Distance to the nearest point below which the distance to its tangent plane is taken."""
NEAR_MM = 30.0
"""Distance below which all points are searched, not one in `EVERY`."""
EVERY = 200


def sdf_of_scan(scan_mm: trimesh.Trimesh, frame: SceneFrame) -> Sdf:
    """Signed distance to a scan in the unit frame, negative inside: that to the nearest of many points on it.

    Near the surface it is the distance to the tangent plane there. A scan may be open: beyond its rim the sign changes
    where the distance does not, and no score from the scan to the prediction sees what is meshed of that.
    """
    count = int(scan_mm.area / POINT_SPACING_MM**2)
    points_mm, face = trimesh.sample.sample_surface(scan_mm, count, seed=0)
    points_mm, normals = np.asarray(points_mm), scan_mm.face_normals[face]
    # Far from the surface a tree of all points is slow, and a few of them will do.
    few_mm, few_normals = points_mm[::EVERY], normals[::EVERY]
    tree, far_tree = cKDTree(points_mm), cKDTree(few_mm)

    def sdf(points: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
        query_mm = frame.to_world_mm(points.detach().cpu().double().numpy())
        distance_mm, nearest = far_tree.query(query_mm)
        side_mm = np.einsum("nc,nc->n", query_mm - few_mm[nearest], few_normals[nearest])
        near = distance_mm < NEAR_MM
        distance_mm[near], nearest = tree.query(query_mm[near])
        side_mm[near] = np.einsum("nc,nc->n", query_mm[near] - points_mm[nearest], normals[nearest])
        signed = np.where(distance_mm < TANGENT_MM, side_mm, np.copysign(distance_mm, side_mm))
        return torch.from_numpy(signed / frame.radius_mm).to(points)

    return sdf
