"""Small networks, points and an exact head, for tests that need some."""

from __future__ import annotations

import torch
from tiny_root import SEMI_AXES_MM, UNIT_RADIUS_MM
from torch import Tensor
from torch.nn.functional import normalize

from baseh3d_ns.fields.head_field import HeadFieldConfig
from baseh3d_ns.fields.networks import ColourNetworkConfig, SdfNetworkConfig

SMALL = HeadFieldConfig(
    sdf=SdfNetworkConfig(layers=4, width=64, skip_layer=2, features=8), colour=ColourNetworkConfig(layers=2, width=16)
)
EGG_AXES = torch.tensor(SEMI_AXES_MM / UNIT_RADIUS_MM).float()
"""Semi-axes of the head of `tiny_root` in its unit frame."""


def points_in_box(count: int, seed: int = 0) -> Tensor:
    """[count, 3] points uniform in the unit ball's box."""
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(seed)) * 2.0 - 1.0


def unit_vectors(count: int, seed: int = 0) -> Tensor:
    """[count, 3] directions, uniform on the sphere."""
    return normalize(torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)), dim=-1)


def egg(points: Tensor) -> Tensor:
    """Signed distance to the head of `tiny_root`, to first order; it is an ellipsoid."""
    x = points / EGG_AXES
    length = x.norm(dim=-1).clamp(min=1e-6)
    return length * (length - 1.0) / (x / EGG_AXES).norm(dim=-1).clamp(min=1e-6)


def set_to(module: torch.nn.Module, **values: object) -> torch.nn.Module:
    """The module with these values in its parameters."""
    with torch.no_grad():
        for name, value in values.items():
            getattr(module, name).copy_(torch.as_tensor(value))
    return module
