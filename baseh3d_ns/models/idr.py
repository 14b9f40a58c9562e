"""IDR as a nerfstudio model: one surface point a ray, its colour, its mask. Source: Yariv et al., NeurIPS 2020.

The path of a ray, top to bottom (`training_pass`):

    unit ball -> trace (no gradient) -> SDF, gradient at all traced points -> differentiable surface points
    -> normals and features there -> colour -> back to the rays
                                  -> patches, as several photos show them (with `photo_weight`)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackAttributes, TrainingCallbackLocation
from torch import Tensor
from torch.nn import Parameter
from torch.nn.utils import parametrize

from baseh3d_ns.errors import InputError
from baseh3d_ns.models.photo_consistency import FINE_FROM, PATCHES, PITCHES_MM, Photos
from baseh3d_ns.models.prior_anchor import RAYS, PriorAnchor
from baseh3d_ns.models.sdf_model import BACKGROUND, SdfModel, SdfModelConfig
from baseh3d_ns.models.view_corrections import ViewCorrections
from baseh3d_ns.rendering.image_metrics import head_metrics, side_by_side
from baseh3d_ns.rendering.losses import colour_loss, eikonal_loss, mask_loss, mask_sharpness
from baseh3d_ns.rendering.surface_point import differentiable_surface_point

ANCHOR_STEPS = 100
"""Training steps between two looks at what the photos see (with an anchor)."""


@dataclass
class IdrModelConfig(SdfModelConfig):
    """IDR: two networks, a tracer, three losses."""

    _target: type = field(default_factory=lambda: IdrModel)
    mask_weight: float = 100.0
    """Weight of the silhouette's cross entropy."""
    mask_alpha: float = 50.0
    """Sharpness of the silhouette at the start, at most 1600; it doubles five times, every eighth of the training, but
    not beyond 1600."""
    refine_cameras: bool = False
    """Also learn how far pose and focal length of every view are off; the head as a whole stays where it is."""
    refine_colours: bool = False
    """Also learn exposure, white balance and black point of every view against the others."""
    refine_from: float = 0.1
    """Fraction of the training after which views are refined."""
    refine_weight: float = 1e-3
    """Weight of the corrections, squared and in units of what is typical of them."""
    photo_weight: float = 0.0
    """Weight of 1 - NCC of the surface's patches in one photo and in the others that see them; 0: off. What hides a
    patch is looked up in the cached grid; the sphere tracer has none, so there it costs calls of the network."""
    anchor_weight: float = 0.0
    """Weight of the difference of SDF and gradient from the placed shape space's where no training ray has passed; 0:
    off. With several views, a prior that is not placed (--register) holds nothing, and the prior of one head neither:
    what they do not see is another person's."""
    one_view_anchor_weight: float = 0.0
    """The same weight, or anchor_weight if that is larger, for a training with a single view: one photo shows no depth,
    so all is held that it does not show to be beside the head."""

    def check_networks(self) -> None:
        """Raise `InputError` for networks that this model would not train."""
        if self.sdf_field.feature_layers or self.sdf_field.sdf.latent:
            raise InputError(
                "--pipeline.model.sdf-field: only h3dnet has an feature network and a latent, leave them at 0"
            )

    def sdf_learns_from(self) -> float:
        """Fraction of the training after which the SDF network learns."""
        return 0.0


@dataclass(frozen=True)
class TrainingPass:
    """What the losses need, one entry a ray unless said otherwise."""

    on_surface: Bool[Tensor, " rays"]
    """Rays that meet the surface and lie in the mask: they carry colour; all others carry the mask loss."""
    sdf: Float[Tensor, " rays"]
    """SDF at the traced point; for rays off the surface, the least along the ray."""
    gradients: Float[Tensor, "points 3"]
    """SDF gradients at the traced points and at points uniform in the box."""
    colour: Float[Tensor, "hits 3"]
    """RGB in [0, 1] of the rays on the surface, in their order."""
    disagreement: Float[Tensor, ""] | None
    """How little the photos agree on the surface."""
    anchor: Float[Tensor, ""] | None
    """How far the field has left the prior where no ray has passed."""


