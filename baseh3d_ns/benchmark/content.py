"""Hashes of what cells read: names and sizes of files, which tell whether they are the same as before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path


def content_of(scene: Path) -> str:
    """Hash of a scene's folder: its cameras, names and sizes of all other files (photos are too large to read).

    Sizes tell: a photo, mask or scan that was changed hardly ever keeps its own.
    """
    cameras = scene / "cameras.npz"
    if not cameras.is_file():
        return "not there"
    sizes = _sizes(scene, (file for file in scene.rglob("[!.]*") if file != cameras))
    return hashlib.sha256(cameras.read_bytes() + sizes).hexdigest()[:12]


def content_of_heads(folder: Path) -> str:
    """Hash of the names and sizes of the files that a shape space is learned from: meshes and what lies beside them,
    or the scans of a root."""
    files = (*folder.glob("[!.]*"), *folder.glob("*/full_head.obj"))
    return hashlib.sha256(_sizes(folder, files)).hexdigest()[:12]


def _sizes(folder: Path, files: Iterable[Path]) -> bytes:
    """Names and sizes of the files among these paths in a folder, a line each."""
    there = sorted(file for file in files if file.is_file())
    return "".join(f"{file.relative_to(folder).as_posix()} {file.stat().st_size}\n" for file in there).encode()
