"""IDR as a nerfstudio model: one surface point a ray, its colour, its mask. Source: Yariv et al., NeurIPS 2020.

The path of a ray, top to bottom (`training_pass`):

    trace           unit ball -> point on the surface, or of minimum SDF (no gradient)
    query_field     SDF and gradient at all traced points, at points uniform in the box, at points held by the anchor
    surface         differentiable surface points, normals and features there
    field.colour    colours of the surface points, back to the rays
    compare_photos  patches of the surface compared between photos (with `photos.weight`)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from annotated_types import Gt, Le
from jaxtyping import Bool, Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackAttributes, TrainingCallbackLocation
from torch import Tensor
from torch.nn import Parameter
from torch.nn.utils import parametrize

from baseh3d_ns.bounds import Fraction, Share, Weight
from baseh3d_ns.errors import InputError
from baseh3d_ns.models.photo_consistency import PhotoConfig, Photos
from baseh3d_ns.models.prior_anchor import AnchorConfig, PriorAnchor, detail_beyond
from baseh3d_ns.models.sdf_model import SdfModel, SdfModelConfig
from baseh3d_ns.models.surface_view import BACKGROUND
from baseh3d_ns.models.training_records import FieldSamples, Rays, TrainingPass
from baseh3d_ns.models.view_corrections import ViewCorrections
from baseh3d_ns.rendering.image_metrics import head_metrics, side_by_side
from baseh3d_ns.rendering.losses import ALPHA_END, colour_loss, eikonal_loss, mask_loss, mask_sharpness
from baseh3d_ns.rendering.sphere_tracing import Hits
from baseh3d_ns.rendering.surface_point import differentiable_surface_point


@dataclass
class IdrModelConfig(SdfModelConfig):
    """IDR: two networks, a tracer, three losses."""

    _target: type = field(default_factory=lambda: IdrModel)
    mask_weight: Weight = 100.0
    """Weight of the silhouette's cross entropy."""
    late_mask_factor: Weight = 1.0
    """How many times that weight given masks (not guessed ones) get from photos.small-from on, with photos compared."""
    mask_alpha: Annotated[float, Gt(0.0), Le(ALPHA_END)] = 50.0
    """Sharpness of the silhouette at the start, per radius of the networks' unit ball, at most 1600; it doubles five
    times, every eighth of the training, but not beyond 1600."""
    refine_cameras: bool = False
    """Also learn how far pose and focal length of every view are off; the head as a whole stays where it is."""
    refine_colours: bool = False
    """Also learn exposure, white balance and black point of every view against the others."""
    refine_from: Fraction = 0.1
    """Fraction of the training after which views are refined."""
    refine_weight: Weight = 1e-3
    """Weight of the corrections, squared and in units of what is typical of them."""
    photos: PhotoConfig = field(default_factory=PhotoConfig)
    """Photo consistency: patches of the surface compared between photos."""
    detail_until: Share = 0.6
    """Fraction of the training that the levels of detail (--pipeline.model.sdf-field.detail) share: the coarsest is
    open at once, each other opens in the share of the one before it."""
    anchor: AnchorConfig = field(default_factory=AnchorConfig)
    """Prior anchor: the shape space's head is kept where no photo sees."""

    def check(self) -> None:
        super().check()
        self.check_networks()

    def check_networks(self) -> None:
        """Raise `InputError` for networks that this model would not train."""
        if self.sdf_field.feature_layers or self.sdf_field.sdf.latent:
            raise InputError(
                "--pipeline.model.sdf-field: only h3dnet has a feature network and a latent, leave them at 0"
            )

    def sdf_learns_from(self) -> float:
        """Fraction of the training after which the SDF network learns."""
        return 0.0


