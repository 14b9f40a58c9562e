"""Wavefront .obj files: vertices and triangles in the file's own order, which landmarks and regions count in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from baseh3d_ns.data.text_files import read_statements, read_text, statements
from baseh3d_ns.errors import InputError

REMEDY = "export it again, or get it again from where it came from"


def read_obj(path: Path) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "f 3"]]:
    """All vertices of a file, used or not, and its faces as triangles (larger polygons as fans).

    Groups, materials, normals and texture coordinates are skipped. Negative indices count back from the vertex before
    the face, as the format has it.

    Raises:
        InputError: no vertices, no faces, a number that is none or not finite, an index without a vertex, cut off.
    """
    rows: list[list[str]] = []
    faces: list[tuple[int, int, int]] = []
    text = read_text(path)
    lines = _joined(statements(text))
    count = sum(words[0] == "v" for words in lines)
    for words in lines:
        if words[0] == "v":
            rows.append(words[1:4])
        elif words[0] == "f":
            corners = _corners(path, words, len(rows), count)
            faces += [(corners[0], *pair) for pair in zip(corners[1:-1], corners[2:], strict=True)]
    if not rows or not faces:
        missing = "vertices" if not rows else "faces"
        raise InputError(f"{path} has no {missing}, so it holds no surface: {REMEDY}")
    triangles = np.array(faces, dtype=np.int64)
    unused = len(rows) - len(np.unique(triangles))
    if unused and not text.endswith("\n"):
        raise InputError(f"{path} is cut off: its last line has no end, and {unused} vertices have no face: {REMEDY}")
    return _vertices(path, rows), triangles


def plain_obj(path: Path) -> str:
    """The text of a file for readers that want no byte-order mark, tabs, comments or continued lines.

    Raises:
        InputError: the file is missing or cannot be read.
    """
    return "\n".join(" ".join(words) for words in _joined(read_statements(path))) + "\n"


def _joined(statements: list[list[str]]) -> list[list[str]]:
    """The statements, those that a backslash at the end of their line continues as one."""
    whole: list[list[str]] = []
    continued = False
    for words in statements:
        ends, words = words[-1].endswith("\\"), [*words[:-1], words[-1].removesuffix("\\")]
        if continued:
            whole[-1] += words
        else:
            whole.append(words)
        continued = ends
    return [words for words in ([word for word in words if word] for words in whole) if words]


def _corners(path: Path, words: list[str], before: int, count: int) -> list[int]:
    """Vertex numbers, from 0, of a face statement that stands after `before` of the file's `count` vertices."""
    line = " ".join(words)[:60]
    try:
        written = [int(word.split("/")[0]) for word in words[1:]]
    except ValueError as error:
        raise InputError(f"{path}: '{line}' is no face of vertex numbers: {REMEDY}") from error
    corners = [number - 1 if number > 0 else before + number for number in written]
    if len(corners) < 3 or 0 in written or not all(0 <= corner < count for corner in corners):
        raise InputError(f"{path}: '{line}' is no face of three or more of its {count} vertices: {REMEDY}")
    return corners


def _vertices(path: Path, rows: list[list[str]]) -> Float[np.ndarray, "v 3"]:
    try:
        vertices = np.array(rows, dtype=np.float64).reshape(len(rows), 3)
    except ValueError as error:
        odd = next(row for row in rows if not _is_vertex(row))
        raise InputError(
            f"{path}: 'v {' '.join(odd)[:60]}' is no vertex, which is three numbers with decimal points: {REMEDY}"
        ) from error
    odd_count = int((~np.isfinite(vertices)).any(axis=1).sum())
    if odd_count:
        raise InputError(f"{path}: {odd_count} of its vertices are not finite: {REMEDY}")
    return vertices


def _is_vertex(row: list[str]) -> bool:
    try:
        return np.array(row, dtype=np.float64).shape == (3,)
    except ValueError:
        return False
