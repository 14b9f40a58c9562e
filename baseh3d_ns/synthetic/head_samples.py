"""Samples of thousands of synthetic heads for a shape space, kept in a folder.

Every head has a file of its own, so that a run that was stopped goes on where it was, and a larger set begins with the
smaller one. Cheap to import: the body model is loaded by the processes that sample heads.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from baseh3d_ns.bars import progress_bar
from baseh3d_ns.errors import InputError
from baseh3d_ns.extras import require_extra
from baseh3d_ns.files import whole_file
from baseh3d_ns.shape_space.surface_samples import HeadSamples

VERSION = "4"
"""Version of the sampled heads: raise it when the same arguments would give other points."""


class AnnyHeads:
    """The generator as a shape space's training takes it (`shape_space.sources.HeadGenerator`)."""

    @staticmethod
    def heads(cache_dir: Path, count: int, seed: int, points: int) -> list[HeadSamples]:
        """The first `count` subjects of `seed` with so many points each, read from `cache_dir` or sampled into it.

        Raises:
            InputError: heads must be sampled, and the extra `synth` is not installed.
        """
        return [load_samples(file) for file in sample_heads(cache_dir, count, seed, points)]

    @staticmethod
    def check(cache_dir: Path, count: int, seed: int, points: int) -> None:
        """Raise `InputError` when heads must be sampled, and the extra `synth` is not installed."""
        if _missing(_files(cache_dir, count, seed, points)):
            require_extra("synth")

    @staticmethod
    def provenance(seed: int) -> str:
        """Generator, version and seed, as a shape space records them."""
        return f"anny-{VERSION}, seed {seed}"


def sample_heads(folder: Path, heads: int, seed: int, count: int) -> list[Path]:
    """Files of the first `heads` subjects of `seed` in `folder`, sampled where they are missing.

    Raises:
        InputError: files are missing, and the extra `synth` is not installed.
    """
    files = _files(folder, heads, seed, count)
    missing = _missing(files)
    if missing:
        require_extra("synth")
        workers = min(os.cpu_count() or 1, len(missing))
        # Not forked: the body model's compiler and torch have threads of their own.
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            make = partial(_write_head, files[0].parent, seed, count)
            list(
                progress_bar(pool.map(make, missing), total=len(missing), desc="Sampling synthetic heads", unit="head")
            )
    return files


def _files(folder: Path, heads: int, seed: int, count: int) -> list[Path]:
    """Files of the first `heads` subjects of `seed` with `count` points each."""
    place = folder / f"anny-{VERSION}-seed{seed}-{count}"
    return [place / f"{index:05d}.npz" for index in range(heads)]


def _missing(files: list[Path]) -> list[int]:
    """Numbers of the subjects whose files are not there."""
    return [index for index, file in enumerate(files) if not file.is_file()]


def load_samples(file: Path) -> HeadSamples:
    """Samples of one head from a file of `sample_heads`.

    Raises:
        InputError: the file is damaged.
    """
    try:
        with np.load(file) as arrays:
            points, normals, colours = (arrays[name] for name in ("points", "normals", "colours"))
            if not points.shape == normals.shape == colours.shape or not np.isfinite(points).all():
                raise ValueError("its arrays are no points, normals and colours")
            return HeadSamples(points, normals.astype(np.float32) / 127.0, colours)
    except Exception as error:  # whatever the damaged bytes lead NumPy to
        raise InputError(f"{file} is damaged ({error}): remove it, and it is made again") from error


def _write_head(place: Path, seed: int, count: int, index: int) -> None:
    """Sample one head into its file; normals are kept in a byte a component."""
    from baseh3d_ns.synthetic.sampling import sample_head

    samples = sample_head(seed, index, count)
    normals = (127.0 * samples.normals).round().astype(np.int8)
    assert samples.colours is not None
    with whole_file(place / f"{index:05d}.npz") as unfinished:
        np.savez(unfinished, points=samples.points, normals=normals, colours=samples.colours)
