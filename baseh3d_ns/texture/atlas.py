"""UV atlas of a mesh: charts that are height fields along the six axes of the world, packed by xatlas.

xatlas can find charts as well, but needs minutes for the faces of a head; packing takes it a second. Along the axes the
atlas also reads well: the face is one chart, seen from the front.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int

from baseh3d_ns.errors import InputError
from baseh3d_ns.texture.smoothing import smoothed

if TYPE_CHECKING:
    import trimesh

RIGHT_AND_DOWN = np.array(
    [
        [[0, 0, -1], [0, -1, 0]],
        [[0, 0, 1], [0, -1, 0]],
        [[1, 0, 0], [0, 0, 1]],
        [[1, 0, 0], [0, 0, -1]],
        [[1, 0, 0], [0, -1, 0]],
        [[-1, 0, 0], [0, -1, 0]],
    ],
    dtype=float,
)
"""Directions to the right and downwards in charts seen from +x, -x, +y, -y, +z, -z."""
AXES = -np.cross(RIGHT_AND_DOWN[:, 0], RIGHT_AND_DOWN[:, 1])
"""Directions that the charts are seen from."""
SMOOTHING_MM = 8.0
"""Distance over which normals are averaged before charts are told apart: borders that follow no wrinkle."""
LEAST_COS = 0.1
"""Cosine between a face's normal and its chart's axis below which it goes to the chart of another axis."""
CLEARANCE_MM = 0.05
"""Height above a face from which other faces of the chart are looked for."""
NEAR_CORNERS = 0.9
"""Fraction of the way from the middle of a face to its corners at which other faces are looked for."""
MOST_LAYERS = 6
"""Layers, at most, that a folded chart is taken apart into."""
PADDING_TEXELS = 4
"""Distance between charts: they do not bleed into each other in the first two mipmaps."""
EXPECTED_FILL, STEP, MOST_TRIES = 0.6, 0.97, 16
"""Share of a texture that charts might fill; factor on the scale while they do not fit, and how often that is tried."""


@dataclass(frozen=True)
class Atlas:
    """A mesh cut open along the borders of its charts, and where it lies in a square texture."""

    source: Int[np.ndarray, " w"]
    """Vertex of the uncut mesh behind every vertex."""
    faces: Int[np.ndarray, "f 3"]
    texels: Float[np.ndarray, "w 2"]
    """Column and row from the texture's upper left corner, in texels."""
    right: Float[np.ndarray, "w 3"]
    """Direction in the world along the texture's rows."""
    size: int
    """Width and height of the texture in texels."""


def unwrap(mesh_mm: trimesh.Trimesh, size: int) -> Atlas:
    """Atlas of a mesh in a texture of `size` x `size` texels, all charts at the same scale.

    Raises:
        InputError: there are more charts than fit.
    """
    axis, chart = charts_of(mesh_mm)
    corners = mesh_mm.triangles.view(np.ndarray)
    flat_mm = np.einsum("fcx,fax->fca", corners, RIGHT_AND_DOWN[axis])
    names, vertices = np.unique(chart[:, None] * len(mesh_mm.vertices) + mesh_mm.faces, return_inverse=True)
    faces = vertices.reshape(-1, 3)
    uv_mm = np.zeros((len(names), 2))
    uv_mm[faces] = flat_mm
    right = np.zeros((len(names), 3))
    right[faces] = RIGHT_AND_DOWN[axis, 0][:, None]
    area_mm2 = 0.5 * np.abs(np.cross(flat_mm[:, 1] - flat_mm[:, 0], flat_mm[:, 2] - flat_mm[:, 0])).sum()
    scale = size * np.sqrt(EXPECTED_FILL / area_mm2)
    for _ in range(MOST_TRIES):
        cut, cut_faces, texels = _pack(uv_mm, faces, chart, scale)
        longest = float(texels.max())
        if longest <= size:
            return Atlas(names[cut] % len(mesh_mm.vertices), cut_faces, texels, right[cut], size)
        scale *= STEP * size / longest
    raise InputError(
        f"a texture of {size} x {size} cannot hold the {chart.max() + 1} charts of this surface: choose a larger one"
    )


