"""The text files beside a scan that count its vertices: landmarks and regions."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from jaxtyping import Int

from baseh3d_ns.data.text_files import read_statements
from baseh3d_ns.errors import InputError


def read_landmarks(path: Path, vertices: int) -> dict[str, int]:
    """Vertex number of each landmark: a name and a number (from 0) a line; blank lines and # comments are skipped.

    Args:
        path: a landmarks.txt.
        vertices: number of vertices of the mesh it belongs to.

    Raises:
        InputError: empty, another kind of line, a number that no vertex has, a name given twice.
    """
    found: dict[str, int] = {}
    for words in read_statements(path):
        if len(words) != 2 or words[0] in found:
            raise InputError(f"{path}: '{' '.join(words)[:60]}' is no new name and vertex number: correct that line")
        found[words[0]] = _vertex(path, words[1], vertices)
    if not found:
        raise InputError(f"{path} names no landmark: write a name and a vertex number (from 0) a line")
    return found


def read_region(path: Path, vertices: int, faces: Int[np.ndarray, "f 3"]) -> Int[np.ndarray, " n"]:
    """Vertex numbers of a region: one (from 0) a line; blank lines and # comments are skipped.

    Args:
        path: a file of the folder regions.
        vertices: number of vertices of the mesh it belongs to.
        faces: triangles of that mesh.

    Raises:
        InputError: another kind of line, a number that no vertex has, or no whole triangle in the region.
    """
    numbers = []
    for words in read_statements(path):
        if len(words) != 1:
            raise InputError(f"{path}: '{' '.join(words)[:60]}' is no vertex number: write one (from 0) a line")
        numbers.append(_vertex(path, words[0], vertices))
    # Each vertex once: one that is listed twice would count twice in the scores.
    region = np.array(list(dict.fromkeys(numbers)), dtype=np.int64)
    if not np.isin(faces, region).all(axis=1).any():
        raise InputError(
            f"{path} lists {len(region)} vertices, among them no whole triangle of the scan, so there is nothing to "
            "score: list the vertices of the region, from 0"
        )
    return region


def _vertex(path: Path, word: str, vertices: int) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", word) or int(word) >= vertices:
        raise InputError(
            f"{path}: '{word[:30]}' is no vertex number from 0 to {vertices - 1}: correct it, or put the "
            "mesh there that it counts in"
        )
    return int(word)
