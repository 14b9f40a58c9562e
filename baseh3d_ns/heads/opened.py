"""A head as its user opened it: what the file holds, and what the command said of its photos."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from baseh3d_ns.errors import InputError
from baseh3d_ns.heads.head_file import Head
from baseh3d_ns.heads.readers import find_head_file, open_head


@dataclass(frozen=True)
class OpenedHead:
    """A head, its file, and where its photos are; what the command says counts more than what the file records."""

    head: Head
    file: Path
    """For messages, and for what is written beside it."""
    said_data: Path | None = None
    """H3DS root or folder of photos, where it has moved since the training or the file does not know it."""
    said_scene: str | None = None
    """Scene id, for files that do not record theirs."""

    @classmethod
    def read(cls, path: Path, data: Path | None = None, scene: str | None = None) -> OpenedHead:
        """The head of a run folder, its config.yml, a head file or a checkpoint.

        Raises:
            InputError: there is no head that can be read, or it has no use for what is said of its photos.
        """
        opened = cls(open_head(path), find_head_file(path), data, scene)
        if opened.head.latents is not None and (data or scene):
            raise InputError(f"{path} is a shape space and has seen no photo: leave --data and --scene out")
        if opened.head.provenance.get("dataparser") == "head-data" and scene:
            raise InputError(f"--scene {scene}: {path} was trained on own photos, which have no scenes: leave it out")
        return opened

    @property
    def data(self) -> Path | None:
        """H3DS root, or folder of photos; None where neither the command nor the file says it."""
        known = self.said_data or self.head.provenance.get("data")
        return None if known is None else Path(str(known))

    @property
    def scene(self) -> str | None:
        """Scene id or name; None where neither the command nor the file says it."""
        known = self.said_scene or self.head.provenance.get("scene")
        return None if known is None else str(known)

    def scene_named(self) -> tuple[Path, str]:
        """H3DS root and scene.

        Raises:
            InputError: neither the command nor the file says them.
        """
        if self.data is None or self.scene is None:
            raise InputError(
                f"{self.file} does not record its scene: pass --data ROOT --scene NAME, or the folder of its run"
            )
        return self.data, self.scene
