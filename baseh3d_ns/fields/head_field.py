"""A head as a field: signed distance, its gradient and colours, computed by the networks in their own frame."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from nerfstudio.configs.base_config import InstantiateConfig
from torch import Tensor, nn

from baseh3d_ns.bounds import CountOrNone
from baseh3d_ns.fields.detail_grid import DetailGrid, DetailGridConfig
from baseh3d_ns.fields.networks import (
    ColourNetwork,
    ColourNetworkConfig,
    FeatureNetwork,
    SdfNetwork,
    SdfNetworkConfig,
)
from baseh3d_ns.fields.placement import Placement


@dataclass
class HeadFieldConfig(InstantiateConfig):
    """The networks of a head."""

    _target: type = field(default_factory=lambda: HeadField)
    sdf: SdfNetworkConfig = field(default_factory=SdfNetworkConfig)
    """The signed distance network."""
    colour: ColourNetworkConfig = field(default_factory=ColourNetworkConfig)
    """The colour network."""
    feature_layers: CountOrNone = 0
    """Hidden layers of a separate feature network (H3D-Net), each as wide as the SDF network's; 0: the SDF network
    gives the features (IDR)."""
    detail: DetailGridConfig = field(default_factory=DetailGridConfig)
    """Detail above the SDF network, for heads that start from a prior."""
    colour_detail: DetailGridConfig = field(default_factory=DetailGridConfig)
    """Detail above the colour network, likewise; learned last of all, with the surface frozen (--finish-colours)."""


class HeadField(nn.Module):
    """A head: signed distance (negative inside), its gradient, and colours, all in the unit frame.

    The networks live in a frame of their own, that of the prior they started from; `placement` maps the unit frame to
    it.
    """

    def __init__(self, config: HeadFieldConfig) -> None:
        super().__init__()
        self.config = config
        self.sdf_network = SdfNetwork(config.sdf)
        self.colour_network = ColourNetwork(config.colour, config.sdf.features)
        sdf, layers = config.sdf, config.feature_layers
        self.feature_network = FeatureNetwork(sdf.octaves, layers, sdf.width, sdf.features) if layers else None
        self.latent = nn.Parameter(torch.zeros(sdf.latent)) if sdf.latent else None
        self.detail = DetailGrid(config.detail, outputs=1) if config.detail.cells else None
        self.colour_detail = DetailGrid(config.colour_detail, outputs=3) if config.colour_detail.cells else None
        if self.colour_detail is not None:
            self.colour_detail.requires_grad_(False)  # until the surface is finished
        self.placement = Placement()

    def forward_geonetwork(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n c"]:
        """[signed distance, features]; nerfstudio's exporter calls a field by this name."""
        distance, features = self._distance_and_features(self.placement.points(points), self._own_latent)
        return torch.cat([distance[:, None], features], dim=-1)

    def sdf(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
        """Signed distance in units of the unit ball."""
        return self._distance_and_features(self.placement.points(points), self._own_latent)[0]

    def with_gradient(
        self, points: Float[Tensor, "n 3"], create_graph: bool, latents: Float[Tensor, "m l"] | None = None
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n f"], Float[Tensor, "n 3"]]:
        """Signed distance, features and SDF gradient at `points`.

        Args:
            create_graph: all three can be differentiated again (eikonal loss); otherwise they are detached, which also
                works under `torch.no_grad()`.
            latents: one row per head, with the points grouped by head as `SdfNetwork` takes them; None: the field's own
                latent.
        """
        latents = self._own_latent if latents is None else latents
        with torch.enable_grad():
            x = points if create_graph and points.requires_grad else points.detach().requires_grad_(True)
            inner = self.placement.points(x)
            distance, features = self._distance_and_features(inner, latents)
            if self.feature_network:
                features = self.feature_network(inner)
            (gradient,) = torch.autograd.grad(distance.sum(), x, create_graph=create_graph)
        if not create_graph:
            distance, features = distance.detach(), features.detach()
        return distance, features, gradient

    def detail_with_gradient(self, points: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 3"]]:
        """The detail grid's part of the signed distance at `points`, and of its gradient; both can be learned from."""
        assert self.detail is not None
        x = points.detach().requires_grad_(True)
        added = self.detail(self.placement.points(x))[:, 0] / self.placement.scale
        (gradient,) = torch.autograd.grad(added.sum(), x, create_graph=True)
        return added, gradient

    def colour(
        self,
        points: Float[Tensor, "n 3"],
        gradients: Float[Tensor, "n 3"],
        view_directions: Float[Tensor, "n 3"],
        features: Float[Tensor, "n f"],
    ) -> Float[Tensor, "n 3"]:
        """RGB in [0, 1] of surface points seen from `view_directions` (unit, from the surface to the camera)."""
        rotated = self.placement.directions(torch.stack([gradients, view_directions]))
        inner = self.placement.points(points)
        detail = None if self.colour_detail is None else self.colour_detail(inner)
        return self.colour_network(inner, rotated[0], rotated[1], features, detail)

    @torch.no_grad()
    def colour_towards_cameras(
        self, points: Float[Tensor, "n 3"], camera_centres: Float[Tensor, "cameras 3"]
    ) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
        """RGB in [0, 1] of surface points, each seen from the camera it faces most, and the SDF gradient there.

        Seen along the normal instead, the colour network would be asked for directions that no photo has taught it, and
        shows patches there.
        """
        _, features, gradient = self.with_gradient(points, create_graph=False)
        towards = nn.functional.normalize(camera_centres - points[:, None], dim=-1)
        most_frontal = (towards * gradient[:, None]).sum(-1).argmax(dim=1)
        views = towards[torch.arange(len(points), device=points.device), most_frontal]
        return self.colour(points, gradient, views, features), gradient

    @property
    def _own_latent(self) -> Float[Tensor, "1 l"] | None:
        return None if self.latent is None else self.latent[None]

    def _distance_and_features(
        self, inner: Float[Tensor, "n 3"], latent: Float[Tensor, "m l"] | None
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n f"]]:
        """Signed distance in units of the unit ball, and features, at points in the networks' frame."""
        output = self.sdf_network(inner, latent)
        distance = output[:, 0] if self.detail is None else output[:, 0] + self.detail(inner)[:, 0]
        return distance / self.placement.scale, output[:, 1:]
