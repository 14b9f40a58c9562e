"""The `h3ds-data` dataparser: a scene of an H3DS root as nerfstudio cameras in the unit frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from nerfstudio.data.dataparsers.base_dataparser import DataParser, DataParserConfig, DataparserOutputs
from nerfstudio.plugins.registry_dataparser import DataParserSpecification
from nerfstudio.utils.rich_utils import CONSOLE

from baseh3d_ns.bounds import AtLeastOne
from baseh3d_ns.data.camera_checks import check_apart
from baseh3d_ns.data.h3ds_root import open_h3ds
from baseh3d_ns.data.h3ds_scene import H3dsScene, load_scene
from baseh3d_ns.data.views import PictureFiles, nerfstudio_cameras, view_outputs
from baseh3d_ns.errors import InputError


@dataclass
class H3dsDataParserConfig(DataParserConfig):
    """A scene of the H3DS dataset, or of any folder in its layout."""

    _target: type = field(default_factory=lambda: H3dsDataParser)
    data: Path = Path("data/h3ds")
    """The unzipped H3DS folder (versions 0.2 and 0.4), or a folder made by `baseh3d synth`."""
    scene: str = "scan0"
    """Scene id, `scanN` (N-th in sorted order, from 0; of H3DS, of the config_v1 ids), or a tag of one scene."""
    views: tuple[str, ...] = ("3",)
    """Training views: a default configuration of the scene (3, 4, 8, 16, 32; 1, but not in H3DS 0.2; 6 in 0.4), `all`,
    or indices (0,4,9; a single one is 4,). All others are for evaluation."""
    downscale: AtLeastOne = 1.0
    """Divide width and height of images and masks by this factor (at least 1)."""

    @property
    def downscale_factor(self) -> float:
        """`downscale` by the name that `ns-render dataset --downscale-factor` gives it."""
        return self.downscale

    @downscale_factor.setter
    def downscale_factor(self, factor: float) -> None:
        self.downscale = factor


@dataclass
class H3dsDataParser(DataParser):
    """Reads a scene once, checks it, and splits its views: train = the views asked for, eval = all others."""

    config: H3dsDataParserConfig
    includes_time: bool = False
    downscale_factor: int = 1

    def __post_init__(self) -> None:
        if not self.config.downscale >= 1.0:
            raise InputError(
                f"--downscale {self.config.downscale} would enlarge the images: give a factor of at least 1"
            )
        self.root = open_h3ds(self.config.data)
        scene_id = self.root.resolve_scene(self.config.scene)
        self.train_views = self.root.resolve_views(scene_id, self.config.views)
        self.scene: H3dsScene = load_scene(self.root, scene_id, needed=self.train_views)
        self.views = {view.index: view for view in self.scene.views}
        cameras = [self.views[index].camera for index in self.train_views]
        check_apart(cameras, self.train_views, self.scene.frame, self.root.path / scene_id / "cameras.npz")

    def _generate_dataparser_outputs(self, split: str = "train", **_: object) -> DataparserOutputs:
        views = [self.views[index] for index in self.split_views(split)]
        frame = self.scene.frame
        return view_outputs(
            nerfstudio_cameras([view.camera for view in views], frame, self.config.downscale),
            frame,
            self.scene.scene_id,
            [view.index for view in views],
            [view.image_path for view in views],
            [PictureFiles(view.image_path, view.mask_path) for view in views],
            frame.world_to_unit_transform(),
            {"dataparser": "h3ds-data"},
        )

    def split_views(self, split: str) -> list[int]:
        """View indices of a split; the eval splits are the views left over, or the training views when none are."""
        rest = [index for index in self.views if index not in self.train_views]
        if split == "train":
            return self.train_views
        if not rest:
            _say_once(
                f"No other view of scene {self.scene.scene_id} is there, so the training views are also the eval views."
            )
            return self.train_views
        return rest


@cache
def _say_once(sentence: str) -> None:
    """A line in the log, the first time only: a training sets up several dataparsers of its scene."""
    CONSOLE.log(sentence)


h3ds_data = DataParserSpecification(
    config=H3dsDataParserConfig(),
    description="A scene of the H3DS dataset (or a folder in its layout): photos, masks, cameras in millimetres.",
)
