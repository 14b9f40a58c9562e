"""The base of every model of a head: a field, a tracer, pictures. Subclasses say how it is learned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import tyro
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.scene_box import OrientedBox
from nerfstudio.model_components import renderers
from nerfstudio.models.base_model import Model, ModelConfig
from torch import Tensor

from baseh3d_ns.bounds import Count, GridCells, Weight
from baseh3d_ns.fields.head_field import HeadField, HeadFieldConfig
from baseh3d_ns.models.surface_view import Pictures, SurfaceView
from baseh3d_ns.rendering.chunks import Sdf
from baseh3d_ns.rendering.sdf_grid import GridTracer
from baseh3d_ns.rendering.sphere_tracing import SphereTracer, Tracer

WHOLE_GRID_EVERY = 8
"""Refreshes of the SDF grid per refresh of the whole of it; the others only look near the surface."""
PICTURE_REFRESH_STEPS = 5
"""Training steps after which a picture refreshes the grid: a moving camera's cannot do so every time, and all end with
the network's own values."""

Inspection = Callable[[SurfaceView, Cameras], dict[str, Callable[[], Tensor]]]


@dataclass
class SdfModelConfig(ModelConfig):
    """Networks, a tracer, the eikonal loss."""

    _target: type = field(default_factory=lambda: SdfModel)
    enable_collider: tyro.conf.Suppress[bool] = False
    """nerfstudio's collider is not used: rays are cut at the unit ball."""
    collider_params: tyro.conf.Suppress[dict[str, float] | None] = None
    loss_coefficients: tyro.conf.Suppress[dict[str, float]] = field(default_factory=dict)
    prompt: tyro.conf.Suppress[str | None] = None
    sdf_field: HeadFieldConfig = field(default_factory=HeadFieldConfig)
    """The networks; the name is what nerfstudio's exporter looks for."""
    tracer: Literal["sphere", "grid"] = "sphere"
    """`sphere`: IDR's reference tracer. `grid`: dense samples on a cached SDF grid, refined with the network."""
    grid_cells: GridCells = 64
    """Cells of the cached SDF grid along an axis of the unit ball's box (tracer `grid`)."""
    grid_refresh_steps: Count = 25
    """Training steps between two refreshes of the cached SDF grid near its surface; the rest of it every eighth time
    (tracer `grid`)."""
    eikonal_weight: Weight = 0.1
    """Weight of (|grad SDF| - 1)^2."""
    eval_num_rays_per_chunk: Count = 1 << 16
    """Rays a chunk when rendering a picture: small chunks ask the network for a few points at a time, which is slow."""

    def check(self) -> None:
        """Raise `InputError` for settings that this model cannot be trained with."""
        self.sdf_field.sdf.check()


