"""Shared: one tiny dataset for the whole session (read only), and a fresh one for tests that damage it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tiny_root import write_root


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An H3DS root with two scenes of five views; do not write into it."""
    return write_root(tmp_path_factory.mktemp("data") / "h3ds", scenes=("00000000000000aa", "00000000000000bb"))


@pytest.fixture
def own_root(tiny_root: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(tiny_root, tmp_path / "h3ds"))
