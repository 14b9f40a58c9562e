"""An auto-decoder: one SDF network for many heads, a latent for each, learned from points on their surfaces.

Source: Ramon et al., "H3D-Net: Few-Shot High-Fidelity 3D Head Reconstruction", ICCV 2021, section 3.1 and supplement
(the loss is IGR's, Gropp et al., ICML 2020, eq. 2 and 10; the latents DeepSDF's, Park et al., CVPR 2019). Every head
is also seen mirrored with the latent -z, so that z = 0 is a symmetric head.

Real heads are nearly symmetric, so under that rule z and -z are nearly the same head, and z = 0, the one between them,
is not a mean of anything (of the synthetic heads: shreds of long hair). `symmetric_latents` keeps the sign of the
first numbers of the latent: they say what both sides share, the rest what differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackAttributes, TrainingCallbackLocation
from nerfstudio.viewer.viewer_elements import ViewerSlider
from torch import Tensor, nn
from torch.nn import Parameter
from torch.nn.functional import normalize

from baseh3d_ns.bounds import CountOrNone, Weight
from baseh3d_ns.heads.latent_pca import mean_latent, principal_components
from baseh3d_ns.models.sdf_model import SdfModel, SdfModelConfig
from baseh3d_ns.rendering.losses import eikonal_loss

NEAR_SPREAD = 0.05
"""Standard deviation of the eikonal points that lie round surface points, in units of the unit ball."""
SLIDERS = 6
"""Principal components of the latents that are sliders in the viewer."""


@dataclass
class ShapeSpaceModelConfig(SdfModelConfig):
    """Auto-decoder: weights of the losses on surfaces."""

    _target: type = field(default_factory=lambda: ShapeSpaceModel)
    surface_weight: Weight = 1.0
    """Weight of |SDF| at points of the surface, in units of the unit ball."""
    normal_weight: Weight = 1.0
    """Weight of |grad SDF - normal| there."""
    latent_weight: Weight = 1e-3
    """Weight of the latents' length."""
    symmetric_latents: CountOrNone = 0
    """Numbers of the latent that a mirrored head shares; the others change sign (H3D-Net: all)."""
    colour_weight: Weight = 0.1
    """Weight of the colours, where surfaces have any; they serve to place the prior on photos."""


@dataclass(frozen=True)
class SurfaceBatch:
    """Points of a few heads, in the unit frame; those of mirrored heads are mirrored."""

    heads: Int[Tensor, " heads"]
    """Numbers of the latents that they belong to."""
    side: Float[Tensor, " heads"]
    """-1 for a mirrored head, else 1."""
    points: Float[Tensor, "heads points 3"]
    normals: Float[Tensor, "heads points 3"]
    colours: Float[Tensor, "heads points 3"] | None


@dataclass(frozen=True)
class ShapePass:
    """SDF, gradients and colours that the losses need."""

    sdf: Float[Tensor, "heads points"]
    gradients: Float[Tensor, "heads points 3"]
    """SDF gradients at the surface points."""
    gradients_around: Float[Tensor, "heads around 3"]
    """SDF gradients at points round the surface and anywhere in the box."""
    colours: Float[Tensor, "heads points 3"] | None
    lengths: Float[Tensor, " heads"]
    """Lengths of the latents."""


