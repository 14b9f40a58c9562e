"""Every method, as what it changes in its configs. Loaded at each start of `ns-train`: keep it cheap."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any, Literal

import torch
from nerfstudio.configs.base_config import MachineConfig, ViewerConfig
from nerfstudio.engine.optimizers import AdamOptimizerConfig
from nerfstudio.plugins.types import MethodSpecification

from baseh3d_ns.data.datamanager import HeadDataManagerConfig
from baseh3d_ns.fields.head_field import HeadFieldConfig
from baseh3d_ns.fields.networks import ColourNetworkConfig, SdfNetworkConfig
from baseh3d_ns.heads.readers import BUILTIN
from baseh3d_ns.models.h3dnet import H3dNetModelConfig
from baseh3d_ns.models.idr import IdrModelConfig
from baseh3d_ns.shape_space.datamanager import SurfaceDataManagerConfig
from baseh3d_ns.shape_space.model import ShapeSpaceModelConfig
from baseh3d_ns.shape_space.trainer import ShapePipelineConfig, ShapeTrainerConfig
from baseh3d_ns.training.trainer import FewShotTrainerConfig, HeadPipelineConfig, HeadTrainerConfig, PriorTrainerConfig


def _common(method_name: str, pipeline: Any, max_norm: float | None = None, **lr: float) -> dict[str, Any]:
    norms = {"fields": max_norm}
    return {
        "method_name": method_name,
        "pipeline": pipeline,
        "optimizers": {
            group: {"optimizer": AdamOptimizerConfig(lr=rate, eps=1e-8, max_norm=norms.get(group)), "scheduler": None}
            for group, rate in lr.items()
        },
        # nerfstudio's own default is cuda, also where there is none.
        "machine": MachineConfig(device_type="cuda" if torch.cuda.is_available() else "cpu"),
        "viewer": ViewerConfig(num_rays_per_chunk=1 << 13),
        "vis": "viewer+tensorboard",
        "steps_per_save": 250,
        "steps_per_eval_batch": 500,
        "steps_per_eval_image": 1000,
        # `ns-eval` does that; a shape space has no photos, and nerfstudio's default would end its training at 25000.
        "steps_per_eval_all_images": 10**9,
    }


def _full_size() -> HeadPipelineConfig:
    """IDR as published: 8 x 512 and 4 x 512 networks, the sphere tracer, one view a step."""
    return HeadPipelineConfig(datamanager=HeadDataManagerConfig(), model=IdrModelConfig())


def _small_networks(latent: int = 0) -> HeadFieldConfig:
    """4 x 128 and 2 x 128."""
    return HeadFieldConfig(
        sdf=SdfNetworkConfig(layers=4, width=128, skip_layer=2, features=64, latent=latent),
        colour=ColourNetworkConfig(layers=2, width=128),
    )


def _fast(model: type[IdrModelConfig] = IdrModelConfig, networks: Any = None, **options: Any) -> HeadPipelineConfig:
    """4 x 128 networks, tracing on a cached SDF grid, rays of all views in one batch, most of them on the head."""
    return HeadPipelineConfig(
        datamanager=HeadDataManagerConfig(one_view_per_step=False, rays_on_head=True, train_num_rays_per_batch=1024),
        model=model(
            sdf_field=networks or _small_networks(), tracer="grid", refine_cameras=True, refine_colours=True, **options
        ),
    )


VIEWS_LR = 2e-2
"""For the corrections of the views, in units of what is typical of them."""
LR = 1e-4
"""IDR's learning rate for its 8 x 512 networks."""
FAST_LR = 2e-3
"""For the 4 x 128 networks and 1024 rays; 3e-3 was too much."""
FAST_NORM = 1.0
"""Gradients are clipped at what is usual for them: a batch of grazing rays brings ten times that."""
FAST_SCHEDULE: dict[str, Any] = {"lr_halvings": (), "lr_final": 0.05, "lr_warmup": 0.1}
"""A thousand steps leave no time for plateaus."""
FIT_LR, FIT_VIEWS_LR = 5e-4, 1e-2
FIT_SCHEDULE = FAST_SCHEDULE | {"lr_final": 0.1, "lr_warmup": 0.13}
"""A head that starts close needs no large steps: with 1e-3 five heads ended at 1.41 / 2.43 mm, not 1.29 / 2.32."""
FIT_LATENT_LR = 5e-5
"""The latent has been fitted when the decoder begins to learn (five heads:
1.31 / 2.38 mm; with 5e-4, in 0.1.3, 1.31 / 2.52)."""
FIT: dict[str, Any] = {
    "mask_alpha": 200.0,
    "refine_from": 0.0,
    "photo_weight": 0.3,
    "anchor_weight": 0.1,
    "one_view_anchor_weight": 1.0,
}
"""Photos held against each other with 1.0, and in the latent's fit as well, ended worse in the face."""

