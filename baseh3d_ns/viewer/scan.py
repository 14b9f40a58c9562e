"""Scan of the scene that a head is fitted to, where the data have one."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from nerfstudio.utils.rich_utils import CONSOLE

from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.errors import InputError

if TYPE_CHECKING:
    import trimesh

    from baseh3d_ns.data.h3ds_package import H3DS
    from baseh3d_ns.evaluation.distance import Surface


class SceneScan:
    """The scan of a scene of H3DS, read when it is first asked for; a damaged one is said once, and is none."""

    readable = True
    """False once reading it has failed."""

    def __init__(self, h3ds: H3DS, scene_id: str) -> None:
        self.h3ds, self.scene_id = h3ds, scene_id

    @classmethod
    def of(cls, dataset: HeadDataset, data: Path) -> SceneScan | None:
        """The scan of a dataset of `h3ds-data`; None where there is none."""
        from baseh3d_ns.data.h3ds_root import open_h3ds

        metadata: dict[str, Any] = dataset.metadata
        if metadata["provenance"].get("dataparser") != "h3ds-data":
            return None
        h3ds = open_h3ds(data).h3ds
        scene_id = metadata["scene_id"]
        return cls(h3ds, scene_id) if Path(h3ds.helper.scene_mesh(scene_id)).is_file() else None

    @cached_property
    def mesh(self) -> trimesh.Trimesh | None:
        """The scan in world millimetres."""
        import trimesh

        try:
            found = self.h3ds.load_mesh(self.scene_id)
            return trimesh.Trimesh(np.asarray(found.vertices), np.asarray(found.faces), process=False)
        except InputError as error:
            self.readable = False
            CONSOLE.log(f"The viewer goes without the scan: {error}")
            return None

    @cached_property
    def surface(self) -> Surface | None:
        """The scan, prepared for distances."""
        from baseh3d_ns.evaluation.distance import Surface

        return None if self.mesh is None else Surface(self.mesh)
