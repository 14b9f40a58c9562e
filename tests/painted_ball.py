"""Balls, paint on them, and photos of painted meshes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import trimesh
from nerfstudio.cameras.cameras import Cameras

from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.data.views import Picture, view_outputs
from baseh3d_ns.frames import SceneFrame

FRAME = SceneFrame(centre_mm=(10.0, -20.0, 30.0), radius_mm=200.0)
SIDE, FOCAL, DISTANCE = 128, 170.0, 3.0
GREY = (128, 128, 128)


def ball(radius_mm: float = 100.0, centre_mm: tuple[float, float, float] = FRAME.centre_mm) -> trimesh.Trimesh:
    """A grey ball."""
    mesh = trimesh.creation.icosphere(subdivisions=4, radius=radius_mm)
    colours = np.tile(np.uint8(GREY), (len(mesh.vertices), 1))
    return trimesh.Trimesh(mesh.vertices + centre_mm, mesh.faces, vertex_colors=colours, process=False)


def camera_from(angle_deg: float) -> np.ndarray:
    """Camera-to-world of a camera that looks at the unit ball's centre, turned about +y."""
    turn = np.radians(angle_deg)
    backward = np.array([np.sin(turn), 0.0, np.cos(turn)])
    right = np.array([np.cos(turn), 0.0, -np.sin(turn)])
    return np.stack([right, [0.0, 1.0, 0.0], backward, DISTANCE * backward], axis=1)


def red_left_blue_right(points: np.ndarray) -> np.ndarray:
    """Red where the unit frame's x is negative, blue where it is not."""
    return np.where(points[:, :1] < 0.0, [0.8, 0.1, 0.1], [0.1, 0.2, 0.9])


def photographed(mesh: trimesh.Trimesh, *angles_deg: float, paint=red_left_blue_right, exposures=()) -> HeadDataset:
    """Photos of a painted mesh."""
    c2w = torch.from_numpy(np.stack([camera_from(angle) for angle in angles_deg])).float()
    cameras = Cameras(c2w, FOCAL, FOCAL, SIDE / 2, SIDE / 2, SIDE, SIDE)
    pictures = []
    for view in range(len(angles_deg)):
        bundle = cameras.generate_rays(camera_indices=view)
        origins = FRAME.to_world_mm(bundle.origins.reshape(-1, 3).double().numpy())
        points, ray, _ = mesh.ray.intersects_location(
            origins, bundle.directions.reshape(-1, 3).double().numpy(), multiple_hits=False
        )
        rgb, mask = np.full((SIDE**2, 3), (0.0, 1.0, 0.0)), np.zeros(SIDE**2, bool)
        rgb[ray] = paint(FRAME.to_unit(points)) * (exposures[view] if exposures else 1.0)
        mask[ray] = True
        photo = (255.0 * rgb.clip(0.0, 1.0)).round().astype(np.uint8).reshape(SIDE, SIDE, 3)
        pictures.append(Picture(photo, mask.reshape(SIDE, SIDE), np.ones((SIDE, SIDE), bool)))
    names, to_unit = [Path(f"{view}.png") for view in range(len(angles_deg))], FRAME.world_to_unit_transform()
    return HeadDataset(view_outputs(cameras, FRAME, "ball", range(len(angles_deg)), names, pictures, to_unit, {}))
