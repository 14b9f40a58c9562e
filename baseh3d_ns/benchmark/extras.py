"""Libraries that only a benchmark needs: their absence ends in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from baseh3d_ns.errors import InputError


@contextmanager
def needs_bench_extra() -> Iterator[None]:
    """Turn a failed import into the command that installs the library.

    Raises:
        InputError: a library of the extra `bench` is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "a library").partition(".")[0]
        raise InputError(f'benchmarks need {name}, which is not installed: pip install "baseh3d_ns[bench]"') from error
