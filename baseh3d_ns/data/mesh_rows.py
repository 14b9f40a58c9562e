"""Text meshes that were cut off at the end of a line: their headers count more lines than there are."""

from __future__ import annotations

from pathlib import Path

from baseh3d_ns.data.text_files import read_statements
from baseh3d_ns.errors import InputError


def check_all_rows(path: Path) -> None:
    """Raise `InputError` where a .ply or .off in text holds fewer vertices and faces than its header counts.

    Mesh readers take what is left for all there was. Binary files cut off fail to be read; .obj files count nothing.
    """
    count = {".ply": _ply_rows, ".off": _off_rows}.get(path.suffix.lower())
    counted = count(path) if count else None
    if counted is not None and counted[0] < counted[1]:
        there, announced = counted
        raise InputError(
            f"{path} is cut off: it holds {there} of the {announced} vertices and faces that its header counts: "
            "export it again, or get it again from where it came from"
        )


def _ply_rows(path: Path) -> tuple[int, int] | None:
    """Lines after the header and elements in it; None for a binary or damaged file."""
    header, end, body = path.read_bytes().partition(b"end_header")
    lines = [line.split() for line in header.splitlines()]
    counts = [words[2] for words in lines if len(words) == 3 and words[0] == b"element"]
    in_text = [b"format", b"ascii"] in [words[:2] for words in lines]
    if not end or not in_text or not all(map(bytes.isdigit, counts)):
        return None
    return sum(bool(line.strip()) for line in body.splitlines()), sum(map(int, counts))


def _off_rows(path: Path) -> tuple[int, int] | None:
    """Lines after the counts, and vertices and faces in them; None for a damaged file."""
    rows = read_statements(path)
    if rows and rows[0][0].upper().endswith("OFF"):
        rows = [rows[0][1:], *rows[1:]] if rows[0][1:] else rows[1:]
    if not rows or len(rows[0]) < 2 or not all(word.isdecimal() for word in rows[0][:2]):
        return None
    return len(rows) - 1, int(rows[0][0]) + int(rows[0][1])
