"""The `h3ds` package, imported where its side effects stay its own, and fed with files that were checked.

Import it from here only. It makes its own logger class the default of the whole process, which would turn every later
library's log messages into coloured output; and its readers take no file but a perfect one.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from baseh3d_ns.data.obj import read_obj
from baseh3d_ns.data.scan_files import read_landmarks, read_region
from baseh3d_ns.data.text_files import read_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_logger_class = logging.getLoggerClass()
try:
    from h3ds.dataset import H3DS as PackagedH3DS
    from h3ds.dataset import ConfigsHelper, H3DSHelper
    from h3ds.mesh import Mesh
finally:
    logging.setLoggerClass(_logger_class)

__all__ = ["H3DS", "ConfigsHelper", "Mesh", "quiet", "read_config"]


def read_config(path: Path) -> dict[str, Any]:
    """The tables of an h3ds configuration.

    Raises:
        ValueError: it is no TOML.
        InputError: it cannot be read.
    """
    try:
        return tomllib.loads(read_text(path))
    except RecursionError as error:
        raise ValueError("its values are nested too deep") from error


class _Helper(H3DSHelper):  # type: ignore[misc]
    """The package's names of files, for a configuration and a version.txt that may begin with a byte-order mark."""

    def __init__(self, path: str, config_path: str) -> None:
        self.path = path
        self._config = read_config(Path(config_path))

    def version_dataset(self) -> str:
        return read_text(Path(self.version_file())).strip()


class H3DS(PackagedH3DS):  # type: ignore[misc]
    """The package's dataset, which scores as ever but reads each scan once, with our readers.

    Every `load_...` of a scan raises `InputError` for a file that is missing or damaged.
    """

    def __init__(self, path: str, config_path: str) -> None:
        # Not the package's own: it looks for every file of every scene, to warn.
        self.path, self.config_path = path, config_path
        self.helper = _Helper(path, config_path)
        self._config = self.helper._config
        self._surfaces: dict[str, tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "f 3"]]] = {}

    def load_mesh(self, scene_id: str, normalized: bool = False) -> Mesh:
        """The scan of a scene, its vertices in the file's order."""
        vertices, faces = self._surface(scene_id)
        mesh = Mesh()
        mesh.vertices, mesh.faces = vertices.copy(), faces.copy()
        if normalized:
            mesh.vertices = self._load_normalization_transform(scene_id).transform(mesh.vertices)
        return mesh

    def load_landmarks(self, scene_id: str) -> dict[str, int]:
        """Vertex numbers of the landmarks of a scene's scan."""
        return read_landmarks(Path(self.helper.scene_landmarks(scene_id)), len(self._surface(scene_id)[0]))

    def load_region(self, scene_id: str, region_id: str) -> Int[np.ndarray, " n"]:
        """Vertex numbers of a region of a scene's scan."""
        vertices, faces = self._surface(scene_id)
        return read_region(Path(self.helper.scene_region(scene_id, region_id)), len(vertices), faces)

    def _surface(self, scene_id: str) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "f 3"]]:
        if scene_id not in self._surfaces:
            self._surfaces[scene_id] = read_obj(Path(self.helper.scene_mesh(scene_id)))
        return self._surfaces[scene_id]


@contextmanager
def quiet() -> Iterator[None]:
    """Silence h3ds' own warnings, for where they do not hold for us."""
    logger = logging.getLogger("h3ds")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
