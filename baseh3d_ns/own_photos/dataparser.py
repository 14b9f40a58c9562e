"""The `head-data` dataparser: one's own photos with a `transforms.json` or a COLMAP model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from nerfstudio.data.dataparsers.base_dataparser import DataParser, DataParserConfig, DataparserOutputs
from nerfstudio.plugins.registry_dataparser import DataParserSpecification
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from baseh3d_ns.bounds import Pixels, Weight
from baseh3d_ns.data.h3ds_root import choose_views
from baseh3d_ns.data.views import nerfstudio_cameras, view_outputs
from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.own_photos.metric_scale import ScaleOptions
from baseh3d_ns.own_photos.scene import NECK_MM, OwnScene, open_own_photos

FRONTAL_DEG = (0.0, 45.0, -45.0)
"""Azimuths of up to three views that were asked for by their number."""
COUNTS = (1, 3, 4, 8, 16, 32)
"""Numbers of views that can be asked for, as in H3DS."""


@dataclass
class HeadDataParserConfig(DataParserConfig):
    """One's own photos of a head, with cameras by nerfstudio, Polycam, Metashape, COLMAP or `baseh3d capture`."""

    _target: type = field(default_factory=lambda: HeadDataParser)
    data: Path = Path("my_photos/head")
    """Folder with a transforms.json or a COLMAP model (sparse/0), or the .json."""
    views: tuple[str, ...] = ("all",)
    """Training views: so many from all sides (1, 3, 4, 8, 16, 32), `all` (or those that the file names for training),
    indices (0,4,9; a single one is 4,), or names of photos. All others are for evaluation."""
    longest_side_px: Pixels = 768
    """Longer side in pixels of the pictures, cut to the head, that are trained on; larger ones are made smaller."""
    neck_mm: Weight = NECK_MM
    """Distance below the chin, in millimetres, of the plane that head and neck end at, where silhouettes go on to the
    borders of the photos or farther than a head; not of a folder by `baseh3d capture`, which has decided on it."""
    mm_per_unit: Weight = 0.0
    """Millimetres in the unit of the cameras' positions; 0: by the other sources."""
    pupils_mm: Weight = 0.0
    """Distance between the pupils in millimetres (adults: 55 to 72), as the measure of the scale; 0: not known."""
    unit: Literal["mm", "cm", "m"] | None = None
    """Unit of the cameras' positions; not of Metashape's, which nerfstudio leaves in one of their own: give
    --pupils-mm, or as --mm-per-unit 1000 x the scale of the component in Metashape's .xml."""

    @property
    def scale(self) -> ScaleOptions:
        """Knowledge of the user about the scale."""
        return ScaleOptions(self.mm_per_unit, self.pupils_mm, self.unit)

    def opened(self) -> OwnScene:
        """The head of the photos, see `open_own_photos`."""
        return open_own_photos(Path(self.data), self.scale, self.neck_mm, self.longest_side_px)

    @property
    def downscale_factor(self) -> float:
        """Factor by which `ns-render dataset --downscale-factor` makes the pictures smaller."""
        return 1.0

    @downscale_factor.setter
    def downscale_factor(self, factor: float) -> None:
        self.longest_side_px = max(1, round(self.longest_side_px / factor))


