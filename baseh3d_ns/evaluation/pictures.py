"""Pictures of a mesh beside its photos: renders by ray casting, normals, and the error in millimetres as a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Float, Int, UInt8
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from trimesh.visual import ColorVisuals

from baseh3d_ns.cameras import Pinhole
from baseh3d_ns.data.h3ds_scene import H3dsScene
from baseh3d_ns.data.pictures import read_photo
from baseh3d_ns.errors import readable

SIDES_DEG = (0.0, 60.0, -60.0)
"""Azimuths of the three pictures: the front and both sides."""
MAX_ERROR_MM = 5.0
"""The end of the colour bar."""
UNKNOWN_MM = 20.0
"""A vertex further than this from the ground truth has no counterpart there, so its distance is not an error."""
UNKNOWN_GREY = 170
HEAT = colormaps["turbo"]
BACKGROUND = 255
PICTURE_SIDE = 512
"""Photos and renders are drawn with at most this many pixels on the longer side."""


@dataclass(frozen=True, eq=False)
class PhotoView:
    """A photo and its camera in world millimetres."""

    image: UInt8[np.ndarray, "h w 3"]
    camera: Pinhole

    def reduced(self) -> PhotoView:
        """The same view with every n-th pixel, so that no side is longer than `PICTURE_SIDE`."""
        step = -(-max(self.image.shape[:2]) // PICTURE_SIDE)
        return PhotoView(self.image[::step, ::step], self.camera.every(step))


@dataclass(frozen=True)
class Render:
    """Images of a mesh from one camera."""

    colour: UInt8[np.ndarray, "h w 3"]
    """Vertex colours, or plain shading where the mesh has none."""
    normals: UInt8[np.ndarray, "h w 3"]
    """Normals in camera axes: x right is red, y up is green, towards the viewer is blue."""
    heat: UInt8[np.ndarray, "h w 3"]
    """Error colours."""


def three_photos(scene: H3dsScene) -> list[PhotoView]:
    """Photos of a scene from the front and the two sides."""
    chosen = three_sides([view.camera for view in scene.views], np.asarray(scene.frame.centre_mm))
    return [PhotoView(read_photo(scene.views[index].image_path), scene.views[index].camera) for index in chosen]


def three_sides(cameras: Sequence[Pinhole], subject_mm: Float[np.ndarray, " 3"]) -> list[int]:
    """Indices of the cameras nearest to the front, to 60 degrees on the subject's left, and to 60 degrees on its right.

    H3DS worlds have +y up and the face towards +z. With fewer than three cameras, one appears more than once.
    """
    directions = np.stack([camera.centre_mm - subject_mm for camera in cameras])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    wanted = [np.array([np.sin(angle), 0.0, np.cos(angle)]) for angle in np.radians(SIDES_DEG)]
    return [int((directions @ direction).argmax()) for direction in wanted]


def heatmap_mesh(
    mesh: trimesh.Trimesh, distances_mm: Float[np.ndarray, " n"], max_mm: float = MAX_ERROR_MM
) -> trimesh.Trimesh:
    """The same mesh with vertices coloured by distance, 0 to `max_mm`; grey beyond `UNKNOWN_MM`."""
    colours = error_colours(distances_mm, max_mm)
    return trimesh.Trimesh(
        mesh.vertices, mesh.faces, vertex_normals=mesh.vertex_normals, vertex_colors=colours, process=False
    )


def error_colours(distances_mm: Float[np.ndarray, " n"], max_mm: float) -> UInt8[np.ndarray, "n 3"]:
    """Colours of `HEAT` for 0 to `max_mm`, grey beyond `UNKNOWN_MM`."""
    colours = (HEAT(np.clip(distances_mm / max_mm, 0.0, 1.0))[:, :3] * 255).round().astype(np.uint8)
    colours[distances_mm > UNKNOWN_MM] = UNKNOWN_GREY
    return colours


def render(mesh: trimesh.Trimesh, vertex_heat: UInt8[np.ndarray, "v 3"], camera: Pinhole) -> Render:
    """Cast one ray through every pixel (embree) and interpolate over the triangle it meets first.

    Args:
        mesh: in world mm, with or without vertex colours.
        vertex_heat: error colour of every vertex.
        camera: the viewpoint, in world mm.
    """
    pixels, faces, weights = first_hits(mesh, camera)
    corners = mesh.faces[faces]
    normals = _interpolate(mesh.vertex_normals.view(np.ndarray), corners, weights) @ camera.rotation.T
    normals *= np.array([1.0, -1.0, -1.0])  # OpenCV axes to x right, y up, z to the viewer
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    if isinstance(mesh.visual, ColorVisuals) and mesh.visual.kind == "vertex":
        colours = _interpolate(mesh.visual.vertex_colors[:, :3], corners, weights)
    else:
        colours = np.repeat(230.0 * np.clip(normals[:, 2:], 0.1, 1.0), 3, axis=1)
    shape = camera.height, camera.width
    return Render(
        colour=_paint(shape, pixels, colours),
        normals=_paint(shape, pixels, (normals + 1.0) * 127.5),
        heat=_paint(shape, pixels, _interpolate(vertex_heat, corners, weights)),
    )


def first_hits(
    mesh: trimesh.Trimesh, camera: Pinhole
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], Float[np.ndarray, "n 3"]]:
    """Pixels that see the mesh (index, row by row), the face each sees, and the barycentric coordinates there."""
    directions = camera.rays(camera.pixels())
    origins = np.broadcast_to(camera.centre_mm, directions.shape)
    face = mesh.ray.intersects_first(origins, directions)
    pixel = np.flatnonzero(face >= 0)
    triangles = mesh.triangles.view(np.ndarray)[face[pixel]]
    normal = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    slant = np.einsum("nx,nx->n", normal, directions[pixel])
    # A ray along the triangle's plane meets it nowhere in particular.
    slant = np.where(np.abs(slant) < 1e-12, 1e-12, slant)
    depth = np.einsum("nx,nx->n", normal, triangles[:, 0] - origins[pixel]) / slant
    points = origins[pixel] + depth[:, None] * directions[pixel]
    weights = np.clip(trimesh.triangles.points_to_barycentric(triangles, points), 0.0, 1.0)
    return pixel, face[pixel], np.nan_to_num(weights, nan=1.0 / 3.0)


def evaluation_picture(
    path: Path,
    views: Sequence[PhotoView],
    mesh: trimesh.Trimesh,
    distances_mm: Float[np.ndarray, " n"],
    title: str = "",
    max_mm: float = MAX_ERROR_MM,
    left: str = "photo",
) -> None:
    """Write a PNG: one row per view; photo, render, normals, and error with its colour bar in millimetres.

    Args:
        path: the file, replaced if it exists.
        views: photos with their cameras, usually the three of `three_sides`.
        mesh: prediction in world mm.
        distances_mm: error of every vertex.
        title: the scores, in words.
        max_mm: end of the colour bar.
        left: heading of the left column, where the images of `views` are no photos.
    """
    vertex_heat = error_colours(distances_mm, max_mm)
    figure = Figure(figsize=(13.0, 3.1 * len(views) + 0.8), layout="constrained")
    axes = figure.subplots(len(views), 4, squeeze=False)
    for row, view in zip(axes, [view.reduced() for view in views], strict=True):
        seen = render(mesh, vertex_heat, view.camera)
        for axis, image in zip(row, [view.image, seen.colour, seen.normals, seen.heat], strict=True):
            axis.imshow(image)
            axis.set_axis_off()
    for axis, name in zip(axes[0], [left, "render", "normals", "distance to ground truth"], strict=True):
        axis.set_title(name, fontsize=11)
    bar = figure.colorbar(ScalarMappable(Normalize(0.0, max_mm), HEAT), ax=axes, shrink=0.6, pad=0.01, extend="max")
    bar.set_label(f"mm (grey: no ground truth within {UNKNOWN_MM:.0f} mm)")
    figure.suptitle(readable(title), fontsize=12, parse_math=False)
    figure.savefig(path, dpi=110, format="png")


def _interpolate(
    values: np.ndarray, corners: Int[np.ndarray, "n 3"], weights: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "n c"]:
    """Barycentric interpolation over the three corners of every hit triangle."""
    return np.einsum("nk,nkc->nc", weights, values[corners].astype(float))


def _paint(
    shape: tuple[int, ...], pixels: Int[np.ndarray, " n"], colours: Float[np.ndarray, "n 3"]
) -> UInt8[np.ndarray, "h w 3"]:
    """An image with `colours` (0 to 255) at `pixels` and the background elsewhere."""
    image = np.full((shape[0] * shape[1], 3), BACKGROUND, dtype=np.uint8)
    image[pixels] = np.clip(colours.round(), 0, 255).astype(np.uint8)
    return image.reshape(*shape, 3)