H3DNET = HeadFieldConfig(sdf=SdfNetworkConfig(latent=256))
SMALL_H3DNET = _small_networks(latent=64)


def _fit(space: HeadFieldConfig) -> HeadFieldConfig:
    """The networks of a fit from that shape space: features come from a network of their own."""
    return replace(deepcopy(space), feature_layers=space.sdf.layers)


def _shape_space(
    networks: HeadFieldConfig, tracer: Literal["sphere", "grid"], surface_weight: float = 1.0
) -> ShapePipelineConfig:
    # A quarter of a small space's latent for what differs between the sides of a head; H3D-Net's own gives all to that.
    shared = {"grid": networks.sdf.latent * 3 // 4, "sphere": 0}[tracer]
    model = ShapeSpaceModelConfig(
        sdf_field=networks, tracer=tracer, surface_weight=surface_weight, symmetric_latents=shared
    )
    return ShapePipelineConfig(datamanager=SurfaceDataManagerConfig(), model=model)


idr = MethodSpecification(
    config=HeadTrainerConfig(**_common("idr", _full_size(), fields=LR, views=VIEWS_LR), epochs=2000),
    description="IDR from scratch (Yariv et al., NeurIPS 2020).",
)
baseh3d_prior = MethodSpecification(
    config=PriorTrainerConfig(**_common("baseh3d-prior", _full_size(), fields=LR, views=VIEWS_LR), epochs=500),
    description="BaseH3D-Net pre-training: IDR on one well-captured subject; writes the prior.",
)
baseh3d = MethodSpecification(
    config=FewShotTrainerConfig(**_common("baseh3d", _full_size(), fields=LR, views=VIEWS_LR), epochs=2000),
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
        **_common("baseh3d-fast", _fast(**FIT), FAST_NORM, fields=FIT_LR, views=FIT_VIEWS_LR),
        **FIT_SCHEDULE,
        epochs=240,
        colours_first=240,
        latent_first=200,
        plateau=0.05,
        load_prior=BUILTIN,
        register=True,
    ),
    description="BaseH3D-Net with small networks and a cached SDF grid: minutes on two CPU cores.",
)

h3dnet_prior = MethodSpecification(
    config=ShapeTrainerConfig(
        **_common("h3dnet-prior", _shape_space(H3DNET, "sphere"), fields=5e-3, latents=1e-3),
        max_num_iterations=100000,
        lr_halvings=(0.25, 0.5, 0.75),
    ),
    description="H3D-Net's shape space (Ramon et al., ICCV 2021): an auto-decoder of many heads; writes the prior.",
)
h3dnet = MethodSpecification(
    config=FewShotTrainerConfig(
        **_common(
            "h3dnet",
            HeadPipelineConfig(datamanager=HeadDataManagerConfig(), model=H3dNetModelConfig(sdf_field=_fit(H3DNET))),
            fields=LR,
            views=VIEWS_LR,
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
            "h3dnet-fast-prior", _shape_space(SMALL_H3DNET, "grid", surface_weight=5.0), fields=5e-3, latents=2e-3
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
            _fast(H3dNetModelConfig, _fit(SMALL_H3DNET), decoder_frozen=0.05, **FIT),
            FAST_NORM,
            fields=FIT_LR,
            views=FIT_VIEWS_LR,
            latent=FIT_LATENT_LR,
        ),
        **FIT_SCHEDULE,
        epochs=240,
        colours_first=240,
        latent_first=200,
        plateau=0.05,
        load_prior=BUILTIN,
        register=True,
    ),
    description="H3D-Net few-shot with small networks and a cached SDF grid.",
)