@dataclass
class HeadDataParser(DataParser):
    """Opens the photos once, checks them, and splits them: train = the views asked for, eval = all others."""

    config: HeadDataParserConfig
    includes_time: bool = False
    downscale_factor: int = 1

    def __post_init__(self) -> None:
        config = self.config
        self.scene: OwnScene = config.opened()
        self.train_views = self._train_views()
        if config.views != ("all",):
            chosen = ", ".join(self.scene.views[view].shot.name for view in self.train_views)
            CONSOLE.log(f"Photos to train on: {chosen}.")

    def _train_views(self) -> list[int]:
        scene = self.scene
        names = [view.shot.name for view in scene.views]
        if self.config.views == ("all",) and scene.splits.get("train"):
            return scene.splits["train"]
        centres = np.array([view.camera.centre_mm for view in scene.views])
        choices = {str(count): spread_views(centres, count) for count in COUNTS if count <= len(names)}
        return choose_views(indices_of(self.config.views, names), len(names), choices, str(scene.capture.path))

    def split_views(self, split: str) -> list[int]:
        """Numbers of a split's views; eval splits are never empty."""
        if split == "train":
            return self.train_views
        named = [view for view in self.scene.splits.get(split, []) if view not in self.train_views]
        rest = named or [view for view in range(len(self.scene.views)) if view not in self.train_views]
        if not rest:
            CONSOLE.log("All photos are for training, so they are the eval views as well.")
        return rest or self.train_views

    def _generate_dataparser_outputs(self, split: str = "train", **_: object) -> DataparserOutputs:
        scene = self.scene
        numbers = self.split_views(split)
        views = [scene.views[number] for number in numbers]
        frame = SceneFrame((0.0, 0.0, 0.0), scene.frame.radius_mm)
        outputs = view_outputs(
            nerfstudio_cameras([view.camera for view in views], frame),
            frame,
            scene.capture.path.parent.name,
            numbers,
            [view.shot.photo_path for view in views],
            [view.picture for view in views],
            to_unit(scene),
            {
                "dataparser": "head-data",
                "cameras": str(scene.capture.path),
                "head": scene.frame.block(),
                "neck_mm": self.config.neck_mm,
                "photos": [view.shot.name for view in views],
            },
            scene.frame.ears_unit,
        )
        if any(look.is_guess for look in scene.looks):
            outputs.metadata["guessed_masks"] = True
        return outputs


def to_unit(scene: OwnScene) -> tuple[Float[Tensor, "3 4"], float]:
    """nerfstudio's `dataparser_transform` and `dataparser_scale`, from the world before `applied_transform`."""
    frame, original = scene.frame, np.linalg.inv(scene.capture.to_original)
    turn = np.column_stack([frame.rotation, -frame.rotation @ frame.centre]) @ original
    size = float(np.cbrt(abs(np.linalg.det(turn[:, :3]))))
    return torch.tensor(turn / size, dtype=torch.float32), size / frame.radius


def indices_of(words: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """The words of `--views` with names of photos, with or without folder and suffix, replaced by their indices."""
    by_word: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        for word in {name, Path(name).name, Path(name).stem}:
            by_word.setdefault(word, []).append(index)
    replaced = []
    for word in words:
        parts = [word] if word in by_word else word.split(",")
        found = [by_word.get(part.strip(), []) for part in parts]
        named = word.strip("0123456789, []()") != "" and all(len(one) == 1 for one in found)
        replaced.append("".join(f"{one[0]}," for one in found) if named else word)
    return tuple(replaced)


def spread_views(centres_mm: Float[np.ndarray, "n 3"], count: int) -> list[int]:
    """Views from the front first (`FRONTAL_DEG`), then each as far from those before it as there is one.

    Args:
        centres_mm: camera centres in upright axes (+y up, +z ahead) about the head.
        count: number of views, at most as many as there are.
    """
    directions = centres_mm / np.linalg.norm(centres_mm, axis=1, keepdims=True)
    chosen: list[int] = []
    for number in range(count):
        if number < len(FRONTAL_DEG):
            azimuth = np.radians(FRONTAL_DEG[number])
            nearness = directions @ np.array([np.sin(azimuth), 0.0, np.cos(azimuth)])
        else:
            nearness = -(directions @ directions[chosen].T).max(axis=1)
        nearness[chosen] = -np.inf
        chosen.append(int(nearness.argmax()))
    return chosen


head_data = DataParserSpecification(
    config=HeadDataParserConfig(),
    description="Your own photos of a head: a transforms.json (nerfstudio, Polycam, ...) or a COLMAP model.",
)
