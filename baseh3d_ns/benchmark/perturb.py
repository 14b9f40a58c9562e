"""Copies of H3DS scenes that are harder: cropped at the neck, in another unit ball, turned, or badly captured.

All but the last leave surface, photos and cameras what they are, so a fit should end where it ends without the change.
Heads must stand as those of `baseh3d synth` do: millimetres, +y up.
"""

from __future__ import annotations

import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Float
from PIL import Image
from scipy.spatial.transform import Rotation

from baseh3d_ns.data.h3ds_root import open_h3ds
from baseh3d_ns.data.h3ds_scene import H3dsScene, View, load_scene
from baseh3d_ns.data.pictures import read_mask, read_photo
from baseh3d_ns.errors import InputError
from baseh3d_ns.files import whole_folder
from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.synthetic import capture_noise
from baseh3d_ns.synthetic.noise_parts import NOISE_PARTS, NoisePart
from baseh3d_ns.synthetic.render import Photo

NECK_MM = 95.0
"""Heads are cropped this far below the base of the nose: three centimetres under the chin."""
BALL_MARGIN = 1.05


@dataclass(frozen=True)
class Change:
    """Departure of a copy from its scene."""

    crop: bool = False
    """Cut masks and scan at the neck; the unit ball shrinks to what is left."""
    scale: float = 1.0
    """Factor of the unit ball's radius."""
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Translation of the unit ball's centre, in millimetres."""
    rotation_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Rotation vector in degrees, of head and cameras together, about the unit ball's centre."""
    noise: tuple[NoisePart, ...] = ()
    """Errors as large as `baseh3d synth --noise` makes them."""


CHANGES = {
    "as it is": Change(),
    "cropped at the neck": Change(crop=True),
    "unit ball 30 % larger": Change(scale=1.3),
    "unit ball 30 mm lower": Change(scale=1.2, shift_mm=(0.0, -30.0, 0.0)),
    "turned by 15 degrees": Change(rotation_deg=(8.0, 10.0, 8.0)),
    "lying, in a world of other axes": Change(rotation_deg=(-90.0, 0.0, 0.0)),
    "looking the other way": Change(rotation_deg=(0.0, 180.0, 0.0)),
    "badly captured": Change(noise=NOISE_PARTS),
} | {f"badly captured: {part}": Change(noise=(part,)) for part in NOISE_PARTS}


def perturb(root: Path, scene_name: str, out: Path, change: Change) -> None:
    """Write a root with one changed scene.

    Args:
        root: root in the H3DS layout.
        scene_name: id, scanN or tag of the scene.
        out: folder to write.
        change: departure from the scene.

    Raises:
        InputError: no such root or scene, or a file of it is damaged.
    """
    opened = open_h3ds(root)
    scene = load_scene(opened, opened.resolve_scene(scene_name))
    with whole_folder(out / scene.scene_id) as folder:
        _copy_files(root, scene, folder, out)
        truth = opened.h3ds.load_mesh(scene.scene_id)
        landmarks = opened.h3ds.load_landmarks(scene.scene_id)
        frame, vertices, kept = scene.frame, truth.vertices, np.ones(len(truth.vertices), bool)
        if change.crop:
            if "nose_base" not in landmarks:
                path = opened.h3ds.helper.scene_landmarks(scene.scene_id)
                raise InputError(f"{path} has no landmark nose_base, which cropping at the neck needs: add it")
            height_mm = vertices[landmarks["nose_base"]][1] - NECK_MM
            kept = vertices[:, 1] > height_mm
            _crop_masks(folder, scene, trimesh.Trimesh(vertices, truth.faces, process=False), height_mm)
            middle = (vertices[kept].min(axis=0) + vertices[kept].max(axis=0)) / 2.0
            frame = _ball(middle, BALL_MARGIN * float(np.linalg.norm(vertices[kept] - middle, axis=1).max()))
        moved = np.eye(4)
        moved[:3, :3] = Rotation.from_rotvec(change.rotation_deg, degrees=True).as_matrix()
        moved[:3, 3] = frame.centre_mm - moved[:3, :3] @ frame.centre_mm
        ball = _ball(np.array(frame.centre_mm) + change.shift_mm, frame.radius_mm * change.scale)
        _write_cameras(folder, scene, ball, moved, _add_noise(folder, scene, change.noise) if change.noise else {})
        regions = {
            path.name: opened.h3ds.load_region(scene.scene_id, path.stem) for path in (folder / "regions").glob("*.txt")
        }
        _write_truth(folder, trimesh.transform_points(vertices, moved), truth.faces, kept, landmarks, regions)


