"""IDR's two networks, the signed distance with features and the colour, and H3D-Net's separate network for features.

Source: Yariv et al., "Multiview Neural Surface Reconstruction by Disentangling Geometry and Appearance", NeurIPS 2020,
sections 3.2-3.4 and supplement B. The parameter shapes are the paper's, so that its checkpoints load.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from baseh3d_ns.bounds import Count, CountOrNone, Share
from baseh3d_ns.errors import InputError

SOFTPLUS_BETA = 100


@dataclass
class SdfNetworkConfig:
    """The SDF network: position -> signed distance and features."""

    layers: Count = 8
    """Number of hidden layers."""
    width: Count = 512
    """Units of a hidden layer."""
    skip_layer: CountOrNone = 4
    """The layer (counted from 0) whose input is concatenated with the encoded position; 0 for none."""
    octaves: CountOrNone = 6
    """Octaves of the positional encoding of the position."""
    features: CountOrNone = 256
    """Number of features handed to the colour network."""
    sphere_radius: Share = 0.6
    """Radius of the sphere that the untrained network describes, in units of the unit ball."""
    latent: CountOrNone = 0
    """Length of the latent vector that selects a head of a shape space (H3D-Net); 0: a single head, no latent."""

    def check(self) -> None:
        """Raise `InputError` unless the layer before the skip has units left beside the encoded position."""
        option, encoded = "--pipeline.model.sdf-field.sdf", encoded_size(self.octaves)
        if self.skip_layer > self.layers:
            raise InputError(f"{option}.skip-layer {self.skip_layer} lies behind the last layer, {self.layers}")
        if self.skip_layer and self.width <= encoded:
            raise InputError(
                f"{option}.width {self.width} leaves no unit beside the {encoded} numbers that enter at the skip: give "
                f"at least {encoded + 1}, fewer octaves, or a skip-layer of 0"
            )


@dataclass
class ColourNetworkConfig:
    """The colour network: position, normal, viewing direction, features -> colour."""

    layers: Count = 4
    """Number of hidden layers."""
    width: Count = 512
    """Units of a hidden layer."""
    octaves: CountOrNone = 4
    """Octaves of the positional encoding of the viewing direction."""


def encoded_size(octaves: int) -> int:
    """Numbers that `positional_encoding` makes of a point or direction."""
    return 3 * (1 + 2 * octaves)


def positional_encoding(x: Float[Tensor, "n d"], octaves: int) -> Float[Tensor, "n e"]:
    """x, sin(x), cos(x), sin(2x), cos(2x), sin(4x), ...: e = d (1 + 2 octaves), in IDR's order (no factor pi)."""
    waves = [wave(x * 2.0**octave) for octave in range(octaves) for wave in (torch.sin, torch.cos)]
    return torch.cat([x, *waves], dim=-1)


class SdfNetwork(nn.Module):
    """Softplus MLP with weight norm and one skip; starts as the SDF of a sphere (Atzmon & Lipman, SAL, CVPR 2020).

    A latent enters the first layer and the skip layer in columns of its own (DeepSDF, Park et al., CVPR 2019). With the
    latent fixed these columns act as a bias, so the network is then IDR's own; `heads/transfer.py` relies on this.
    """

    def __init__(self, config: SdfNetworkConfig) -> None:
        super().__init__()
        self.octaves, self.skip_layer, self.layers = config.octaves, config.skip_layer, config.layers
        encoded = encoded_size(config.octaves)
        widths = [encoded] + [config.width] * config.layers + [1 + config.features]
        for index in range(config.layers + 1):
            out_width = widths[index + 1] - (encoded if index + 1 == config.skip_layer else 0)
            latent = config.latent if self._takes_input(index) else 0
            linear = nn.Linear(widths[index] + latent, out_width)
            if index == config.layers:
                _init_as_sphere(linear, config.sphere_radius)
            else:
                # All inputs but the position itself: the encoding's waves and the latent start without effect.
                _init_hidden(linear, silent_inputs=encoded + latent - 3 if self._takes_input(index) else 0)
            setattr(self, f"lin{index}", weight_norm(linear))

    def _skips(self, index: int) -> bool:
        return index == self.skip_layer and index > 0

    def _takes_input(self, index: int) -> bool:
        return index == 0 or self._skips(index)

    def forward(self, points: Float[Tensor, "n 3"], latent: Float[Tensor, "m l"] | None = None) -> Float[Tensor, "n c"]:
        """[signed distance, features] at points in the networks' frame.

        Args:
            latent: one row per head; the points come grouped by head, n / m for each.
        """
        encoded = positional_encoding(points, self.octaves)
        x = encoded
        for index in range(self.layers + 1):
            scale = 1.0
            if self._skips(index):
                scale = 1.0 / math.sqrt(2.0)
                x = torch.cat([x, encoded], dim=-1) * scale
            linear = getattr(self, f"lin{index}")
            if latent is not None and self._takes_input(index):
                x = _with_latent(linear, x, latent * scale)
            else:
                x = linear(x)
            if index < self.layers:
                x = nn.functional.softplus(x, beta=SOFTPLUS_BETA)
        return x


