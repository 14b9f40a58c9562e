"""The `h3ds-data` dataparser: a scene of an H3DS root as nerfstudio cameras in the unit frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from nerfstudio.cameras.cameras import Cameras, CameraType
from nerfstudio.data.dataparsers.base_dataparser import DataParser, DataParserConfig, DataparserOutputs
from nerfstudio.data.scene_box import SceneBox
from nerfstudio.plugins.registry_dataparser import DataParserSpecification
from nerfstudio.utils.rich_utils import CONSOLE
from torch.nn.functional import normalize

from baseh3d_ns.bounds import AtLeastOne
from baseh3d_ns.cameras import Pinhole
from baseh3d_ns.data.camera_checks import check_apart
from baseh3d_ns.data.h3ds_root import open_h3ds
from baseh3d_ns.data.h3ds_scene import H3dsScene, load_scene
from baseh3d_ns.errors import InputError
from baseh3d_ns.frames import PIXEL_CENTRE, SceneFrame

LEAST_SKEW_PX = 1e-3
"""Skew that moves no pixel by more than this is the decomposition's rounding, not the camera's."""


@dataclass
class H3dsDataParserConfig(DataParserConfig):
    """A scene of the H3DS dataset, or of any folder in its layout."""

    _target: type = field(default_factory=lambda: H3dsDataParser)
    data: Path = Path("data/h3ds")
    """The unzipped H3DS folder (versions 0.2 and 0.4), or a folder made by `baseh3d synth`."""
    scene: str = "scan0"
    """Scene id, `scanN` (N-th of the sorted config_v1 ids, from 0), or a tag that names one scene."""
    views: tuple[str, ...] = ("3",)
    """Training views: a default configuration of the scene (1, 3, 4, 8, 16, 32), `all`, or indices (0,4,9; a single
    one is 4,). All others are for evaluation."""
    downscale: AtLeastOne = 1.0
    """Divide width and height of images and masks by this factor (at least 1)."""


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
        self.scene: H3dsScene = load_scene(self.root, scene_id)
        cameras = [self.scene.views[index].camera for index in self.train_views]
        check_apart(cameras, self.train_views, self.scene.frame, self.root.path / scene_id / "cameras.npz")

    def _generate_dataparser_outputs(self, split: str = "train", **_: object) -> DataparserOutputs:
        views = [self.scene.views[index] for index in self.split_views(split)]
        frame = self.scene.frame
        transform, scale = frame.world_to_unit_transform()
        cameras = nerfstudio_cameras([view.camera for view in views], frame, self.config.downscale)
        return DataparserOutputs(
            image_filenames=[view.image_path for view in views],
            cameras=cameras,
            scene_box=SceneBox(aabb=torch.tensor([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]])),
            dataparser_transform=transform,
            dataparser_scale=scale,
            metadata={
                "frame": frame,
                "camera_centres": cameras.camera_to_worlds[:, :, 3],
                "camera_axes": -normalize(cameras.camera_to_worlds[:, :, 2], dim=-1),
                "scene_id": self.scene.scene_id,
                "view_indices": [view.index for view in views],
                # Not nerfstudio's `mask_filenames`: those would keep every ray inside the silhouette.
                "mask_paths": [view.mask_path for view in views],
            },
        )

    def split_views(self, split: str) -> list[int]:
        """View indices of a split; the eval splits are the views left over, or the training views when none are."""
        rest = [view.index for view in self.scene.views if view.index not in self.train_views]
        if split == "train":
            return self.train_views
        if not rest:
            CONSOLE.log(
                f"All views of scene {self.scene.scene_id} are for training, so they are the eval views as well."
            )
            return self.train_views
        return rest


def nerfstudio_cameras(cameras: list[Pinhole], frame: SceneFrame, downscale: float = 1.0) -> Cameras:
    """H3DS cameras as nerfstudio's: unit frame, OpenGL axes, pixel centres at +0.5.

    nerfstudio has no skew; a skewed K sheares camera rays along x, K^-1 = shear @ K_without_skew^-1, so the shear is
    folded into the camera-to-world matrix, which makes every ray exact.
    """
    c2w, sizes, focal, centre = [], [], [], []
    for camera in cameras:
        (fx, skew, cx), (_, fy, cy) = camera.intrinsics[0], camera.intrinsics[1]
        pose = frame.c2w_opengl(camera.rotation, camera.translation_mm)
        if abs(skew) * camera.height / fy > LEAST_SKEW_PX:
            shear = np.eye(3)
            # OpenGL's y is minus OpenCV's.
            shear[0, 1] = skew / fx
            pose = np.concatenate([pose[:, :3] @ shear, pose[:, 3:]], axis=1)
        width, height = scaled_size(camera, downscale)
        sx, sy = width / camera.width, height / camera.height
        c2w.append(pose)
        sizes.append((width, height))
        focal.append((fx * sx, fy * sy))
        centre.append(((cx + PIXEL_CENTRE) * sx, (cy + PIXEL_CENTRE) * sy))
    return Cameras(
        camera_to_worlds=torch.tensor(np.stack(c2w), dtype=torch.float32),
        fx=torch.tensor([[f[0]] for f in focal], dtype=torch.float32),
        fy=torch.tensor([[f[1]] for f in focal], dtype=torch.float32),
        cx=torch.tensor([[c[0]] for c in centre], dtype=torch.float32),
        cy=torch.tensor([[c[1]] for c in centre], dtype=torch.float32),
        width=torch.tensor([[s[0]] for s in sizes]),
        height=torch.tensor([[s[1]] for s in sizes]),
        camera_type=CameraType.PERSPECTIVE,
    )


def scaled_size(camera: Pinhole, downscale: float) -> tuple[int, int]:
    """Width and height in pixels after downscaling, at least 1."""
    return max(1, round(camera.width / downscale)), max(1, round(camera.height / downscale))


h3ds_data = DataParserSpecification(
    config=H3dsDataParserConfig(),
    description="A scene of the H3DS dataset (or a folder in its layout): photos, masks, cameras in millimetres.",
)
