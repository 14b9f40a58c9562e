"""Feeds training from a `RayPool` and eval from whole pictures; no worker processes, a few views need none."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import tyro
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.configs.dataparser_configs import AnnotatedDataParserUnion
from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManager, VanillaDataManagerConfig
from nerfstudio.data.pixel_samplers import PixelSamplerConfig
from nerfstudio.data.utils.dataloaders import FixedIndicesEvalDataloader, RandIndicesEvalDataloader
from torch import Tensor

from baseh3d_ns.bounds import Count, Fraction, Share, Weight
from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.data.h3ds_dataparser import H3dsDataParserConfig
from baseh3d_ns.data.ray_pool import RayPool, find_strata


@dataclass
class HeadDataManagerConfig(VanillaDataManagerConfig):
    """All training rays resident on the device."""

    _target: type = field(default_factory=lambda: HeadDataManager)
    dataparser: AnnotatedDataParserUnion = field(default_factory=H3dsDataParserConfig)
    """The head to learn."""
    train_num_rays_per_batch: Count = 2048
    """Rays a training step."""
    eval_num_rays_per_batch: Count = 1024
    """Rays an eval step."""
    one_view_per_step: bool = True
    """Draw the rays of a step from one view, every view once an epoch (IDR); otherwise from all views at once (always
    so with `rays_on_head`)."""
    rays_on_head: bool = False
    """Draw most rays on the head and round its silhouette, of all views, weighted so that the expected loss stays."""
    ray_shares: tuple[Share, Share, Share] = (0.55, 0.25, 0.2)
    """Fractions of a batch that lie well inside the head, near its silhouette, well outside (with `rays_on_head`)."""
    edge_band: Fraction = 0.015
    """Half width of the band round the silhouette, as a fraction of the photo's longer side (with `rays_on_head`)."""
    skip_edge_px: Weight = 0.0
    """Leave out pixels within this distance of the mask's edge, where masks are off and colours mixed (in pixels; with
    `rays_on_head`)."""

    # nerfstudio's own, which ray pools leave no use for: not in --help.
    masks_on_gpu: tyro.conf.Suppress[bool] = False
    images_on_gpu: tyro.conf.Suppress[bool] = False
    train_num_images_to_sample_from: tyro.conf.Suppress[int] = -1
    train_num_times_to_repeat_images: tyro.conf.Suppress[int] = -1
    eval_num_images_to_sample_from: tyro.conf.Suppress[int] = -1
    eval_num_times_to_repeat_images: tyro.conf.Suppress[int] = -1
    eval_image_indices: tyro.conf.Suppress[tuple[int, ...] | None] = (0,)
    patch_size: tyro.conf.Suppress[int] = 1
    pixel_sampler: tyro.conf.Suppress[PixelSamplerConfig] = field(default_factory=PixelSamplerConfig)


class HeadDataManager(VanillaDataManager[HeadDataset]):
    """nerfstudio's data manager (its exporters insist on that class) over ray pools."""

    config: HeadDataManagerConfig
    # nerfstudio's name for it; its exporters set `num_rays_per_batch`.
    train_pixel_sampler: Any
    eval_pixel_sampler: Any

    @property
    def ray_pool(self) -> RayPool:
        """Rays of the training views."""
        return self.train_pixel_sampler

    def setup_train(self) -> None:
        config, photos, device = self.config, self.train_dataset, self.device
        strata = partial(find_strata, photos, device, config.ray_shares, config.edge_band, config.skip_edge_px)
        self.train_pixel_sampler = RayPool(
            photos,
            device,
            config.train_num_rays_per_batch,
            config.one_view_per_step,
            strata if config.rays_on_head else None,
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
        return self.ray_pool.draw()

    def next_eval(self, step: int) -> tuple[RayBundle, dict[str, Tensor]]:
        self.eval_count += 1
        return self.eval_pixel_sampler.draw()
