"""IDR's two networks: a signed distance with features, and the colour a point shows to a viewing direction.

Source: Yariv et al., "Multiview Neural Surface Reconstruction by Disentangling Geometry and Appearance", NeurIPS 2020,
sections 3.2-3.4 and supplement B. The parameter shapes are the paper's, so that its checkpoints load.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from nerfstudio.configs.base_config import InstantiateConfig
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from baseh3d_ns.fields.placement import Placement

SOFTPLUS_BETA = 100


@dataclass
class SdfNetworkConfig:
    """The SDF network: position -> signed distance and features."""

    layers: int = 8
    """Number of hidden layers."""
    width: int = 512
    """Units of a hidden layer."""
    skip_layer: int = 4
    """The layer (counted from 0) whose input is concatenated with the encoded position; 0 for none."""
    octaves: int = 6
    """Octaves of the positional encoding of the position."""
    features: int = 256
    """Number of features handed to the colour network."""
    sphere_radius: float = 0.6
    """Radius of the sphere the untrained network describes, in units of the unit ball."""
    latent: int = 0
    """Numbers of the latent that says whose head it is (H3D-Net's shape space); 0: one head."""


@dataclass
class ColourNetworkConfig:
    """The colour network: position, normal, viewing direction, features -> colour."""

    layers: int = 4
    """Number of hidden layers."""
    width: int = 512
    """Units of a hidden layer."""
    octaves: int = 4
    """Octaves of the positional encoding of the viewing direction."""


@dataclass
class HeadFieldConfig(InstantiateConfig):
    """Both networks of a head."""

    _target: type = field(default_factory=lambda: HeadField)
    sdf: SdfNetworkConfig = field(default_factory=SdfNetworkConfig)
    """The signed distance network."""
    colour: ColourNetworkConfig = field(default_factory=ColourNetworkConfig)
    """The colour network."""
    appearance_layers: int = 0
    """Hidden layers, as wide as the SDF network's, of a separate network for the features (H3D-Net); 0: the SDF network
    gives them."""


def positional_encoding(x: Float[Tensor, "n d"], octaves: int) -> Float[Tensor, "n e"]:
    """x, sin(x), cos(x), sin(2x), cos(2x), sin(4x), ...: e = d (1 + 2 octaves), in IDR's order (no factor pi)."""
    waves = [wave(x * 2.0**octave) for octave in range(octaves) for wave in (torch.sin, torch.cos)]
    return torch.cat([x, *waves], dim=-1)


class SdfNetwork(nn.Module):
    """Softplus MLP with weight norm and one skip; starts as the SDF of a sphere (Atzmon & Lipman, SAL, CVPR 2020).

    A latent enters the first layer and the skip's, in columns of their own (DeepSDF, Park et al., CVPR 2019): at a
    fixed latent they are a bias, so what is left is IDR's own network (`priors/transfer.py` makes use of it).
    """

    def __init__(self, config: SdfNetworkConfig) -> None:
        super().__init__()
        self.octaves, self.skip_layer, self.layers = config.octaves, config.skip_layer, config.layers
        encoded = 3 * (1 + 2 * config.octaves)
        widths = [encoded] + [config.width] * config.layers + [1 + config.features]
        for index in range(config.layers + 1):
            out_width = widths[index + 1] - (encoded if index + 1 == config.skip_layer else 0)
            entering = config.latent if index == 0 or self._skips(index) else 0
            linear = nn.Linear(widths[index] + entering, out_width)
            _geometric_init(
                linear,
                sphere_radius=config.sphere_radius if index == config.layers else None,
                zero_columns=slice(3, None)
                if index == 0
                else slice(-(encoded + entering - 3), None)
                if self._skips(index)
                else None,
            )
            setattr(self, f"lin{index}", weight_norm(linear))

    def _skips(self, index: int) -> bool:
        return index == self.skip_layer and index > 0

    def forward(self, points: Float[Tensor, "n 3"], latent: Float[Tensor, "m l"] | None = None) -> Float[Tensor, "n c"]:
        """Points in the unit frame -> [signed distance, features].

        Args:
            latent: of the heads that the points belong to, n / m points after each other to every one.
        """
        encoded = positional_encoding(points, self.octaves)
        x = encoded
        for index in range(self.layers + 1):
            scale = 1.0
            if self._skips(index):
                scale = 1.0 / math.sqrt(2.0)
                x = torch.cat([x, encoded], dim=-1) * scale
            linear = getattr(self, f"lin{index}")
            if latent is None or not (index == 0 or self._skips(index)):
                x = linear(x)
            else:
                x = _with_latent(linear, x, latent * scale)
            if index < self.layers:
                x = nn.functional.softplus(x, beta=SOFTPLUS_BETA)
        return x


def _with_latent(linear: nn.Linear, x: Float[Tensor, "n i"], latent: Float[Tensor, "m l"]) -> Float[Tensor, "n o"]:
    """`linear` of [x, latent], without writing every latent out for all of its points."""
    weight = linear.weight
    own = nn.functional.linear(latent, weight[:, x.shape[1] :], linear.bias)
    if len(own) > 1:
        own = own.repeat_interleave(len(x) // len(own), dim=0)
    return nn.functional.linear(x, weight[:, : x.shape[1]]) + own


def _geometric_init(linear: nn.Linear, sphere_radius: float | None, zero_columns: slice | None) -> None:
    """SAL's initialisation: a sphere of that radius after the last layer; the encoding's waves start without effect."""
    if sphere_radius is not None:
        nn.init.normal_(linear.weight, mean=math.sqrt(math.pi / linear.in_features), std=1e-4)
        nn.init.constant_(linear.bias, -sphere_radius)
        return
    nn.init.normal_(linear.weight, std=math.sqrt(2.0 / linear.out_features))
    nn.init.zeros_(linear.bias)
    if zero_columns is not None:
        with torch.no_grad():
            linear.weight[:, zero_columns] = 0.0


class AppearanceNetwork(nn.Module):
    """ReLU MLP with weight norm: position -> features, for a shape space whose SDF network knows nothing of colours."""

    def __init__(self, octaves: int, layers: int, width: int, features: int) -> None:
        super().__init__()
        self.octaves, self.layers = octaves, layers
        widths = [3 * (1 + 2 * octaves)] + [width] * layers + [features]
        for index in range(layers + 1):
            setattr(self, f"lin{index}", weight_norm(nn.Linear(widths[index], widths[index + 1])))

    def forward(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n f"]:
        """Features of points in the unit frame."""
        x = positional_encoding(points, self.octaves)
        for index in range(self.layers + 1):
            x = getattr(self, f"lin{index}")(x)
            if index < self.layers:
                x = nn.functional.relu(x)
        return x


class ColourNetwork(nn.Module):
    """ReLU MLP with weight norm; IDR's tanh output is mapped to [0, 1]."""

    def __init__(self, config: ColourNetworkConfig, features: int) -> None:
        super().__init__()
        self.octaves, self.layers = config.octaves, config.layers
        inputs = 3 + 3 * (1 + 2 * config.octaves) + 3 + features
        widths = [inputs] + [config.width] * config.layers + [3]
        for index in range(config.layers + 1):
            setattr(self, f"lin{index}", weight_norm(nn.Linear(widths[index], widths[index + 1])))

    def forward(
        self,
        points: Float[Tensor, "n 3"],
        normals: Float[Tensor, "n 3"],
        view_directions: Float[Tensor, "n 3"],
        features: Float[Tensor, "n f"],
    ) -> Float[Tensor, "n 3"]:
        """RGB in [0, 1] seen from `view_directions` (unit, from the surface to the camera).

        `normals` are the SDF's gradients, not normalised, as in IDR.
        """
        x = torch.cat([points, positional_encoding(view_directions, self.octaves), normals, features], dim=-1)
        for index in range(self.layers + 1):
            x = getattr(self, f"lin{index}")(x)
            if index < self.layers:
                x = nn.functional.relu(x)
        return 0.5 * (torch.tanh(x) + 1.0)


class HeadField(nn.Module):
    """A head: signed distance (negative inside), its gradient, and colours, all in the unit frame.

    The networks live in a frame of their own, the prior's; `placement` says where that lies.
    """

    def __init__(self, config: HeadFieldConfig) -> None:
        super().__init__()
        # A trained softplus is full of numbers below 1e-38, with which a step takes a CPU 1.6 times as long. Set here,
        # since threads that torch starts later do as the one that starts them.
        torch.set_flush_denormal(True)
        self.config = config
        self.sdf_network = SdfNetwork(config.sdf)
        self.colour_network = ColourNetwork(config.colour, config.sdf.features)
        sdf, layers = config.sdf, config.appearance_layers
        self.appearance_network = AppearanceNetwork(sdf.octaves, layers, sdf.width, sdf.features) if layers else None
        self.latent = nn.Parameter(torch.zeros(sdf.latent)) if sdf.latent else None
        self.placement = Placement()

    def forward_geonetwork(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n c"]:
        """[signed distance, features]; the name is nerfstudio's exporter's contract."""
        distance, features = self._distance_and_features(self.placement.points(points), self._own_latent)
        return torch.cat([distance[:, None], features], dim=-1)

    def sdf(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
        """Signed distance in units of the unit ball."""
        return self._distance_and_features(self.placement.points(points), self._own_latent)[0]

    def with_gradient(
        self, points: Float[Tensor, "n 3"], create_graph: bool, latents: Float[Tensor, "m l"] | None = None
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n f"], Float[Tensor, "n 3"]]:
        """Signed distance, features and SDF gradient at `points`.

        With `create_graph` all three can be differentiated again (eikonal loss); without it they are detached, which
        also works under `torch.no_grad()`. `latents`: of several heads, as `SdfNetwork` takes them; else its own.
        """
        latents = self._own_latent if latents is None else latents
        with torch.enable_grad():
            x = points if create_graph and points.requires_grad else points.detach().requires_grad_(True)
            inner = self.placement.points(x)
            distance, features = self._distance_and_features(inner, latents)
            if self.appearance_network:
                features = self.appearance_network(inner)
            (gradient,) = torch.autograd.grad(distance.sum(), x, create_graph=create_graph)
        if not create_graph:
            distance, features = distance.detach(), features.detach()
        return distance, features, gradient

    def colour(
        self,
        points: Float[Tensor, "n 3"],
        gradients: Float[Tensor, "n 3"],
        view_directions: Float[Tensor, "n 3"],
        features: Float[Tensor, "n f"],
    ) -> Float[Tensor, "n 3"]:
        """RGB in [0, 1] of surface points seen from `view_directions` (unit, from the surface to the camera)."""
        place = self.placement
        turned = place.directions(torch.stack([gradients, view_directions]))
        return self.colour_network(place.points(points), turned[0], turned[1], features)

    @torch.no_grad()
    def appearance(
        self, points: Float[Tensor, "n 3"], camera_centres: Float[Tensor, "cameras 3"]
    ) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
        """RGB in [0, 1] of surface points seen from the camera that faces each most, and the SDF gradient there.

        Seen straight against the normal, the network shows directions that no photo has taught it: patches.
        """
        _, features, gradient = self.with_gradient(points, create_graph=False)
        towards = nn.functional.normalize(camera_centres - points[:, None], dim=-1)
        facing = (towards * gradient[:, None]).sum(-1).argmax(dim=1)
        views = towards[torch.arange(len(points), device=points.device), facing]
        return self.colour(points, gradient, views, features), gradient

    @property
    def _own_latent(self) -> Float[Tensor, "1 l"] | None:
        return None if self.latent is None else self.latent[None]

    def _distance_and_features(
        self, inner: Float[Tensor, "n 3"], latent: Float[Tensor, "m l"] | None
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n f"]]:
        """Of points in the networks' frame."""
        output = self.sdf_network(inner, latent)
        return output[:, 0] / self.placement.scale, output[:, 1:]
