"""All rays of a few views with their colours and silhouettes, resident on the device; batches are drawn from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor

from baseh3d_ns.data.dataset import HeadDataset


@dataclass(frozen=True)
class PooledRays:
    """Every pixel of every view, flattened view after view (views may differ in size)."""

    origins: Float[Tensor, "views 3"]
    """Camera centres in the unit frame."""
    directions: Float[Tensor, "pixels 3"]
    """Unit directions in the unit frame."""
    directions_norm: Float[Tensor, "pixels 1"]
    """Length of the direction before normalising: distance along the ray over distance along the optical axis."""
    pixel_area: Float[Tensor, "pixels 1"]
    colours: UInt8[Tensor, "pixels 3"]
    inside: UInt8[Tensor, "pixels 1"]
    """1 on the head."""
    starts: tuple[int, ...]
    """Index of the first pixel of each view, and the number of pixels at the end."""


class RayPool:
    """Draws batches of rays: from one view at a time, every view once an epoch (IDR), or from all views at once.

    It stands where nerfstudio expects a pixel sampler: its exporters set `num_rays_per_batch`.
    """

    def __init__(
        self, dataset: HeadDataset, device: torch.device | str, num_rays_per_batch: int, one_view: bool
    ) -> None:
        self.rays = pool_rays(dataset, device)
        self.num_rays_per_batch = num_rays_per_batch
        self.one_view = one_view
        self.ends = torch.tensor(self.rays.starts[1:], device=self.rays.directions.device)
        self.order: list[int] = []

    def draw(self) -> tuple[RayBundle, dict[str, Tensor]]:
        """A batch of rays, with `image` [n, 3] in [0, 1] and `fg_mask` [n, 1]; the mask also travels with the rays."""
        if self.one_view:
            view = self._next_view()
            return self._bundle(self._uniform(*self.rays.starts[view : view + 2], self.num_rays_per_batch))
        return self.draw_from_all_views(self.num_rays_per_batch)

    def draw_from_all_views(self, count: int) -> tuple[RayBundle, dict[str, Tensor]]:
        """`count` rays drawn uniformly from the pixels of all views."""
        return self._bundle(self._uniform(0, self.rays.starts[-1], count))

    def _next_view(self) -> int:
        """IDR's epoch: every view once, in random order."""
        if not self.order:
            self.order = torch.randperm(len(self.rays.origins)).tolist()
        return self.order.pop()

    def _uniform(self, start: int, end: int, count: int) -> Int[Tensor, " n"]:
        return torch.randint(start, end, (count,), device=self.rays.directions.device)

    def _bundle(self, indices: Int[Tensor, " n"]) -> tuple[RayBundle, dict[str, Tensor]]:
        rays = self.rays
        views = torch.searchsorted(self.ends, indices, right=True)
        inside = rays.inside[indices].float()
        bundle = RayBundle(
            origins=rays.origins[views],
            directions=rays.directions[indices],
            pixel_area=rays.pixel_area[indices],
            camera_indices=views[:, None],
            metadata={"directions_norm": rays.directions_norm[indices], "fg_mask": inside},
        )
        return bundle, {"image": rays.colours[indices].float() / 255.0, "fg_mask": inside}


def pool_rays(dataset: HeadDataset, device: torch.device | str) -> PooledRays:
    """Read all images and masks of a split and generate all their rays with nerfstudio's cameras."""
    cameras = dataset.cameras.to(device)
    bundles, colours, inside, starts = [], [], [], [0]
    for index in range(len(dataset)):
        data = dataset.get_data(index, image_type="uint8")
        bundles.append(cameras.generate_rays(camera_indices=index).flatten())
        colours.append(data["image"].reshape(-1, 3).to(device))
        inside.append(data["fg_mask"].reshape(-1, 1).to(device, torch.uint8))
        starts.append(starts[-1] + len(colours[-1]))
    return PooledRays(
        origins=cameras.camera_to_worlds[:, :3, 3].clone(),
        directions=_stack([bundle.directions for bundle in bundles]),
        directions_norm=_stack([bundle.metadata["directions_norm"] for bundle in bundles]),
        pixel_area=_stack([bundle.pixel_area for bundle in bundles]),
        colours=torch.cat(colours),
        inside=torch.cat(inside),
        starts=tuple(starts),
    )


def _stack(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(parts)).contiguous()
