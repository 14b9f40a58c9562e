"""Any mesh file as a scan in millimetres: the ground truth that a user brings along."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Float

from baseh3d_ns.data.head_size import UNITS_MM, Unit, likely_unit, unit_mistake
from baseh3d_ns.data.mesh_rows import check_all_rows
from baseh3d_ns.data.obj import read_obj
from baseh3d_ns.errors import InputError, named_permissions
from baseh3d_ns.evaluation.scores import SIZE_RANGE_MM

METRIC_SUFFIXES = (".glb", ".gltf")
"""Formats in metres by their specification (glTF 2.0, section 3.4)."""
ROOM_MM = 2e4
"""Largest extent of a scan that shows a person, or the room round the head, in millimetres."""
COARSEST_MM = 0.5
"""Largest step in millimetres between coordinates that a scan can be scored with."""
COMPRESSED = (b"KHR_draco_mesh_compression", b"EXT_meshopt_compression")
"""Extensions of glTF that trimesh reads as zeros."""
SCAN_SUFFIXES = (".ply", ".obj", ".stl", ".off", *METRIC_SUFFIXES)


@named_permissions()
def read_scan(path: Path, unit: Unit | None) -> trimesh.Trimesh:
    """The triangles of a mesh file in millimetres.

    Args:
        path: a mesh of one of `SCAN_SUFFIXES`; the parts of a scene are joined, each where the scene places it.
        unit: unit of its coordinates; None: metres for glTF, millimetres for all others.

    Raises:
        InputError: no file, another format, damaged, empty, without faces, not finite, or no head's size in that unit,
            or rounded, as single precision is far from the origin.
    """
    mesh = _triangles(path)
    used = unit_of(path, unit)
    _check_precision(path, mesh.vertices.view(np.ndarray), used)
    mesh.apply_scale(UNITS_MM[used])
    extent_mm = float(mesh.extents.max())
    if not extent_of_person(extent_mm):
        extent = extent_mm / UNITS_MM[used]
        likely = likely_unit(extent) or ("m" if extent_of_person(extent * UNITS_MM["m"]) else None)
        remedy = f"pass --unit {likely}" if likely else unit_mistake(extent_mm) or "pass its --unit, or another file"
        if SIZE_RANGE_MM[1] < extent_mm <= ROOM_MM:
            remedy += "; or cut the head out, if it shows more than that"
        raise InputError(f"--scan {path}: read in {used} it is {extent_mm:.3g} mm large, which is no head: {remedy}")
    return mesh


def extent_of_person(extent_mm: float) -> bool:
    """Whether a largest extent is that of a part of a person, or of a whole one."""
    return SIZE_RANGE_MM[0] <= extent_mm <= SIZE_RANGE_MM[1]


def unit_of(path: Path, unit: Unit | None) -> Unit:
    """The unit that `read_scan` reads a file in."""
    return unit or ("m" if path.suffix.lower() in METRIC_SUFFIXES else "mm")


def _check_precision(path: Path, vertices: Float[np.ndarray, "n 3"], unit: Unit) -> None:
    """Raise `InputError` where the coordinates are single precision, too far from the origin for a head's shape."""
    with np.errstate(over="ignore"):
        single = vertices.astype(np.float32)
    step_mm = float(np.spacing(np.abs(single).max())) * UNITS_MM[unit]
    if step_mm > COARSEST_MM and np.array_equal(single, vertices):
        raise InputError(
            f"--scan {path} lies so far from the origin that single precision has rounded it to {step_mm:.3g} mm: "
            "export it near the origin, or in double precision"
        )


def _triangles(path: Path) -> trimesh.Trimesh:
    """The file's mesh in its own unit."""
    suffixes = ", ".join(SCAN_SUFFIXES)
    if not path.is_file():
        raise InputError(f"--scan {path}: no such file; pass a mesh ({suffixes})")
    if path.suffix.lower() not in SCAN_SUFFIXES:
        raise InputError(f"--scan {path}: '{path.suffix}' is no mesh format that can be read; pass one of {suffixes}")
    check_all_rows(path)
    if path.suffix.lower() in METRIC_SUFFIXES and any(name in path.read_bytes() for name in COMPRESSED):
        raise InputError(f"--scan {path} is compressed (Draco or meshopt): export it again without compression")
    mesh = _loaded(path)
    if not isinstance(mesh, trimesh.Trimesh) or not len(mesh.faces):
        raise InputError(f"--scan {path} has points but no faces, or is cut off: mesh the points, or export it again")
    vertices = mesh.vertices.view(np.ndarray)
    if vertices.shape[1] != 3:
        raise InputError(f"--scan {path} has vertices that are not three numbers: export it again")
    if mesh.faces.min() < 0 or mesh.faces.max() >= len(vertices):
        raise InputError(f"--scan {path} has faces of vertices that it does not have: export it again")
    # Vertices of no face may be anything.
    if not np.isfinite(vertices[mesh.faces]).all():
        raise InputError(f"--scan {path} has vertices that are not finite: repair it, or export it again")
    surface = trimesh.Trimesh(vertices, mesh.faces, process=False)
    surface.remove_unreferenced_vertices()
    return surface


def _loaded(path: Path) -> object:
    """What is in a file, the parts of a scene as one."""
    if path.suffix.lower() == ".obj":  # trimesh counts relative numbers from the end of the file, not from the face
        return trimesh.Trimesh(*read_obj(path), process=False)
    try:
        loaded = trimesh.load(path, process=False, skip_materials=True)
        return loaded.to_mesh() if isinstance(loaded, trimesh.Scene) else loaded
    except Exception as error:  # whatever the damaged bytes lead a reader to
        # trimesh reads lists of one length only.
        hint = ", a binary .ply with nothing but triangles" if path.suffix.lower() == ".ply" else ""
        said = f"--scan {path} is empty, damaged or no mesh: export it again as one of {', '.join(SCAN_SUFFIXES)}{hint}"
        raise InputError(said) from error
