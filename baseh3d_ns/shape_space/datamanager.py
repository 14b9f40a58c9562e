"""Feeds the training of a shape space: points of random heads, mirrored half of the time, resident on the device."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from jaxtyping import UInt8
from nerfstudio.cameras.cameras import Cameras, CameraType
from nerfstudio.data.datamanagers.base_datamanager import DataManager, DataManagerConfig
from nerfstudio.data.scene_box import SceneBox
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor
from torch.nn import Parameter

from baseh3d_ns.bounds import Count, Seed
from baseh3d_ns.errors import InputError
from baseh3d_ns.files import cache_folder
from baseh3d_ns.frames import HEAD_FRAME
from baseh3d_ns.shape_space.model import SurfaceBatch
from baseh3d_ns.shape_space.sources import Source, folder_source, synthetic_source
from baseh3d_ns.shape_space.surface_samples import HeadSamples

CACHE = "baseh3d_ns"
"""Name of the folder, in the user's cache, where the points of synthetic heads are kept."""
PICTURE, FOCAL, DISTANCE = 192, 300.0, 3.2
"""Size and focal length in pixels, and distance in units of the unit ball, of the cameras that the viewer shows."""
AZIMUTHS_DEG = (0.0, 50.0, -50.0, 90.0, -90.0)


@dataclass
class SurfaceDataManagerConfig(DataManagerConfig):
    """Heads that a shape space is learned from, and the points that a step sees."""

    _target: type = field(default_factory=lambda: SurfaceDataManager)
    data: Path | None = None
    """An H3DS root (its scans, but those of the scenes tagged `h3d-net`) or a folder of .ply, .obj and .glb files; by
    default synthetic heads are made."""
    synthetic_heads: Count = 1000
    """Number of synthetic heads, when no data are given (2 to 3 s of a core each, once)."""
    synthetic_seed: Seed = 100
    """Same seed, same synthetic heads."""
    scenes: tuple[str, ...] = ()
    """Ids of the scenes of an H3DS root to learn from; none: all of them, but its test scenes."""
    unit: Literal["mm", "cm", "m"] = "mm"
    """Unit of the files of a folder of meshes (H3DS is in millimetres)."""
    cache_dir: Path | None = None
    """Folder where the points of synthetic heads are kept; by default ~/.cache/baseh3d_ns, or `cache` in the output
    folder where the home cannot be written to."""
    generator: tyro.conf.Suppress[Any] = None
    """Class that makes synthetic heads (`HeadGenerator`); set in methods.py."""
    samples_per_head: Count = 20000
    """Points taken from every head, once."""
    heads_per_step: Count = 16
    """Heads a training step sees."""
    points_per_head: Count = 256
    """Points of each of them; a quarter as many are added round the surface, and as many anywhere in the box."""

    # nerfstudio's own, of photos: not in --help.
    masks_on_gpu: tyro.conf.Suppress[bool] = False
    images_on_gpu: tyro.conf.Suppress[bool] = False

    def source(self, data: Path | None) -> Source:
        """The heads of `data`, of the config's own folder, or synthetic ones.

        Raises:
            InputError: no such folder, nothing in it to learn from, or numbers that make no sense.
        """
        folder = data or self.data
        if folder is not None:
            return folder_source(Path(folder), self.samples_per_head, self.unit, self.scenes)
        if self.scenes:
            raise InputError("--pipeline.datamanager.scenes names scenes of an H3DS root: give it with --data")
        cache_dir = self.cache_dir or cache_folder(CACHE, Path(tempfile.gettempdir()) / CACHE)
        return synthetic_source(
            self.generator, cache_dir, self.synthetic_heads, self.synthetic_seed, self.samples_per_head
        )


class ViewerDataset:
    """The dataset that nerfstudio's viewer asks for: cameras, and in each the picture of one of the heads."""

    def __init__(self, samples: list[HeadSamples], names: list[str]) -> None:
        self.cameras = orbit_cameras(AZIMUTHS_DEG)
        self.samples = samples
        self.scene_box = SceneBox(aabb=torch.tensor([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]]))
        centres = self.cameras.camera_to_worlds[:, :, 3]
        self.metadata = {"frame": HEAD_FRAME, "camera_centres": centres, "heads": names}

    def __len__(self) -> int:
        return min(len(self.samples), len(AZIMUTHS_DEG))

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        camera = self.cameras.camera_to_worlds[index].numpy()
        return {"image": torch.from_numpy(_splat(self.samples[index], camera)).float() / 255.0}


