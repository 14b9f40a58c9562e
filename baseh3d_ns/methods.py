"""Every method, as what it changes in its configs. Loaded at each start of `ns-train`: keep it cheap."""

from __future__ import annotations

from typing import Any

import torch
from nerfstudio.configs.base_config import MachineConfig, ViewerConfig
from nerfstudio.engine.optimizers import AdamOptimizerConfig
from nerfstudio.plugins.types import MethodSpecification

from baseh3d_ns.data.datamanager import HeadDataManagerConfig
from baseh3d_ns.fields.head_field import ColourNetworkConfig, HeadFieldConfig, SdfNetworkConfig
from baseh3d_ns.models.idr import IdrModelConfig
from baseh3d_ns.trainer import FewShotTrainerConfig, HeadPipelineConfig, HeadTrainerConfig, PriorTrainerConfig


def _common(method_name: str, pipeline: HeadPipelineConfig, lr: float, max_norm: float | None = None) -> dict[str, Any]:
    return {
        "method_name": method_name,
        "pipeline": pipeline,
        "optimizers": {
            "fields": {"optimizer": AdamOptimizerConfig(lr=lr, eps=1e-8, max_norm=max_norm), "scheduler": None},
            # Used where the model refines its views; a step of Adam in units of what is typical.
            "views": {"optimizer": AdamOptimizerConfig(lr=VIEWS_LR, eps=1e-8), "scheduler": None},
        },
        # nerfstudio's own default is cuda, also where there is none.
        "machine": MachineConfig(device_type="cuda" if torch.cuda.is_available() else "cpu"),
        "viewer": ViewerConfig(num_rays_per_chunk=1 << 13),
        "vis": "viewer+tensorboard",
        "steps_per_save": 250,
        "steps_per_eval_batch": 500,
        "steps_per_eval_image": 1000,
    }


def _full_size() -> HeadPipelineConfig:
    """IDR as published: 8 x 512 and 4 x 512 networks, the sphere tracer, one view a step."""
    return HeadPipelineConfig(datamanager=HeadDataManagerConfig(), model=IdrModelConfig())


def _fast(**model: Any) -> HeadPipelineConfig:
    """4 x 128 networks, tracing on a cached SDF grid, rays of all views in one batch, most of them on the head."""
    networks = HeadFieldConfig(
        sdf=SdfNetworkConfig(layers=4, width=128, skip_layer=2, features=64),
        colour=ColourNetworkConfig(layers=2, width=128),
    )
    return HeadPipelineConfig(
        datamanager=HeadDataManagerConfig(one_view_per_step=False, rays_on_head=True, train_num_rays_per_batch=1024),
        model=IdrModelConfig(sdf_field=networks, tracer="grid", refine_cameras=True, refine_colours=True, **model),
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

idr = MethodSpecification(
    config=HeadTrainerConfig(**_common("idr", _full_size(), LR), epochs=2000),
    description="IDR from scratch (Yariv et al., NeurIPS 2020).",
)
baseh3d_prior = MethodSpecification(
    config=PriorTrainerConfig(**_common("baseh3d-prior", _full_size(), LR), epochs=500),
    description="BaseH3D-Net pre-training: IDR on one well-captured subject; writes the prior.",
)
baseh3d = MethodSpecification(
    config=FewShotTrainerConfig(**_common("baseh3d", _full_size(), LR), epochs=2000),
    description="BaseH3D-Net few-shot: a head from 1-32 views, starting from --load-prior.",
)
baseh3d_fast_prior = MethodSpecification(
    config=PriorTrainerConfig(**_common("baseh3d-fast-prior", _fast(), FAST_LR, FAST_NORM), **FAST_SCHEDULE, epochs=64),
    description="Pre-training for baseh3d-fast: minutes on two CPU cores.",
)
baseh3d_fast = MethodSpecification(
    config=FewShotTrainerConfig(
        **_common("baseh3d-fast", _fast(colour_first=0.1), FAST_LR, FAST_NORM),
        **FAST_SCHEDULE,
        epochs=320,
        register=True,
    ),
    description="BaseH3D-Net with small networks and a cached SDF grid: minutes on two CPU cores.",
)
