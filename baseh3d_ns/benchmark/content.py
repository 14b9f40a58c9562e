"""Hashes of what cells read, which tell whether it is the same as before."""

from __future__ import annotations

import hashlib
from pathlib import Path


def content_of(scene: Path) -> str:
    """Hash of a scene's folder: its cameras, names and sizes of all other files (photos are too large to read).

    Sizes tell: a photo, mask or scan that was changed hardly ever keeps its own.
    """
    cameras = scene / "cameras.npz"
    if not cameras.is_file():
        return "not there"
    there = sorted(file for file in scene.rglob("[!.]*") if file.is_file() and file != cameras)
    sizes = "".join(f"{file.relative_to(scene).as_posix()} {file.stat().st_size}\n" for file in there)
    return hashlib.sha256(cameras.read_bytes() + sizes.encode()).hexdigest()[:12]


def content_of_heads(folder: Path) -> str:
    """Hash of the files that a shape space is learned from, by name and bytes: meshes and what lies beside them, or
    the scans of a root and their landmarks.

    Sizes would not tell: vertices that move leave a binary mesh as large as it was.
    """
    patterns = ("[!.]*", "*/full_head.obj", "*/landmarks.txt")
    there = sorted(file for pattern in patterns for file in folder.glob(pattern) if file.is_file())
    hashes = (
        f"{file.relative_to(folder).as_posix()} {hashlib.sha256(file.read_bytes()).hexdigest()}\n" for file in there
    )
    return hashlib.sha256("".join(hashes).encode()).hexdigest()[:12]