class IdrModel(SdfModel):
    """IDR; `field.sdf` is the head in the unit frame (negative inside)."""

    config: IdrModelConfig

    def populate_modules(self) -> None:
        super().populate_modules()
        refines = self.config.refine_cameras or self.config.refine_colours
        self.views = ViewCorrections(self.kwargs["metadata"]["camera_axes"], self.camera_centres) if refines else None
        one_view = len(self.camera_centres) == 1
        self.anchor_weight = max(self.config.anchor_weight, one_view * self.config.one_view_anchor_weight)
        self.anchor = PriorAnchor(one_view) if self.anchor_weight > 0 else None
        self.coarse_and_fine: tuple[Photos, ...] = ()
        self.progress = 0.0

    def get_param_groups(self) -> dict[str, list[Parameter]]:
        fields = [*self.field.sdf_network.parameters(), *self.field.colour_network.parameters()]
        return {"fields": fields} | ({"views": list(self.views.parameters())} if self.views else {})

    def get_training_callbacks(
        self, training_callback_attributes: TrainingCallbackAttributes
    ) -> list[TrainingCallback]:
        trainer: Any = training_callback_attributes.trainer
        if self.config.photo_weight > 0 and len(self.camera_centres) > 1:
            self.coarse_and_fine = tuple(Photos.of(trainer.dataset, self.device, pitch) for pitch in PITCHES_MM)

        def before_step(step: int) -> None:
            self.step, self.progress = step, trainer.progress(step)
            self.field.sdf_network.requires_grad_(self.progress >= self.config.sdf_learns_from())
            if self.views:
                begun = self.progress >= self.config.refine_from
                self.views.learn(
                    cameras=begun and self.config.refine_cameras, colours=begun and self.config.refine_colours
                )
            if self.anchor and self.anchor.trust > 0 and (step % ANCHOR_STEPS == 0 or not len(self.anchor.unseen)):
                bundle, batch = trainer.pipeline.datamanager.train_pixel_sampler.draw_from_all_views(RAYS)
                self.anchor.look(self.field, bundle.origins, bundle.directions, batch["fg_mask"][:, 0] > 0.5)

        return [TrainingCallback([TrainingCallbackLocation.BEFORE_TRAIN_ITERATION], before_step)]

    # ---- the path of a ray -------------------------------------------------------------------------------------------

    def get_outputs(self, ray_bundle: RayBundle | Cameras) -> dict[str, Any]:
        assert isinstance(ray_bundle, RayBundle)
        origins, directions = ray_bundle.origins.reshape(-1, 3), ray_bundle.directions.reshape(-1, 3)
        self.keep_grid_fresh()
        if self.training:
            inside = ray_bundle.metadata["fg_mask"].reshape(-1) > 0.5
            assert ray_bundle.camera_indices is not None
            views = ray_bundle.camera_indices.reshape(-1)
            if self.views:
                origins, directions = self.views.rays(origins, directions, views)
            return {"training_pass": self.training_pass(origins, directions, inside, views)}
        return self.rendering_pass(origins, directions)

    def training_pass(
        self,
        origins: Float[Tensor, "rays 3"],
        directions: Float[Tensor, "rays 3"],
        inside: Bool[Tensor, " rays"],
        views: Int[Tensor, " rays"],
    ) -> TrainingPass:
        """IDR's section 3, for a batch of rays of which `inside` says which lie in the mask."""
        with parametrize.cached():  # weight norm once, not at every of the tracer's calls
            points_at = self.tracer.training_points(self.field.sdf, origins, directions, inside)
        t, on_surface = points_at.t, points_at.hit
        traced = origins + t[:, None] * directions
        in_box = torch.rand(len(traced) // 2, 3, device=traced.device) * 2.0 - 1.0
        held = self.anchor.draw(len(traced) // 4) if self.anchor else None
        points = torch.cat([traced.detach(), in_box, *([held.points] if held else [])])
        sdf, _, gradients = self.field.with_gradient(points, create_graph=True)
        rest = len(traced) + len(in_box)
        anchor = held.difference(sdf[rest:], gradients[rest:]) if held else None
        sdf, gradients_traced = sdf[: len(traced)], gradients[: len(traced)]
        if traced.requires_grad:
            # What moves the rays, their views' corrections, moves the SDF that they meet.
            sdf = sdf + (gradients_traced.detach() * (traced - traced.detach())).sum(-1)

        points = differentiable_surface_point(
            origins[on_surface], directions[on_surface], t[on_surface], sdf[on_surface], gradients_traced[on_surface]
        )
        _, features, normals = self.field.with_gradient(points, create_graph=True)
        colour = self.field.colour(points, normals, -directions[on_surface], features)
        disagreement = None
        if self.coarse_and_fine:
            photos = self.coarse_and_fine[self.progress >= FINE_FROM]
            # The first rays of a batch are any of those well inside the masks.
            surface = points[:PATCHES], normals[:PATCHES], views[on_surface][:PATCHES]
            disagreement = photos.disagreement(*surface, self.cheap_sdf, self.views)
        if self.views:
            colour = self.views.colours(colour, views[on_surface])
        return TrainingPass(on_surface, sdf, gradients, colour, disagreement, anchor)

    # ---- losses, metrics, pictures -----------------------------------------------------------------------------------

    def get_loss_dict(
        self, outputs: dict[str, Any], batch: dict[str, Tensor], metrics_dict: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        if "training_pass" not in outputs:
            masked = (outputs["rgb"] - batch["image"].to(self.device)).abs() * batch["fg_mask"].to(self.device)
            return {"colour": masked.mean()}
        result: TrainingPass = outputs["training_pass"]
        on, rays = result.on_surface, len(result.on_surface)
        losses = {"colour": colour_loss(result.colour, batch["image"][on], batch["weight"][on], rays)}
        if self.config.eikonal_weight > 0:
            losses["eikonal"] = self.config.eikonal_weight * eikonal_loss(result.gradients)
        if self.config.mask_weight > 0:
            inside = batch["fg_mask"][:, 0] > 0.5
            alpha = mask_sharpness(self.progress, self.config.mask_alpha)
            # In the networks' frame, so that a prior's silhouettes are as sharp in a larger unit ball.
            least = result.sdf[~on] * self.field.placement.scale
            losses["mask"] = self.config.mask_weight * mask_loss(least, inside[~on], batch["weight"][~on], alpha, rays)
        if self.views:
            losses["views"] = self.config.refine_weight * self.views.penalty()
        if result.disagreement is not None:
            losses["photos"] = self.config.photo_weight * result.disagreement
        if result.anchor is not None:
            losses["anchor"] = self.anchor_weight * result.anchor
        return losses

    def get_image_metrics_and_images(
        self, outputs: dict[str, Tensor], batch: dict[str, Tensor]
    ) -> tuple[dict[str, float], dict[str, Tensor]]:
        """PSNR and SSIM on the head (background white on both sides), and the silhouette's IoU."""
        photo, mask = batch["image"].to(self.device), batch["fg_mask"].to(self.device)
        return head_metrics(outputs, photo, mask, BACKGROUND), side_by_side(outputs, photo, mask, BACKGROUND)