class ShapeSpaceModel(SdfModel):
    """`field` shows the head of `field.latent`, the mean head unless the viewer's sliders say otherwise."""

    config: ShapeSpaceModelConfig
    frame_mm: Tensor

    def populate_modules(self) -> None:
        super().populate_modules()
        self.weights_moved = True
        latent, heads = self.config.sdf_field.sdf.latent, len(self.kwargs["metadata"]["heads"])
        self.latents = nn.Parameter(torch.randn(heads, latent) / latent**0.5)
        # In the state dict, so that a checkpoint says what its mean head is.
        self.register_buffer("symmetric_latents", torch.tensor(self.config.symmetric_latents))
        self.sliders = [
            ViewerSlider(f"Component {number + 1}", 0.0, -3.0, 3.0, 0.1, cb_hook=lambda _: self.show_sliders())
            for number in range(min(SLIDERS, latent, heads))
        ]
        # The viewer looks for its elements among attributes, not in lists.
        for number, slider in enumerate(self.sliders):
            setattr(self, f"component_{number + 1}", slider)

    def update_to_step(self, step: int) -> None:
        super().update_to_step(step)
        self.weights_moved = True

    def get_param_groups(self) -> dict[str, list[Parameter]]:
        networks = [*self.field.sdf_network.parameters(), *self.field.colour_network.parameters()]
        return {"fields": networks, "latents": [self.latents]}

    def get_training_callbacks(
        self, training_callback_attributes: TrainingCallbackAttributes
    ) -> list[TrainingCallback]:
        def before_step(step: int) -> None:
            self.step = step

        return [TrainingCallback([TrainingCallbackLocation.BEFORE_TRAIN_ITERATION], before_step)]

    def get_outputs(self, ray_bundle: RayBundle | Cameras | SurfaceBatch) -> dict[str, Any]:
        if isinstance(ray_bundle, SurfaceBatch):
            self.weights_moved = True
            return {"shape_pass": self.shape_pass(ray_bundle)}
        assert isinstance(ray_bundle, RayBundle)
        self.keep_grid_fresh()
        return self.rendering_pass(ray_bundle.origins.reshape(-1, 3), ray_bundle.directions.reshape(-1, 3))

    def keep_grid_fresh(self) -> None:
        if self.weights_moved:
            self.show_sliders()
            self.grid_step, self.refreshes, self.weights_moved = None, 0, False
        super().keep_grid_fresh()

    def shape_pass(self, batch: SurfaceBatch) -> ShapePass:
        """SDF and gradients at surface and eikonal points of all heads of the batch, in one call of the network."""
        heads, count, _ = batch.points.shape
        latents = self.latents[batch.heads]
        symmetric = self.config.symmetric_latents
        latents = torch.cat([latents[:, :symmetric], latents[:, symmetric:] * batch.side[:, None]], dim=1)
        near = batch.points[:, : count // 4]
        near = near + NEAR_SPREAD * torch.randn_like(near)
        points = torch.cat([batch.points, near, torch.rand_like(near) * 2.0 - 1.0], dim=1)
        sdf, features, gradients = self.field.with_gradient(points.reshape(-1, 3), create_graph=True, latents=latents)
        sdf, gradients = sdf.view(heads, -1), gradients.view(heads, -1, 3)
        colours = None
        if batch.colours is not None and self.config.colour_weight > 0:
            features = features.view(heads, points.shape[1], -1)[:, :count]
            # Seen from anywhere in front: these colours are of a diffuse light.
            views = normalize(batch.normals + 0.8 * normalize(torch.randn_like(batch.normals), dim=-1), dim=-1)
            colours = self.field.colour(
                batch.points.flatten(0, 1),
                gradients[:, :count].flatten(0, 1),
                views.flatten(0, 1),
                features.flatten(0, 1),
            ).view_as(batch.points)
        return ShapePass(sdf[:, :count], gradients[:, :count], gradients[:, count:], colours, latents.norm(dim=-1))

    def get_loss_dict(
        self, outputs: dict[str, Any], batch: SurfaceBatch, metrics_dict: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        found: ShapePass = outputs["shape_pass"]
        assert isinstance(batch, SurfaceBatch)
        losses = {}
        if self.config.surface_weight > 0:
            losses["surface"] = self.config.surface_weight * found.sdf.abs().mean()
        if self.config.normal_weight > 0:
            losses["normal"] = self.config.normal_weight * (found.gradients - batch.normals).norm(dim=-1).mean()
        if self.config.eikonal_weight > 0:
            every_gradient = torch.cat([found.gradients, found.gradients_around], dim=1)
            losses["eikonal"] = self.config.eikonal_weight * eikonal_loss(every_gradient.flatten(0, 1))
        if self.config.latent_weight > 0:
            losses["latent"] = self.config.latent_weight * found.lengths.mean()
        if found.colours is not None and batch.colours is not None:
            losses["colour"] = self.config.colour_weight * (found.colours - batch.colours).abs().mean()
        return losses

    def get_metrics_dict(self, outputs: dict[str, Any], batch: SurfaceBatch) -> dict[str, Tensor]:
        return {"surface_mm": outputs["shape_pass"].sdf.detach().abs().mean() * self.frame_mm[3]}

    def get_image_metrics_and_images(
        self, outputs: Mapping[str, Tensor], batch: dict[str, Tensor]
    ) -> tuple[dict[str, float], dict[str, Tensor]]:
        """The mean head; there is no photo of it."""
        return {}, {"mean head": torch.cat([outputs["rgb"], outputs["normal"]], dim=1)}

    @torch.no_grad()
    def show_sliders(self) -> None:
        """Show the head whose PCA coefficients are the sliders' values."""
        values = self.latents.new_tensor([slider.value for slider in self.sliders])
        mean = mean_latent(self.latents, self.config.symmetric_latents)
        assert self.field.latent is not None
        self.field.latent.copy_(mean + values @ principal_components(self.latents, mean, len(self.sliders)))
        self.weights_moved = True