def _copy_files(root: Path, scene: H3dsScene, folder: Path, out: Path) -> None:
    """Copy the files of a scene, and of its root those that describe it."""
    shutil.copytree(root / scene.scene_id, folder, dirs_exist_ok=True)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    for name in ("config.toml", "version.txt"):
        if (root / name).is_file():
            shutil.copyfile(root / name, out / name)


def _ball(centre_mm: Float[np.ndarray, " 3"], radius_mm: float) -> SceneFrame:
    x, y, z = (float(value) for value in centre_mm)
    return SceneFrame(centre_mm=(x, y, z), radius_mm=radius_mm)


def _crop_masks(folder: Path, scene: H3dsScene, truth: trimesh.Trimesh, height_mm: float) -> None:
    """Clear the pixels that show what lies lower."""
    for view in scene.views:
        mask = read_mask(view.mask_path)
        rows, columns = np.nonzero(mask)
        origin, directions = _rays(view, rows, columns)
        origins = np.broadcast_to(origin, directions.shape)
        # Where a mask is larger than the scan: the point closest to the ball's centre.
        towards = np.array(scene.frame.centre_mm) - origin
        heights = (origins + (directions @ towards)[:, None] * directions)[:, 1]
        points, hit, _ = truth.ray.intersects_location(origins, directions, multiple_hits=False)
        heights[hit] = points[:, 1]
        mask = mask.copy()
        mask[rows, columns] = heights > height_mm
        Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "mask" / view.mask_path.name)


def _rays(view: View, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Camera centre and unit directions of pixels, world millimetres."""
    return view.camera.centre_mm, view.camera.rays(np.column_stack([columns, rows]).astype(float))


def _add_noise(folder: Path, scene: H3dsScene, parts: tuple[NoisePart, ...]) -> dict[str, Float[np.ndarray, "4 4"]]:
    """Change photos and masks; the cameras as a bad calibration would write them."""
    rng = np.random.default_rng(zlib.crc32(scene.scene_id.encode()))
    angle, cameras = capture_noise.draw_light_angle(rng), {}
    for view in scene.views:
        noise = capture_noise.draw_view_noise(rng, angle, parts)
        mask = np.where(read_mask(view.mask_path), 255, 0).astype(np.uint8)
        photo = capture_noise.developed(Photo(read_photo(view.image_path), mask), noise)
        Image.fromarray(photo.rgb).save(folder / "image" / view.image_path.name, quality=95, subsampling=0)
        Image.fromarray(photo.mask).save(folder / "mask" / view.mask_path.name)
        cameras[f"world_mat_{view.index}"] = capture_noise.written_camera(view.camera, noise).world_mat
    return cameras


def _write_cameras(
    folder: Path,
    scene: H3dsScene,
    ball: SceneFrame,
    moved: Float[np.ndarray, "4 4"],
    changed: dict[str, Float[np.ndarray, "4 4"]],
) -> None:
    """World to pixels as in the scene's own file or as `changed`, of a world moved by that matrix."""
    with np.load(folder / "cameras.npz") as archive:
        names = [name for name in archive.files if name.startswith("world_mat_")]
        matrices = {name: changed.get(name, archive[name]) @ np.linalg.inv(moved) for name in names}
    matrices |= {f"scale_mat_{view.index}": ball.unit_to_world for view in scene.views}
    np.savez(folder / "cameras.npz", **matrices)


def _write_truth(
    folder: Path,
    vertices: np.ndarray,
    faces: np.ndarray,
    kept: np.ndarray,
    landmarks: dict[str, int],
    regions: dict[str, np.ndarray],
) -> None:
    """The scan, its landmarks and regions, without the vertices that are not kept."""
    number = np.cumsum(kept) - 1
    with open(folder / "full_head.obj", "w") as obj:
        np.savetxt(obj, vertices[kept], fmt="v %.3f %.3f %.3f")
        np.savetxt(obj, number[faces[kept[faces].all(axis=1)]] + 1, fmt="f %d %d %d")
    left = {name: vertex for name, vertex in landmarks.items() if kept[vertex]}
    (folder / "landmarks.txt").write_text("".join(f"{name} {number[vertex]}\n" for name, vertex in left.items()))
    for name, region in regions.items():
        np.savetxt(folder / "regions" / name, number[region[kept[region]]], fmt="%d")
