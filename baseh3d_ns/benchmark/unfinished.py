"""Scores of an unfinished benchmark, kept in the repository: another checkout goes on where this one was stopped.

What cells make for others (heads, priors) stays behind, and is made anew where an open fit needs it.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from baseh3d_ns import __version__
from baseh3d_ns.benchmark.cells import CELLS
from baseh3d_ns.benchmark.results import Result, load_result
from baseh3d_ns.data.text_files import read_text
from baseh3d_ns.errors import InputError
from baseh3d_ns.files import write_text

SCORED = ("fit", "floor")
"""Kinds of cells whose result is all that anyone needs of them."""


def keep_unfinished(run: Path, file: Path) -> int:
    """Keep the scores in a benchmark's folder that this version made, one JSON a line; their number.

    Args:
        run: the benchmark's folder.
        file: to write; left alone where there is no score.
    """
    found = (load_result(folder) for folder in sorted((run / CELLS).glob("*")))
    scored = [one for one in found if one and one.kind in SCORED and one.version == __version__]
    lines = [TypeAdapter(Result).dump_json(one, exclude={"provenance"}).decode() for one in scored]
    if lines:
        write_text(file, "\n".join(sorted(lines)) + "\n")
    return len(lines)


def read_unfinished(file: Path) -> dict[str, Result]:
    """Kept scores by the id of their cell; none where there is no file.

    Raises:
        InputError: the file is damaged.
    """
    if not file.is_file():
        return {}
    try:
        results = [TypeAdapter(Result).validate_json(line) for line in read_text(file).splitlines()]
    except ValidationError as error:
        raise InputError(f"{file} is damaged: take it from git again, or delete it and measure anew") from error
    return {one.id: one for one in results}


def take_up(file: Path, run: Path) -> None:
    """Put kept scores into a benchmark's folder, where it has none of that cell.

    Raises:
        InputError: the file is damaged.
    """
    for name, result in read_unfinished(file).items():
        folder = next((run / CELLS).glob(f"*-{name}"), run / CELLS / f"kept-{name}")
        if load_result(folder) is None:
            folder.mkdir(parents=True, exist_ok=True)
            result.save(folder)
