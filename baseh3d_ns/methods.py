"""Every method, as the options that it changes. Loaded at each start of `ns-train`: keep it cheap."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any, Literal

import torch
from nerfstudio.configs.base_config import MachineConfig, ViewerConfig
from nerfstudio.engine.optimizers import AdamOptimizerConfig
from nerfstudio.plugins.types import MethodSpecification

from baseh3d_ns.data.datamanager import HeadDataManagerConfig
from baseh3d_ns.fields.detail_grid import DetailGridConfig
from baseh3d_ns.fields.head_field import HeadFieldConfig
from baseh3d_ns.fields.networks import ColourNetworkConfig, SdfNetworkConfig
from baseh3d_ns.heads.readers import BUILTIN
from baseh3d_ns.models.h3dnet import H3dNetModelConfig
from baseh3d_ns.models.idr import IdrModelConfig
from baseh3d_ns.models.photo_consistency import PhotoConfig
from baseh3d_ns.models.prior_anchor import AnchorConfig
from baseh3d_ns.shape_space.datamanager import SurfaceDataManagerConfig
from baseh3d_ns.shape_space.model import ShapeSpaceModelConfig
from baseh3d_ns.shape_space.trainer import ShapePipelineConfig, ShapeTrainerConfig
from baseh3d_ns.synthetic.head_samples import AnnyHeads
from baseh3d_ns.training.few_shot import FewShotTrainerConfig
from baseh3d_ns.training.head_trainer import HeadTrainerConfig
from baseh3d_ns.training.prior import PriorTrainerConfig
from baseh3d_ns.viewer.pipeline import ViewedPipelineConfig
from baseh3d_ns.warm_start.config import ColourConfig, LatentFitConfig, StartColourConfig, WarmStartConfig


def _common(method_name: str, pipeline: Any, max_norm: float | None = None, **lr: float) -> dict[str, Any]:
    norms = {"fields": max_norm}
    return {
        "method_name": method_name,
        "pipeline": pipeline,
        "optimizers": {
            group: {"optimizer": AdamOptimizerConfig(lr=rate, eps=1e-8, max_norm=norms.get(group))}
            for group, rate in lr.items()
        },
        # nerfstudio's own default is cuda, also where there is none.
        "machine": MachineConfig(device_type="cuda" if torch.cuda.is_available() else "cpu"),
        "viewer": ViewerConfig(num_rays_per_chunk=1 << 16),
        "vis": "viewer+tensorboard",
        "steps_per_save": 250,
        # One loss value would need the rays of all photos that are held out.
        "steps_per_eval_batch": 10**9,
        "steps_per_eval_image": 1000,
        # `ns-eval` does that; a shape space has no photos, and nerfstudio's default would end its training at 25000.
        "steps_per_eval_all_images": 10**9,
    }


def _full_size() -> ViewedPipelineConfig:
    """IDR as published: 8 x 512 and 4 x 512 networks, the sphere tracer, one view a step."""
    return ViewedPipelineConfig(datamanager=HeadDataManagerConfig(), model=IdrModelConfig())


def _small_networks(latent: int = 0) -> HeadFieldConfig:
    """4 x 128 and 2 x 128."""
    return HeadFieldConfig(
        sdf=SdfNetworkConfig(layers=4, width=128, skip_layer=2, features=64, latent=latent),
        colour=ColourNetworkConfig(layers=2, width=128),
    )


def _detailed(networks: HeadFieldConfig) -> HeadFieldConfig:
    """The same networks with detail above both."""
    colours = DetailGridConfig(cells=COLOUR_DETAIL_CELLS)
    return replace(networks, detail=DetailGridConfig(cells=DETAIL_CELLS), colour_detail=colours)


def _fast(model: type[IdrModelConfig] = IdrModelConfig, networks: Any = None, **options: Any) -> ViewedPipelineConfig:
    """4 x 128 networks, tracing on a cached SDF grid, rays of all views in one batch, most of them on the head."""
    return ViewedPipelineConfig(
        datamanager=HeadDataManagerConfig(one_view_per_step=False, rays_on_head=True, train_num_rays_per_batch=1024),
        model=model(
            sdf_field=networks or _small_networks(), tracer="grid", refine_cameras=True, refine_colours=True, **options
        ),
    )


DETAIL_CELLS = (32, 64, 128, 256)
"""Cells along an axis of the grids of the surface's detail: from 15 mm to 2 mm in the ball of `builtin`."""
COLOUR_DETAIL_CELLS = (*DETAIL_CELLS, 512)
"""The same of the colours' detail."""
DETAIL_LR = 2e-3
"""Learning rate of a detail grid: its rows are seldom met."""
VIEWS_LR = 2e-2
"""Learning rate of the view corrections, in units of their typical error."""
LR = 1e-4
"""IDR's learning rate for its 8 x 512 networks."""
FAST_LR = 2e-3
"""Learning rate of the 4 x 128 networks with 1024 rays a step."""
FAST_NORM = 1.0
"""Usual length of their gradients, at which they are clipped: a batch of grazing rays brings far longer ones."""
FAST_SCHEDULE: dict[str, Any] = {"lr_halvings": (), "lr_final": 0.05, "lr_warmup": 0.1}
"""Schedule of short trainings: a thousand steps leave no time for constant rates."""
FIT_LR, FIT_VIEWS_LR = 5e-4, 1e-2
"""Learning rates of a fit from a prior: a head that starts close needs no large steps, which undo what it knows."""
FIT_SCHEDULE = FAST_SCHEDULE | {"lr_final": 0.1, "lr_warmup": 0.13}
FIT_LATENT_LR = 5e-5
"""Learning rate of the latent, which has been fitted when the decoder begins to learn."""