def _with_latent(linear: nn.Linear, x: Float[Tensor, "n i"], latent: Float[Tensor, "m l"]) -> Float[Tensor, "n o"]:
    """`linear` applied to [x, latent], with the latent's part computed once per head instead of once per point."""
    weight = linear.weight
    per_head = nn.functional.linear(latent, weight[:, x.shape[1] :], linear.bias)
    if len(per_head) > 1:
        per_head = per_head.repeat_interleave(len(x) // len(per_head), dim=0)
    return nn.functional.linear(x, weight[:, : x.shape[1]]) + per_head


def _init_as_sphere(linear: nn.Linear, radius: float) -> None:
    """SAL's initialisation of the last layer: the network is about the SDF of a sphere with that radius."""
    nn.init.normal_(linear.weight, mean=math.sqrt(math.pi / linear.in_features), std=1e-4)
    nn.init.constant_(linear.bias, -radius)


def _init_hidden(linear: nn.Linear, silent_inputs: int) -> None:
    """SAL's initialisation of a hidden layer; the weights of its last `silent_inputs` inputs start at zero."""
    nn.init.normal_(linear.weight, std=math.sqrt(2.0 / linear.out_features))
    nn.init.zeros_(linear.bias)
    with torch.no_grad():
        linear.weight[:, linear.in_features - silent_inputs :] = 0.0


class _ReluMlp(nn.Module):
    """MLP with ReLU between its layers and weight norm."""

    def __init__(self, inputs: int, layers: int, width: int, outputs: int) -> None:
        super().__init__()
        self.layers = layers
        widths = [inputs] + [width] * layers + [outputs]
        for index in range(layers + 1):
            setattr(self, f"lin{index}", weight_norm(nn.Linear(widths[index], widths[index + 1])))

    def _run(self, x: Float[Tensor, "n i"]) -> Float[Tensor, "n o"]:
        for index in range(self.layers):
            x = nn.functional.relu(getattr(self, f"lin{index}")(x))
        return getattr(self, f"lin{self.layers}")(x)


class FeatureNetwork(_ReluMlp):
    """Position -> features, for the SDF network of a shape space, whose own features have never seen a colour."""

    def __init__(self, octaves: int, layers: int, width: int, features: int) -> None:
        super().__init__(encoded_size(octaves), layers, width, features)
        self.octaves = octaves

    def forward(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n f"]:
        """Features at points in the networks' frame."""
        return self._run(positional_encoding(points, self.octaves))


class ColourNetwork(_ReluMlp):
    """Position, normal, viewing direction, features -> colour; IDR's tanh output is mapped to [0, 1]."""

    def __init__(self, config: ColourNetworkConfig, features: int) -> None:
        super().__init__(3 + encoded_size(config.octaves) + 3 + features, config.layers, config.width, outputs=3)
        self.octaves = config.octaves

    def forward(
        self,
        points: Float[Tensor, "n 3"],
        normals: Float[Tensor, "n 3"],
        view_directions: Float[Tensor, "n 3"],
        features: Float[Tensor, "n f"],
        detail: Float[Tensor, "n 3"] | None = None,
    ) -> Float[Tensor, "n 3"]:
        """RGB in [0, 1] seen from `view_directions` (unit, from the surface to the camera).

        `normals` are the SDF's gradients, not normalised, as in IDR; `detail` is added before the tanh.
        """
        x = torch.cat([points, positional_encoding(view_directions, self.octaves), normals, features], dim=-1)
        raw = self._run(x) if detail is None else self._run(x) + detail
        return 0.5 * (torch.tanh(raw) + 1.0)
