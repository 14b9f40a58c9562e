"""The part of a scan's face that its photos can show: none of them looks into a nostril or between the lips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Int

from baseh3d_ns.data.h3ds_package import H3DS
from baseh3d_ns.data.h3ds_scene import read_cameras
from baseh3d_ns.evaluation.protocol import FACE_REGION
from baseh3d_ns.mesh.visibility import seen_from

LEAST_CAMERAS = 2
"""Cameras of a scene that have to see a point: what one sees, it sees without depth."""


def shown_face(h3ds_root: H3DS, scene_id: str) -> Int[np.ndarray, " n"] | None:
    """Vertices of `FACE_REGION` that at least `LEAST_CAMERAS` cameras of the scene can see; None where there are none.

    All cameras of the scene count, whichever photos a head was trained on, so that scores can be compared. Without a
    file of cameras there are none.

    Raises:
        InputError: the file of cameras is damaged.
    """
    file = Path(h3ds_root.helper.scene_cameras(scene_id))
    if not file.is_file():
        return None
    cameras, _ = read_cameras(file, h3ds_root.helper.scene_views(scene_id))
    truth, face = h3ds_root.load_mesh(scene_id), h3ds_root.load_region(scene_id, FACE_REGION)
    scan, count = trimesh.Trimesh(truth.vertices, truth.faces, process=False), np.zeros(len(truth.vertices), int)
    for camera in cameras:
        count += seen_from(scan, -np.linalg.solve(camera[:, :3], camera[:, 3]))
    shown = face[count[face] >= LEAST_CAMERAS]
    return shown if len(shown) else None