def _fit_model() -> dict[str, Any]:
    """Options of the model in a fit from a prior: sharp, heavy silhouettes, photos compared, unseen parts held."""
    return {
        # Photo consistency may draw a glossy nose inwards, past what its silhouettes show: they must outweigh it.
        "late_mask_factor": 4.0,
        "mask_alpha": 200.0,
        "refine_from": 0.0,
        "photos": PhotoConfig(weight=0.3),
        "anchor": AnchorConfig(weight=0.1, one_view_weight=1.0),
    }


def _fit_start() -> dict[str, Any]:
    """Options of the trainer in a fit from a prior: the built-in shape space, placed, colours and latent learned."""
    return {
        "epochs": 0,
        "load_prior": BUILTIN,
        "register": True,
        "finish_colours": ColourConfig(
            steps=400, batches=768, points=2048, learning_rate=FIT_LR, detail_learning_rate=2e-2, lr_final=0.1
        ),
        "warm_start": WarmStartConfig(colours=StartColourConfig(steps=240), latent=LatentFitConfig(steps=200)),
    }


H3DNET = HeadFieldConfig(sdf=SdfNetworkConfig(latent=256))
SMALL_H3DNET = _small_networks(latent=64)
SYMMETRIC_LATENTS = 48
"""Numbers of a small space's latent that mirrored heads share: a quarter is left for the difference of the sides.
H3D-Net's own space gives all to that."""


def _fit(space: HeadFieldConfig) -> HeadFieldConfig:
    """The networks of a fit from that shape space: features come from a network of their own."""
    return replace(deepcopy(space), feature_layers=space.sdf.layers)


def _shape_space(
    networks: HeadFieldConfig, tracer: Literal["sphere", "grid"], symmetric_latents: int, surface_weight: float = 1.0
) -> ShapePipelineConfig:
    """An auto-decoder of synthetic heads, where no data are given."""
    model = ShapeSpaceModelConfig(
        sdf_field=networks, tracer=tracer, surface_weight=surface_weight, symmetric_latents=symmetric_latents
    )
    return ShapePipelineConfig(datamanager=SurfaceDataManagerConfig(generator=AnnyHeads), model=model)


