"""Feeds training from a `RayPool` and eval from whole pictures; no worker processes, a few views need none."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from nerfstudio.cameras.rays import RayBundle
from nerfstudio.configs.dataparser_configs import AnnotatedDataParserUnion
from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManager, VanillaDataManagerConfig
from nerfstudio.data.utils.dataloaders import FixedIndicesEvalDataloader, RandIndicesEvalDataloader
from torch import Tensor

from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.data.h3ds_dataparser import H3dsDataParserConfig
from baseh3d_ns.data.ray_pool import RayPool


@dataclass
class HeadDataManagerConfig(VanillaDataManagerConfig):
    """All training rays resident on the device."""

    _target: type = field(default_factory=lambda: HeadDataManager)
    dataparser: AnnotatedDataParserUnion = field(default_factory=H3dsDataParserConfig)
    """The head to learn."""
    train_num_rays_per_batch: int = 2048
    """Rays a training step."""
    eval_num_rays_per_batch: int = 1024
    """Rays an eval step."""
    one_view_per_step: bool = True
    """Draw the rays of a step from one view, every view once an epoch (IDR); otherwise from all views at once."""
    rays_on_head: bool = False
    """Draw most rays on the head and round its silhouette, of all views, weighted so that the expected loss stays."""
    skip_edge_px: float = 0.0
    """Leave out pixels within this distance of the mask's edge, where masks are off and colours mixed (in pixels; with
    `rays_on_head`)."""


class HeadDataManager(VanillaDataManager[HeadDataset]):
    """nerfstudio's data manager (its exporters insist on that class) over ray pools."""

    config: HeadDataManagerConfig
    # nerfstudio's name for them; it only ever sets their `num_rays_per_batch`.
    train_pixel_sampler: Any
    eval_pixel_sampler: Any

    def setup_train(self) -> None:
        self.train_pixel_sampler = RayPool(
            self.train_dataset,
            self.device,
            self.config.train_num_rays_per_batch,
            self.config.one_view_per_step,
            self.config.rays_on_head,
            self.config.skip_edge_px,
        )

    def setup_eval(self) -> None:
        self.eval_pixel_sampler = RayPool(
            self.eval_dataset, self.device, self.config.eval_num_rays_per_batch, one_view=False
        )
        self.fixed_indices_eval_dataloader = FixedIndicesEvalDataloader(
            self.eval_dataset, device=self.device, num_workers=0
        )
        self.eval_dataloader = RandIndicesEvalDataloader(self.eval_dataset, device=self.device, num_workers=0)

    def next_train(self, step: int) -> tuple[RayBundle, dict[str, Tensor]]:
        self.train_count += 1
        return self.train_pixel_sampler.draw()

    def next_eval(self, step: int) -> tuple[RayBundle, dict[str, Tensor]]:
        self.eval_count += 1
        return self.eval_pixel_sampler.draw()