def charts_of(mesh_mm: trimesh.Trimesh) -> tuple[Int[np.ndarray, " f"], Int[np.ndarray, " f"]]:
    """Axis and chart of every face; no chart hides a part of itself from its axis."""
    normals = smoothed(mesh_mm, mesh_mm.vertex_normals.view(np.ndarray), SMOOTHING_MM)
    axis = (normals[mesh_mm.faces].sum(axis=1) @ AXES.T).argmax(axis=1)
    cos = mesh_mm.face_normals @ AXES.T
    away = cos[np.arange(len(axis)), axis] < LEAST_COS
    axis[away] = cos[away].argmax(axis=1)
    layer = np.zeros_like(axis)
    for _ in range(MOST_LAYERS):
        chart = _connected(mesh_mm, axis + len(AXES) * layer)
        hidden = _hidden_in_chart(mesh_mm, axis, chart)
        if not hidden.any():
            break
        layer[hidden] += 1
    return axis, chart


def _connected(mesh_mm: trimesh.Trimesh, label: Int[np.ndarray, " f"]) -> Int[np.ndarray, " f"]:
    """Number of the connected set of faces with one label that each face belongs to."""
    from trimesh.graph import connected_component_labels

    pairs = mesh_mm.face_adjacency
    alike = label[pairs[:, 0]] == label[pairs[:, 1]]
    return connected_component_labels(pairs[alike], node_count=len(label)).astype(np.int64)


def _hidden_in_chart(
    mesh_mm: trimesh.Trimesh, axis: Int[np.ndarray, " f"], chart: Int[np.ndarray, " f"]
) -> Bool[np.ndarray, " f"]:
    """Whether another face of its chart lies between a face, or a part of it, and the observer on its axis.

    All charts are laid side by side, so that one scene of embree answers for them all.
    """
    import trimesh

    frames = np.concatenate([RIGHT_AND_DOWN, AXES[:, None]], axis=1)
    corners = np.einsum("fcx,fax->fca", mesh_mm.triangles.view(np.ndarray), frames[axis])
    left, right = np.full(chart.max() + 1, np.inf), np.full(chart.max() + 1, -np.inf)
    np.minimum.at(left, chart, corners[..., 0].min(axis=1))
    np.maximum.at(right, chart, corners[..., 0].max(axis=1))
    widths = right - left + 1.0
    corners[..., 0] += (np.cumsum(widths) - widths - left)[chart][:, None]
    soup = trimesh.Trimesh(corners.reshape(-1, 3), np.arange(3 * len(corners)).reshape(-1, 3), process=False)
    # Near its corners: a face may be hidden in part.
    middle = corners.mean(axis=1, keepdims=True)
    above = (middle + NEAR_CORNERS * (corners - middle) + [0.0, 0.0, CLEARANCE_MM]).reshape(-1, 3)
    hidden = soup.ray.intersects_any(above, np.broadcast_to([0.0, 0.0, 1.0], above.shape))
    return hidden.reshape(-1, 3).any(axis=1)


def _pack(
    uv_mm: Float[np.ndarray, "v 2"], faces: Int[np.ndarray, "f 3"], chart: Int[np.ndarray, " f"], scale: float
) -> tuple[Int[np.ndarray, " w"], Int[np.ndarray, "f 3"], Float[np.ndarray, "w 2"]]:
    """Vertices behind those of the packed charts, faces, and positions in texels, at `scale` texels a millimetre."""
    import xatlas

    packer, options = xatlas.Atlas(), xatlas.PackOptions()
    packer.add_uv_mesh(uv_mm.astype(np.float32), faces.astype(np.uint32), chart[:, None].astype(np.uint32))
    options.texels_per_unit, options.padding, options.bilinear = scale, PADDING_TEXELS, True
    options.rotate_charts = options.rotate_charts_to_axis = False
    packer.generate(pack_options=options)
    source, packed, uv = packer[0]
    return source.astype(np.int64), packed.astype(np.int64), uv.astype(float) * [packer.width, packer.height]
