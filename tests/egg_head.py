"""A small head with a nose and two ears, a one-scene H3DS dataset of it, and cameras that look at it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import trimesh

from baseh3d_ns.cameras import Pinhole
from baseh3d_ns.data.h3ds_package import H3DS
from baseh3d_ns.evaluation.pictures import PhotoView

SCENE = "0123456789abcdef"
LANDMARKS = {
    "right_eye": (-30.0, 30.0, 90.0),
    "left_eye": (30.0, 30.0, 90.0),
    "nose_tip": (0.0, 0.0, 130.0),
    "nose_base": (0.0, -15.0, 110.0),
    "right_lips": (-20.0, -40.0, 95.0),
    "left_lips": (20.0, -40.0, 95.0),
}
CONFIG = f"""
version = "test-1"
[scenes.{SCENE}]
tags = ["test"]
views = 1
[scenes.{SCENE}.default_views_configs]
1 = [0]
"""


def sphere(radius_mm: float = 100.0, subdivisions: int = 4) -> trimesh.Trimesh:
    return trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius_mm)


def head(subdivisions: int = 4) -> trimesh.Trimesh:
    """An egg with a nose towards +z and two ears: nothing that could slide along itself."""
    mesh = sphere(1.0, subdivisions)
    directions = mesh.vertices.view(np.ndarray)
    radius_mm = 80.0 + 30.0 * directions[:, 1] ** 2 + 10.0 * directions[:, 1]
    for direction, height_mm, width in [
        ((0, 0, 1), 25.0, 0.03),
        ((1, 0.1, 0), 15.0, 0.05),
        ((-1, 0.0, 0.2), 15.0, 0.05),
    ]:
        towards = np.array(direction) / np.linalg.norm(direction)
        radius_mm += height_mm * np.exp((directions @ towards - 1.0) / width)
    return trimesh.Trimesh(directions * radius_mm[:, None], mesh.faces, process=False)


def write_h3ds(folder: Path, mesh: trimesh.Trimesh, whole_face: bool = False) -> H3DS:
    """A one-scene dataset on disk; without photos, which scoring does not read."""
    scene = folder / SCENE
    (scene / "regions").mkdir(parents=True)
    (folder / "config.toml").write_text(CONFIG)
    (folder / "version.txt").write_text("test-1\n")
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in mesh.vertices]
    lines += [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in mesh.faces]
    (scene / "full_head.obj").write_text("\n".join(lines) + "\n")
    vertices = mesh.vertices.view(np.ndarray)
    landmarks = {name: int(np.linalg.norm(vertices - at, axis=1).argmin()) for name, at in LANDMARKS.items()}
    (scene / "landmarks.txt").write_text("".join(f"{name} {index}\n" for name, index in landmarks.items()))
    from_nose = np.linalg.norm(vertices - vertices[landmarks["nose_tip"]], axis=1)
    regions = {
        "face": np.full(len(vertices), True) if whole_face else vertices[:, 2] > -20.0,
        "face_sphere": from_nose < 95.0,
        "nose": from_nose < 20.0,
    }
    for name, inside in regions.items():
        (scene / "regions" / f"{name}.txt").write_text("".join(f"{i}\n" for i in np.flatnonzero(inside)))
    return H3DS(str(folder), config_path=str(folder / "config.toml"))


def wavy(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """A prediction with errors: displaced by up to a millimetre, differently everywhere."""
    return trimesh.Trimesh(mesh.vertices + np.sin(mesh.vertices[:, [1, 2, 0]] / 9.0), mesh.faces, process=False)


def camera(angle_deg: float = 0.0, side: int = 101) -> Pinhole:
    """A camera 500 mm from the origin, turned about +y; it sees the origin at pixel (50, 40)."""
    turn = np.radians(angle_deg)
    backward = np.array([np.sin(turn), 0.0, np.cos(turn)])
    right = np.array([np.cos(turn), 0.0, -np.sin(turn)])
    rotation = np.stack([right, [0.0, -1.0, 0.0], -backward])
    intrinsics = np.array([[150.0, 0.0, 50.0], [0.0, 150.0, 40.0], [0.0, 0.0, 1.0]])
    return Pinhole(intrinsics, rotation, np.array([0.0, 0.0, 500.0]), side, side)


def photo_view(angle_deg: float = 0.0, side: int = 101) -> PhotoView:
    return PhotoView(np.full((side, side, 3), 60, np.uint8), camera(angle_deg, side))