class SurfaceDataManager(DataManager):
    """All points of all heads on the device; every rank draws its own heads."""

    config: SurfaceDataManagerConfig

    def __init__(
        self,
        config: SurfaceDataManagerConfig,
        device: Any = "cpu",
        test_mode: str = "val",
        world_size: int = 1,
        local_rank: int = 0,
        **kwargs,
    ) -> None:
        self.config, self.device, self.test_mode = config, device, test_mode
        source = config.source(None)
        # A finished run is only looked at, and needs no more heads than have a camera.
        samples = source.load(len(source.names) if test_mode == "val" else len(AZIMUTHS_DEG))
        self.names, self.source_text = source.names, source.provenance
        self.train_dataset = self.eval_dataset = ViewerDataset(samples[: len(AZIMUTHS_DEG)], self.names)  # type: ignore[assignment]
        if test_mode == "val":
            self.points = torch.from_numpy(np.stack([head.points for head in samples])).to(device)
            self.normals = torch.from_numpy(np.stack([head.normals for head in samples])).to(device)
            known = [head.colours for head in samples if head.colours is not None]
            self.colours = torch.from_numpy(np.stack(known)).to(device) if len(known) == len(samples) else None
            if 0 < len(known) < len(samples):
                without = [name for name, head in zip(self.names, samples, strict=True) if head.colours is None]
                CONSOLE.log(
                    f"{len(without)} of {len(samples)} heads have no colours ({', '.join(without[:10])}), so colours "
                    "are learned of none: give them colours, or take them out."
                )
        # Of nerfstudio's seed, another one for every rank: several GPUs see different heads.
        self.random = torch.Generator(device).manual_seed(torch.initial_seed() % 2**31)
        super().__init__()

    def next_train(self, step: int) -> tuple[Any, Any]:
        self.train_count += 1
        return self._draw()

    def next_eval(self, step: int) -> tuple[Any, Any]:
        """Other points of the same heads."""
        self.eval_count += 1
        return self._draw()

    def _draw(self) -> tuple[SurfaceBatch, SurfaceBatch]:
        """The batch twice: what goes through the model, and what its losses compare with."""
        heads, count = self.config.heads_per_step, self.config.points_per_head
        drawn = {"generator": self.random, "device": self.device}
        head = torch.randint(len(self.points), (heads,), **drawn)
        point = torch.randint(self.points.shape[1], (heads, count), **drawn)
        side = 1.0 - 2.0 * torch.randint(2, (heads,), **drawn).float()
        mirror = torch.ones(heads, 1, 3, device=self.device)
        mirror[:, 0, 0] = side
        chosen = (head[:, None], point)
        colours = None if self.colours is None else self.colours[chosen].float() / 255.0
        batch = SurfaceBatch(head, side, self.points[chosen] * mirror, self.normals[chosen] * mirror, colours)
        return batch, batch

    def next_eval_image(self, step: int) -> tuple[Cameras, dict[str, Tensor]]:
        """The camera in front of the head."""
        return orbit_cameras(0.0).to(self.device), {}

    def get_train_rays_per_batch(self) -> int:
        return self.config.heads_per_step * self.config.points_per_head

    def get_datapath(self) -> Path:
        return self.config.data or Path()

    def get_param_groups(self) -> dict[str, list[Parameter]]:
        return {}


def orbit_cameras(azimuths_deg: float | tuple[float, ...], size: int = PICTURE) -> Cameras:
    """Cameras round the head at eye height, looking at the middle of the ball; 0: straight at the face."""
    poses = []
    for azimuth in np.radians(np.atleast_1d(azimuths_deg)):
        backwards = np.array([np.sin(azimuth), 0.0, np.cos(azimuth)])
        right = np.array([np.cos(azimuth), 0.0, -np.sin(azimuth)])
        poses.append(np.column_stack([right, [0.0, 1.0, 0.0], backwards, DISTANCE * backwards]))
    focal = FOCAL * size / PICTURE
    return Cameras(
        camera_to_worlds=torch.from_numpy(np.stack(poses)).float(),
        fx=focal,
        fy=focal,
        cx=size / 2,
        cy=size / 2,
        width=size,
        height=size,
        camera_type=CameraType.PERSPECTIVE,
    )


def _splat(head: HeadSamples, camera_to_world: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    """The points that face a camera, each as a square of three pixels, the nearest on top."""
    seen = (head.points - camera_to_world[:, 3]) @ camera_to_world[:, :3]
    facing = (head.normals @ camera_to_world[:, 2] > 0.0).nonzero()[0]
    facing = facing[np.argsort(seen[facing, 2])]
    column, row = (FOCAL * seen[facing, :2] / -seen[facing, 2:] * [1.0, -1.0] + PICTURE / 2).astype(int).T
    grey = (255 * (0.3 + 0.6 * (head.normals @ camera_to_world[:, 2]).clip(0.0)))[:, None].repeat(3, axis=1)
    colours = (grey.astype(np.uint8) if head.colours is None else head.colours)[facing]
    picture = np.full((PICTURE, PICTURE, 3), 255, dtype=np.uint8)
    down, across = np.mgrid[-1:2, -1:2].reshape(2, 9)
    # One assignment for all, point after point: of those on a pixel the last stays.
    rows, columns = (
        (place[:, None] + offset).clip(0, PICTURE - 1) for place, offset in ((row, down), (column, across))
    )
    picture[rows, columns] = colours[:, None]
    return picture