idr = MethodSpecification(
    config=HeadTrainerConfig(**_common("idr", _full_size(), fields=LR, views=VIEWS_LR), epochs=2000),
    description="IDR from scratch (Yariv et al., NeurIPS 2020).",
)
baseh3d_prior = MethodSpecification(
    config=PriorTrainerConfig(**_common("baseh3d-prior", _full_size(), fields=LR, views=VIEWS_LR), epochs=500),
    description="BaseH3D-Net pre-training: IDR on one well-captured subject; writes the prior.",
)
baseh3d = MethodSpecification(
    config=FewShotTrainerConfig(
        **_common("baseh3d", _full_size(), fields=LR, views=VIEWS_LR, detail=DETAIL_LR), epochs=2000
    ),
    description="BaseH3D-Net few-shot: a head from 1-32 views, starting from --load-prior.",
)
baseh3d_fast_prior = MethodSpecification(
    config=PriorTrainerConfig(
        **_common("baseh3d-fast-prior", _fast(), FAST_NORM, fields=FAST_LR, views=VIEWS_LR), **FAST_SCHEDULE, epochs=64
    ),
    description="Pre-training for baseh3d-fast: minutes on two CPU cores.",
)
baseh3d_fast = MethodSpecification(
    config=FewShotTrainerConfig(
        **_common(
            "baseh3d-fast",
            _fast(networks=_detailed(_small_networks()), **_fit_model()),
            FAST_NORM,
            fields=FIT_LR,
            views=FIT_VIEWS_LR,
            detail=DETAIL_LR,
        ),
        **FIT_SCHEDULE,
        **_fit_start(),
    ),
    description="BaseH3D-Net with small networks and a cached SDF grid: minutes on two CPU cores.",
)

h3dnet_prior = MethodSpecification(
    config=ShapeTrainerConfig(
        **_common("h3dnet-prior", _shape_space(H3DNET, "sphere", symmetric_latents=0), fields=5e-3, latents=1e-3),
        max_num_iterations=100000,
        lr_halvings=(0.25, 0.5, 0.75),
    ),
    description="H3D-Net's shape space (Ramon et al., ICCV 2021): an auto-decoder of many heads; writes the prior.",
)
h3dnet = MethodSpecification(
    config=FewShotTrainerConfig(
        **_common(
            "h3dnet",
            ViewedPipelineConfig(datamanager=HeadDataManagerConfig(), model=H3dNetModelConfig(sdf_field=_fit(H3DNET))),
            fields=LR,
            views=VIEWS_LR,
            detail=DETAIL_LR,
            latent=1e-3,
        ),
        epochs=2000,
        register=True,
    ),
    description="H3D-Net few-shot: latent and features first, then the decoder, from the shape space --load-prior.",
)
h3dnet_fast_prior = MethodSpecification(
    config=ShapeTrainerConfig(
        **_common(
            "h3dnet-fast-prior",
            _shape_space(SMALL_H3DNET, "grid", SYMMETRIC_LATENTS, surface_weight=5.0),
            fields=5e-3,
            latents=2e-3,
        ),
        max_num_iterations=24000,
        lr_halvings=(),
        lr_final=0.02,
        lr_warmup=0.01,
    ),
    description="H3D-Net's shape space with small networks: about an hour on two CPU cores; the built-in prior is one.",
)
h3dnet_fast = MethodSpecification(
    config=FewShotTrainerConfig(
        **_common(
            "h3dnet-fast",
            _fast(H3dNetModelConfig, _detailed(_fit(SMALL_H3DNET)), decoder_frozen=0.05, **_fit_model()),
            FAST_NORM,
            fields=FIT_LR,
            views=FIT_VIEWS_LR,
            detail=DETAIL_LR,
            latent=FIT_LATENT_LR,
        ),
        **FIT_SCHEDULE,
        **_fit_start(),
    ),
    description="H3D-Net few-shot with small networks and a cached SDF grid.",
)
