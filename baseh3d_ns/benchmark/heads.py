"""The heads on a benchmark's page: the picture of every scan and row, and a mesh small enough for a browser."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import numpy as np
import trimesh
from jaxtyping import Float, Int, UInt8
from PIL import Image
from scipy.spatial import cKDTree
from trimesh.visual import ColorVisuals

from baseh3d_ns.benchmark.executors import LOG
from baseh3d_ns.benchmark.metrics import METRICS
from baseh3d_ns.benchmark.results import Result
from baseh3d_ns.errors import InputError
from baseh3d_ns.evaluation.write import SCORES

EVALUATION, PICTURE = "evaluation", "evaluation.png"
MESHES = {"error": "error_heatmap.ply", "colour": "head.ply"}
"""Two colourings of the same mesh, by the name of their button."""
LINKED = (*MESHES.values(), PICTURE, SCORES)
"""Files of an evaluation that the page links to."""
MAX_WIDTH_PX = 1600
MAX_FACES = 21000
"""Faces of a mesh on the page: three times that is below 2**16, so the indices of its corners always fit."""
FULL_SIZE = 40
"""Number of heads that are shown at full size; more share the 25 MB that those take, down to `SMALLEST`."""
SMALLEST = 0.1


def page_heads(run: Path, results: Sequence[tuple[Path, Result]]) -> list[dict[str, Any]]:
    """Content of the page for every scene, view configuration and row; of several seeds the first that is done.

    Args:
        run: the benchmark's folder, which links to files are relative to.
        results: each with the folder of its cell, in that folder.

    Returns:
        Dictionaries with scene, row, views, note (scores, or why there is none) and files (links by name); with
        `picture` and `mesh` where the cell's folder has them.
    """
    chosen: dict[tuple[str, str, str], tuple[Path, Result]] = {}
    for folder, result in results:
        key = (result.scene, result.row, result.views)
        if result.kind == "fit" and (key not in chosen or (result.done and not chosen[key][1].done)):
            chosen[key] = (folder, result)
    share = max(min(1.0, FULL_SIZE / max(sum(result.done for _, result in chosen.values()), 1)), SMALLEST)
    return [_head(folder, result, share) | {"files": links(run, folder)} for folder, result in chosen.values()]


def links(run: Path, folder: Path) -> dict[str, str]:
    """Links from the benchmark's folder to the files of a cell that people open, by name."""
    files = [folder / EVALUATION / name for name in LINKED] + [folder / LOG]
    return {file.name: quote(file.relative_to(run).as_posix()) for file in files if file.is_file()}


def _head(folder: Path, result: Result, share: float) -> dict[str, Any]:
    head: dict[str, Any] = {"scene": result.scene, "row": result.row, "views": result.views}
    if not result.done:
        return {**head, "note": f"{result.status}: {result.reason or 'no reason given'}"}
    scores = ((name, getattr(result, metric)) for metric, name in METRICS.items())
    note = ", ".join(f"{name.removesuffix(' mm')} {value:.2f}" for name, value in scores if value is not None) + " mm"
    content = head_content(folder / EVALUATION, share)
    return {**head, **content, "note": note if content else f"{note}; no pictures in its folder"}


def head_content(evaluation: Path, share: float = 1.0) -> dict[str, Any]:
    """`picture` (a data URL) and `mesh` (see `packed`) of an evaluation's folder, as far as it has them.

    Args:
        share: fraction of `MAX_FACES` and of the pixels of `MAX_WIDTH_PX`.

    Raises:
        InputError: a file is damaged.
    """
    content: dict[str, Any] = {}
    if (evaluation / PICTURE).is_file():
        with _named(evaluation / PICTURE):
            content["picture"] = picture_url(evaluation / PICTURE, round(MAX_WIDTH_PX * share**0.5))
    there = {name: evaluation / file for name, file in MESHES.items() if (evaluation / file).is_file()}
    if there:
        meshes = {name: _read_mesh(file) for name, file in there.items()}
        content["mesh"] = packed(meshes, round(MAX_FACES * share))
    return content


def _read_mesh(file: Path) -> trimesh.Trimesh:
    """A mesh as it was written; `InputError` where the file is damaged."""
    with _named(file):
        # Unprocessed, or vertices would be merged and the two files no longer agree.
        mesh = trimesh.load_mesh(file, process=False)
        vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
        if not len(faces) or not np.isfinite(vertices).all() or faces.min() < 0 or faces.max() >= len(vertices):
            raise ValueError("no surface")
    return mesh


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """Context in which whatever a reader raises on damaged bytes is one sentence with the file's name."""
    try:
        yield
    except Exception as error:
        raise InputError(
            f"{file} is damaged ({type(error).__name__}): move the folder of its cell away, and `baseh3d bench` makes "
            "it again"
        ) from error


def picture_url(file: Path, max_width_px: int = MAX_WIDTH_PX) -> str:
    """A picture as a JPEG data URL, made no wider than that."""
    picture = Image.open(file).convert("RGB")
    picture.thumbnail((max_width_px, 10 * max_width_px))
    jpeg = io.BytesIO()
    picture.save(jpeg, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.getvalue()).decode()


def packed(meshes: dict[str, trimesh.Trimesh], max_faces: int = MAX_FACES) -> dict[str, Any]:
    """Colourings of one mesh, made small, for the page's script.

    Args:
        meshes: in mm, with the same vertices and faces; one at least.
        max_faces: faces of the small one.

    Returns:
        `low` (3 numbers, mm) and `step_mm`: a vertex is low + step * its numbers; `vertices`, `faces` (16 bits) and
        `colours` (8 bits, by name of the colouring) in base64, three numbers each.
    """
    first = next(iter(meshes.values()))
    same = {name: mesh for name, mesh in meshes.items() if len(mesh.vertices) == len(first.vertices)}
    # A .ply has colours or none at all, never a texture.
    visuals = [cast(ColorVisuals, mesh.visual) for mesh in same.values()]
    colours = np.concatenate([visual.vertex_colors[:, :3] for visual in visuals], axis=1)
    vertices, faces, colours = decimated(
        np.asarray(first.vertices), np.asarray(first.faces), np.asarray(colours), max_faces
    )
    low = vertices.min(axis=0)
    step_mm = max(float((vertices - low).max()) / 65535, 1e-9)
    return {
        "low": low.tolist(),
        "step_mm": step_mm,
        "vertices": _base64((vertices - low) / step_mm, "<u2"),
        "faces": _base64(faces, "<u2"),
        "colours": {name: _base64(colours[:, 3 * k : 3 * k + 3], "u1") for k, name in enumerate(same)},
    }


def decimated(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], colours: UInt8[np.ndarray, "v c"], max_faces: int
) -> tuple[Float[np.ndarray, "w 3"], Int[np.ndarray, "g 3"], UInt8[np.ndarray, "w c"]]:
    """A mesh (mm) of at most that many faces with nearly the same surface, coloured like the nearest vertex there."""
    if len(faces) <= max_faces:
        return vertices, faces, colours
    from fast_simplification import simplify

    fewer, corners = simplify(vertices.astype(np.float32), faces.astype(np.int32), target_count=max_faces)
    return fewer, corners, colours[cKDTree(vertices).query(fewer)[1]]


def _base64(values: np.ndarray, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(np.round(values), dtype=kind).tobytes()).decode()