class IdrModel(SdfModel):
    """IDR; `field.sdf` is the head in the unit frame (negative inside)."""

    config: IdrModelConfig

    def populate_modules(self) -> None:
        super().populate_modules()
        config, views, metadata = self.config, len(self.camera_centres), self.kwargs["metadata"]
        refines = config.refine_cameras or config.refine_colours
        self.views = ViewCorrections(metadata["camera_axes"], self.camera_centres) if refines else None
        self.late_mask_factor = 1.0 if metadata.get("guessed_masks") else config.late_mask_factor
        anchor = PriorAnchor(config.anchor, one_view=views == 1)
        self.anchor = anchor if anchor.weight > 0 else None
        self.early_photos: Photos | None = None
        self.late_photos: Photos | None = None
        self.progress = 0.0

    def get_param_groups(self) -> dict[str, list[Parameter]]:
        fields = [*self.field.sdf_network.parameters(), *self.field.colour_network.parameters()]
        detail = {"detail": self.field.detail.learning()} if self.field.detail else {}
        return {"fields": fields} | detail | ({"views": list(self.views.parameters())} if self.views else {})

    def get_training_callbacks(
        self, training_callback_attributes: TrainingCallbackAttributes
    ) -> list[TrainingCallback]:
        pipeline: Any = training_callback_attributes.pipeline
        manager, photos = pipeline.datamanager, self.config.photos
        if photos.weight > 0 and len(self.camera_centres) > 1:
            self.early_photos, self.late_photos = (
                Photos.read(manager.train_dataset, self.device, spacing, photos, high_pass)
                for spacing, high_pass in zip(photos.spacings_mm, photos.high_pass, strict=True)
            )

        def before_step(step: int) -> None:
            self.step, self.progress = step, pipeline.schedule.progress(step)
            learns = self.progress >= self.config.sdf_learns_from()
            self.field.sdf_network.requires_grad_(learns)
            if self.field.detail:
                for parameter in self.field.detail.learning():
                    parameter.requires_grad_(learns)
                self.field.detail.open_levels(self.progress / self.config.detail_until)
            if self.views:
                begun = self.progress >= self.config.refine_from
                self.views.learn(
                    cameras=begun and self.config.refine_cameras, colours=begun and self.config.refine_colours
                )
            if self.anchor and self.anchor.visibility_is_due(step):
                bundle, batch = manager.ray_pool.draw_from_all_views(self.config.anchor.visibility_rays)
                in_mask = batch["fg_mask"][:, 0] > 0.5
                self.anchor.update_visibility(self.field, bundle.origins, bundle.directions, in_mask)

        return [TrainingCallback([TrainingCallbackLocation.BEFORE_TRAIN_ITERATION], before_step)]

    def get_outputs(self, ray_bundle: RayBundle | Cameras) -> dict[str, Any]:
        assert isinstance(ray_bundle, RayBundle)
        self.keep_grid_fresh()
        if self.training:
            return {"training_pass": self.training_pass(self.training_rays(ray_bundle))}
        return self.rendering_pass(ray_bundle.origins.reshape(-1, 3), ray_bundle.directions.reshape(-1, 3))

    def training_rays(self, bundle: RayBundle) -> Rays:
        """The rays of a batch, from corrected cameras where views are refined."""
        origins, directions = bundle.origins.reshape(-1, 3), bundle.directions.reshape(-1, 3)
        assert bundle.camera_indices is not None
        views = bundle.camera_indices.reshape(-1)
        in_mask, far = (bundle.metadata[name].reshape(-1) > 0.5 for name in ("fg_mask", "far_from_edge"))
        if self.views:
            origins, directions = self.views.rays(origins, directions, views)
        return Rays(origins, directions, in_mask, far, views)

    def training_pass(self, rays: Rays) -> TrainingPass:
        """IDR's section 3, for a batch of rays."""
        hits = self.trace(rays)
        samples = self.query_field(rays, hits)
        points, features, normals = self.surface(rays, hits, samples)
        on = hits.hit
        colour = self.field.colour(points, normals, -rays.directions[on], features)
        if self.views:
            colour = self.views.colours(colour, rays.views[on])
        gradients = torch.cat([samples.gradients, samples.gradients_in_box])
        ncc = self.compare_photos(rays, on, points, normals)
        return TrainingPass(on, samples.sdf, gradients, colour, ncc, samples.anchor)

    def trace(self, rays: Rays) -> Hits:
        """Distance to the surface for rays in the mask that meet it, to the minimum SDF for all others."""
        with parametrize.cached():  # weight norm once, not at every of the tracer's calls
            return self.tracer.training_points(self.field.sdf, rays.origins, rays.directions, rays.in_mask)

    def query_field(self, rays: Rays, hits: Hits) -> FieldSamples:
        """SDF and gradients at the traced points, in the box and at the anchor's points, in one call of the network."""
        traced = rays.origins + hits.t[:, None] * rays.directions
        in_box = torch.rand(len(traced) // 2, 3, device=traced.device) * 2.0 - 1.0
        held = self.anchor.draw(len(traced) // 4) if self.anchor else None
        parts = [traced.detach(), in_box, *([held.points] if held else [])]
        every_sdf, _, every_gradient = self.field.with_gradient(torch.cat(parts), create_graph=True)
        sizes = [len(part) for part in parts]
        sdf, gradients = every_sdf.split(sizes), every_gradient.split(sizes)
        sdf_on_rays = sdf[0]
        if traced.requires_grad:
            # View corrections move the rays, and with them the SDF that they meet.
            sdf_on_rays = sdf_on_rays + (gradients[0].detach() * (traced - traced.detach())).sum(-1)
        anchor = None
        if held:
            anchor = held.loss(sdf[2], gradients[2])
            if self.field.detail:
                anchor = anchor + held.no_detail_loss(*detail_beyond(self.start, self.field, held.nearby()))
        return FieldSamples(sdf_on_rays, gradients[0], gradients[1], anchor)

    def surface(
        self, rays: Rays, hits: Hits, samples: FieldSamples
    ) -> tuple[Float[Tensor, "hits 3"], Float[Tensor, "hits f"], Float[Tensor, "hits 3"]]:
        """Differentiable surface points of the rays on the surface, features and SDF gradients there (eq. 3)."""
        on = hits.hit
        points = differentiable_surface_point(
            rays.origins[on], rays.directions[on], hits.t[on], samples.sdf[on], samples.gradients[on]
        )
        _, features, normals = self.field.with_gradient(points, create_graph=True)
        return points, features, normals

    def compare_photos(
        self, rays: Rays, on: Bool[Tensor, " rays"], points: Float[Tensor, "hits 3"], normals: Float[Tensor, "hits 3"]
    ) -> Float[Tensor, ""] | None:
        """Photo consistency of patches round some of the surface points, those well inside the masks."""
        photos = self.late_photos if self.progress >= self.config.photos.small_from else self.early_photos
        if photos is None:
            return None
        chosen = rays.far_from_edge[on].nonzero()[: self.config.photos.patches, 0]
        return photos.ncc_loss(points[chosen], normals[chosen], rays.views[on][chosen], self.cheap_sdf, self.views)

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
            in_mask = batch["fg_mask"][:, 0] > 0.5
            alpha = mask_sharpness(self.progress, self.config.mask_alpha)
            # In the networks' frame, so that a prior's silhouettes are as sharp in a larger unit ball.
            min_sdf = result.sdf[~on] * self.field.placement.scale
            silhouette = mask_loss(min_sdf, in_mask[~on], batch["weight"][~on], alpha, rays)
            late = self.late_photos is not None and self.progress >= self.config.photos.small_from
            losses["mask"] = self.config.mask_weight * (self.late_mask_factor if late else 1.0) * silhouette
        if self.views:
            losses["views"] = self.config.refine_weight * self.views.penalty()
        if result.ncc is not None:
            losses["photos"] = self.config.photos.weight * result.ncc
        if self.anchor and result.anchor is not None:
            losses["anchor"] = self.anchor.weight * result.anchor
        return losses

    def get_image_metrics_and_images(
        self, outputs: Mapping[str, Tensor], batch: dict[str, Tensor]
    ) -> tuple[dict[str, float], dict[str, Tensor]]:
        """PSNR and SSIM on the head (background white on both sides), and the silhouette's IoU, over known pixels."""
        photo, mask, known = (batch[name].to(self.device) for name in ("image", "fg_mask", "known"))
        mask = mask * known
        rendered = torch.where(known > 0.5, outputs["rgb"], BACKGROUND)
        shown = {"rgb": rendered, "accumulation": outputs["accumulation"] * known, "normal": outputs["normal"]}
        return head_metrics(shown, photo, mask, BACKGROUND), side_by_side(shown, photo, mask, BACKGROUND)
