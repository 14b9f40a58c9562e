"""A dataset in the H3DS layout, small and exact: an ellipsoid 'head' whose photos are rendered in closed form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import trimesh
from PIL import Image

SEMI_AXES_MM = np.array([75.0, 100.0, 85.0])
CENTRE_MM = np.array([12.0, -8.0, 20.0])
UNIT_RADIUS_MM = 150.0
SCENE = "00000000000000aa"
DISTANCE_MM = 450.0


def look_at(camera_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """World-to-camera R, t (OpenCV axes) of a camera that looks at the head's centre with +y up."""
    forward = (CENTRE_MM - camera_mm) / np.linalg.norm(CENTRE_MM - camera_mm)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    return rotation, -rotation @ camera_mm


def intrinsics(size: int, skew: float = 0.0) -> np.ndarray:
    """K with an off-centre principal point, pixel centres at integers."""
    return np.array([[1.6 * size, skew, 0.47 * size], [0.0, 1.5 * size, 0.53 * size], [0.0, 0.0, 1.0]])


def render(k: np.ndarray, rotation: np.ndarray, translation: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Photo coloured by normal, and mask, of the ellipsoid."""
    u, v = np.meshgrid(np.arange(size), np.arange(size))
    directions = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(k).T @ rotation
    origin = (-rotation.T @ translation - CENTRE_MM) / SEMI_AXES_MM
    directions = directions / SEMI_AXES_MM
    a, b, c = (directions**2).sum(-1), directions @ origin, (origin**2).sum() - 1.0
    discriminant = b**2 - a * c
    hit = discriminant > 0
    t = (-b - np.sqrt(np.where(hit, discriminant, 0.0))) / a
    normals = (origin + t[..., None] * directions) / SEMI_AXES_MM
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    photo = np.where(hit[..., None], 0.5 + 0.4 * normals, 0.7)
    return (photo * 255).astype(np.uint8), (hit * 255).astype(np.uint8)


def write_scene(folder: Path, views: int, size: int, skew: float = 0.0) -> None:
    """One scene: photos, masks, cameras, mesh, landmarks, regions."""
    for name in ("image", "mask", "regions"):
        (folder / name).mkdir(parents=True)
    cameras = {}
    for index, angle in enumerate(np.linspace(-1.4, 1.4, views)):
        height = 60.0 * np.cos(3.0 * angle)
        camera = CENTRE_MM + DISTANCE_MM * np.array([np.sin(angle), 0.0, np.cos(angle)]) + [0.0, height, 0.0]
        rotation, translation = look_at(camera)
        k = intrinsics(size, skew)
        photo, mask = render(k, rotation, translation, size)
        Image.fromarray(photo).save(folder / "image" / f"img_{index:04d}.jpg", quality=95)
        Image.fromarray(mask).save(folder / "mask" / f"mask_{index:04d}.png")
        cameras[f"world_mat_{index}"] = np.vstack([k @ np.c_[rotation, translation], [0, 0, 0, 1]])
        scale = np.diag([UNIT_RADIUS_MM] * 3 + [1.0])
        scale[:3, 3] = CENTRE_MM
        cameras[f"scale_mat_{index}"] = scale
    np.savez(folder / "cameras.npz", **cameras)
    _write_mesh(folder)


def _write_mesh(folder: Path) -> None:
    sphere = trimesh.creation.icosphere(subdivisions=4)
    vertices = sphere.vertices * SEMI_AXES_MM + CENTRE_MM
    lines = [f"v {x:.4f} {y:.4f} {z:.4f}" for x, y, z in vertices]
    lines += [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in sphere.faces]
    (folder / "full_head.obj").write_text("\n".join(lines) + "\n")
    nose = int(vertices[:, 2].argmax())
    face = np.flatnonzero(np.linalg.norm(vertices - vertices[nose], axis=1) < 95.0)
    for region in ("face", "face_sphere", "nose"):
        np.savetxt(folder / "regions" / f"{region}.txt", face, fmt="%d")
    names = ("right_eye", "left_eye", "nose_tip", "nose_base", "right_lips", "left_lips")
    (folder / "landmarks.txt").write_text("".join(f"{name} {nose + i}\n" for i, name in enumerate(names)))


def write_root(
    root: Path, scenes: tuple[str, ...] = (SCENE,), views: int = 5, size: int = 48, skew: float = 0.0
) -> Path:
    """A root with a config.toml of its own; view configurations 1 and 3."""
    root.mkdir(parents=True, exist_ok=True)
    text = 'version = "tiny-1"\nfile_id = ""\nfile_md5 = ""\n[scenes]\n'
    for number, scene in enumerate(scenes):
        write_scene(root / scene, views, size, skew)
        text += f"[scenes.{scene}]\ntags = ['tiny', 'tiny-{number}']\nviews = {views}\n"
        text += f"[scenes.{scene}.default_views_configs]\n1 = [2]\n3 = [2, 0, 4]\n"
    (root / "config.toml").write_text(text)
    (root / "version.txt").write_text("tiny-1\n")
    return root