class SdfModel(Model):
    """`field.sdf` is the head in the unit frame (negative inside)."""

    config: SdfModelConfig
    field: HeadField
    camera_centres: Tensor

    def populate_modules(self) -> None:
        super().populate_modules()
        self.field = self.config.sdf_field.setup()
        # In the state dict, so that a checkpoint can be meshed and coloured without its data.
        self.register_buffer("camera_centres", self.kwargs["metadata"]["camera_centres"].clone())
        frame = self.kwargs["metadata"]["frame"]
        self.register_buffer("frame_mm", torch.tensor([*frame.centre_mm, frame.radius_mm]))
        self.tracer: Tracer = GridTracer(self.config.grid_cells) if self.config.tracer == "grid" else SphereTracer()
        self.step = 0
        self.grid_step: int | None = None
        self.refreshes = 0
        self.start: HeadField | None = None
        """The field that the training began with, where that was a prior; in checkpoints."""
        self.inspection: Inspection = lambda view, camera: {}
        """More pictures of a view, by name, and how each is computed."""
        self.shown: Callable[[], Iterable[str]] = tuple
        """Names of the pictures that are on somebody's screen."""

    def keep_start(self) -> None:
        """Remember the field as it is now: the prior, placed, before the first training step."""
        self.start = deepcopy(self.field).requires_grad_(False)

    def update_to_step(self, step: int) -> None:
        self.step, self.grid_step, self.refreshes = step, None, 0

    def rendering_pass(
        self, origins: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"]
    ) -> dict[str, Float[Tensor, "rays _"]]:
        """The picture's values of every ray, see `render_rays`."""
        return render_rays(self.field, self.tracer, origins, directions)

    @torch.no_grad()
    def get_outputs_for_camera(self, camera: Cameras, obb_box: OrientedBox | None = None) -> Any:
        """Pictures from a camera: rgb, depth, normals in the world's and in the camera's axes, accumulation, and
        those of the `inspection`; each is computed when it is asked for, depth and those that are `shown` at once. Of
        the surface, only what lies in the box, if there is one, from the box's near side on."""
        self.keep_grid_fresh()
        camera = camera.to(self.device)
        bundle = camera.generate_rays(camera_indices=0, keep_shape=True, obb_box=obb_box)
        origins, directions = (part.reshape(-1, 3) for part in (bundle.origins, bundle.directions))
        chunk = self.config.eval_num_rays_per_chunk
        view = SurfaceView.trace(self.field, self.tracer, origins, directions, chunk)
        if obb_box is not None:
            assert bundle.nears is not None and bundle.fars is not None
            # nerfstudio's colour of what a crop leaves empty is known here only, not when a picture is asked for.
            colour = renderers.BACKGROUND_COLOR_OVERRIDE
            colour = torch.ones(3, device=self.device) if colour is None else colour
            view = view.cropped(self.tracer, bundle.nears.reshape(-1), bundle.fars.reshape(-1), colour, chunk)
        producers: dict[str, Callable[[], Tensor]] = {
            "rgb": view.rgb,
            "normal": view.normal,
            "normal_camera": lambda: view.normal_camera(camera),
            "depth": view.depth,
            "accumulation": view.accumulation,
        }
        pictures = Pictures(bundle.origins.shape[:-1], producers | self.inspection(view, camera))
        # nerfstudio's viewer reads the depth after it has let the training go on, which changes the field.
        for name in ("depth", *self.shown()):
            pictures.get(name)
        return pictures

    def get_rgba_image(self, outputs: Mapping[str, Any], output_name: str = "rgb") -> Tensor:
        """RGB with the hit mask as alpha: what nerfstudio's point cloud exporter filters by."""
        return torch.cat([outputs[output_name], outputs["accumulation"]], dim=-1)

    @property
    def cheap_sdf(self) -> Sdf:
        """The cached SDF where the tracer has one, else the network's."""
        return self.tracer.cached if isinstance(self.tracer, GridTracer) else self.field.sdf

    def keep_grid_fresh(self) -> None:
        """Refresh the cached grid every few training steps, and earlier for pictures; near its surface where it is not
        much older."""
        if not isinstance(self.tracer, GridTracer):
            return
        most = self.config.grid_refresh_steps if self.training else PICTURE_REFRESH_STEPS
        if self.grid_step is None or self.step - self.grid_step >= most:
            if self.refreshes % WHOLE_GRID_EVERY:
                self.tracer.refresh_near_surface(self.field.sdf)
            else:
                self.tracer.refresh(self.field.sdf, self.device)
            self.refreshes += 1
            self.grid_step = self.step


def render_rays(
    field: HeadField, tracer: Tracer, origins: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"]
) -> dict[str, Float[Tensor, "rays _"]]:
    """rgb, depth along the ray, normals in [0, 1] and accumulation; a miss is white and lies behind the ball."""
    view = SurfaceView.trace(field, tracer, origins, directions)
    normals = view.normal()
    return {
        "rgb": view.rgb(),
        "depth": view.depth(),
        "normal": normals,
        # The name nerfstudio's point cloud and Poisson exporters ask for by default.
        "normals": normals,
        "accumulation": view.accumulation(),
    }
