"""All rays of a few views with their colours and silhouettes, resident on the device; batches are drawn from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor

from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.errors import InputError


@dataclass(frozen=True)
class Strata:
    """Pixels of all views by where they lie, and the share of a batch that is drawn of each kind."""

    indices: tuple[Int[Tensor, " _"], ...]
    """Pixels well inside the head, near its silhouette, well outside."""
    shares: tuple[float, float, float]
    """Fractions of a batch; kinds without pixels leave theirs to the others."""


@dataclass(frozen=True)
class PooledRays:
    """Every known pixel of every view, flattened view after view (views may differ in size)."""

    origins: Float[Tensor, "views 3"]
    """Camera centres in the unit frame."""
    directions: Float[Tensor, "pixels 3"]
    """Unit directions in the unit frame."""
    colours: UInt8[Tensor, "pixels 3"]
    """RGB."""
    in_mask: UInt8[Tensor, "pixels 1"]
    """1 on the head."""
    starts: tuple[int, ...]
    """Index of the first pixel of each view, and the number of pixels at the end."""


class RayPool:
    """Draws batches of rays: from one view at a time, every view once an epoch (IDR), or from all views at once.

    It stands where nerfstudio expects a pixel sampler: its exporters set `num_rays_per_batch`.
    """

    def __init__(
        self,
        dataset: HeadDataset,
        device: torch.device | str,
        num_rays_per_batch: int,
        one_view: bool,
        find_strata: Callable[[], Strata] | None = None,
    ) -> None:
        self.dataset, self.device = dataset, device
        self.num_rays_per_batch = num_rays_per_batch
        self.one_view = one_view
        self.find_strata = find_strata
        self.order: list[int] = []

    @cached_property
    def rays(self) -> PooledRays:
        """Made when the first is drawn: those of the eval views may never be."""
        return pool_rays(self.dataset, self.device)

    @cached_property
    def strata(self) -> Strata | None:
        """Found when the first rays are drawn: evaluation and viewer draw none; None: rays are drawn evenly."""
        return self.find_strata() if self.find_strata else None

    @cached_property
    def ends(self) -> Int[Tensor, " views"]:
        """Index after the last pixel of each view."""
        return torch.tensor(self.rays.starts[1:], device=self.rays.directions.device)

    def draw(self) -> tuple[RayBundle, dict[str, Tensor]]:
        """A batch of rays, with `image` [n, 3] in [0, 1], `fg_mask` [n, 1] and `weight` [n].

        The rays' metadata also hold the mask (the model needs it before its losses) and `far_from_edge` [n, 1], true
        for rays drawn well inside the masks. Weighted by `weight`, a batch's mean estimates that over all pixels.
        """
        if self.strata is not None:
            return self._from_strata(self.strata)
        if self.one_view:
            view = self._next_view()
            return self._bundle(
                self._uniform(self.rays.starts[view], self.rays.starts[view + 1], self.num_rays_per_batch)
            )
        return self.draw_from_all_views(self.num_rays_per_batch)

    def draw_from_all_views(self, count: int) -> tuple[RayBundle, dict[str, Tensor]]:
        """`count` rays drawn uniformly from the pixels of all views."""
        return self._bundle(self._uniform(0, self.rays.starts[-1], count))

    def _from_strata(self, strata: Strata) -> tuple[RayBundle, dict[str, Tensor]]:
        """Rays where they matter most, weighted by how much rarer each kind is in the batch than in the photos."""
        pixels, indices, weights, far_from_edge = self.rays.starts[-1], [], [], []
        # A head that fills its photos leaves no pixel well outside.
        total = sum(share for kind, share in zip(strata.indices, strata.shares, strict=True) if len(kind))
        for number, (kind, share) in enumerate(zip(strata.indices, strata.shares, strict=True)):
            if not len(kind):
                continue
            share = share / total
            count = max(1, round(share * self.num_rays_per_batch))
            indices.append(kind[torch.randint(len(kind), (count,), device=kind.device)])
            weights.append(torch.full((count,), len(kind) / pixels / share, device=kind.device))
            far_from_edge.append(torch.full((count, 1), number == 0, device=kind.device))
        bundle, batch = self._bundle(torch.cat(indices))
        bundle.metadata["far_from_edge"] = torch.cat(far_from_edge)
        return bundle, {**batch, "weight": torch.cat(weights)}

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
        in_mask = rays.in_mask[indices].float()
        bundle = RayBundle(
            origins=rays.origins[views],
            directions=rays.directions[indices],
            pixel_area=torch.ones_like(in_mask),  # nerfstudio's cones, which no ray here has
            camera_indices=views[:, None],
            metadata={"fg_mask": in_mask, "far_from_edge": in_mask > 0.5},
        )
        weight = torch.ones_like(in_mask[:, 0])
        return bundle, {"image": rays.colours[indices].float() / 255.0, "fg_mask": in_mask, "weight": weight}


def find_strata(
    dataset: HeadDataset,
    device: torch.device | str,
    shares: tuple[float, float, float],
    edge_band: float,
    skip_edge_px: float,
) -> Strata:
    """Pixels well inside the masks, in a band round the silhouettes, and well outside.

    Args:
        shares: fractions of a batch of the three kinds.
        edge_band: half width of the band, as a fraction of the photo's longer side.
        skip_edge_px: pixels within this distance of a silhouette are left out: there masks are off, and colours mixed.

    Raises:
        InputError: `skip_edge_px` leaves no pixel.
    """
    kinds, start = [], 0
    for view in range(len(dataset)):
        in_mask, known = dataset.mask(view), dataset.known(view)
        # Where the known pixels end is no silhouette.
        from_edge = np.where(in_mask, _distance_to(known & ~in_mask), _distance_to(known & in_mask))[known]
        # Distances to the nearest pixel of the other kind: 1 at the edge itself.
        near, sure = from_edge <= max(1.0, edge_band * max(in_mask.shape)), from_edge > skip_edge_px
        head = in_mask[known]
        kinds.append([np.flatnonzero(part & sure) + start for part in (head & ~near, near, ~head & ~near)])
        start += len(head)
    if not any(len(part) for parts in kinds for part in parts):
        raise InputError(f"--pipeline.datamanager.skip-edge-px {skip_edge_px} leaves no pixel of any photo: lower it")
    return Strata(tuple(torch.from_numpy(np.concatenate(kind)).to(device) for kind in zip(*kinds, strict=True)), shares)


def _distance_to(there: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Distance of every pixel to the nearest that is `there`; infinite where none is."""
    from scipy.ndimage import distance_transform_edt

    return distance_transform_edt(~there) if there.any() else np.full(there.shape, np.inf)


def pool_rays(dataset: HeadDataset, device: torch.device | str) -> PooledRays:
    """Read all images and masks of a split and generate all their rays with nerfstudio's cameras.

    Raises:
        InputError: a view has no known pixel.
    """
    cameras = dataset.cameras.to(device)
    directions, colours, in_mask, starts = [], [], [], [0]
    for index in range(len(dataset)):
        known = torch.tensor(dataset.known(index)).reshape(-1).to(device)
        if not known.any():
            raise InputError(f"{dataset.image_filenames[index]} shows nothing of the head: leave that view out")
        directions.append(cameras.generate_rays(camera_indices=index).directions.reshape(-1, 3)[known])
        colours.append(torch.tensor(dataset.photo(index)).reshape(-1, 3).to(device)[known])
        in_mask.append(torch.tensor(dataset.mask(index)).reshape(-1, 1).to(device, torch.uint8)[known])
        starts.append(starts[-1] + len(colours[-1]))
    return PooledRays(
        origins=cameras.camera_to_worlds[:, :3, 3].clone(),
        directions=torch.cat(directions),
        colours=torch.cat(colours),
        in_mask=torch.cat(in_mask),
        starts=tuple(starts),
    )
