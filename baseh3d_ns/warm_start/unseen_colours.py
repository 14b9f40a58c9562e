"""Colours where no photo sees: the prior's, recoloured to this person's.

A prior knows what is hair, skin and cloth, but in the colours of other people. One affine map of its colours, fitted
where photos see, gives its hair the colour of this person's, behind the head as well.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from baseh3d_ns.fields.head_field import HeadField
from baseh3d_ns.heads.head_file import Head
from baseh3d_ns.heads.networks import field_of_head
from baseh3d_ns.rendering.losses import colour_loss
from baseh3d_ns.warm_start.frozen_hits import FrozenHits

TAKEN = 1 << 13
"""Seen and unseen points, each, at most."""
NEAR = 0.1
"""Distance from the unseen surface, in units of the unit ball, over which what is seen there counts less."""
RIDGE = 1e-3
"""Variance of the prior's colours, in [0, 1], below which their differences stay as they are."""
LEAST_SD = 0.03
"""Standard deviation of the prior's colours, in [0, 1], below which it has never learned any."""


def in_colours_of(prior: Head, source: Path, start: HeadField) -> HeadField | None:
    """The head that a fit started with, in the colours that its prior came with; None for other numbers of features.

    Args:
        prior: the prior, as read from `source`.
        start: the prior, placed, with colours that photos have taught it.
    """
    own, painted = field_of_head(prior, source), deepcopy(start)
    if own.config.sdf.features != start.config.sdf.features:
        return None
    own = own.to(start.placement.similarity.device)
    painted.colour_network, painted.feature_network = own.colour_network, own.feature_network
    painted.colour_detail = own.colour_detail
    return painted.requires_grad_(False)


@dataclass(frozen=True)
class UnseenColours:
    """Surface points that no photo sees, and the colours expected there."""

    points: Float[Tensor, "n 3"]
    gradients: Float[Tensor, "n 3"]
    features: Float[Tensor, "n f"]
    expected: Float[Tensor, "n 3"]
    """RGB in [0, 1]."""

    @classmethod
    @torch.no_grad()
    def find(
        cls, field: HeadField, known: HeadField | None, seen: FrozenHits, unseen: Float[Tensor, "n 3"]
    ) -> UnseenColours:
        """The colours that `known` tells of the unseen points, or those that they have now.

        Args:
            field: the head, with the colours of what photos see.
            known: the prior in its own colours; None, or one that never learned any: the field's colours are to stay.
            seen: what photos see.
            unseen: surface points that none sees.
        """
        unseen = unseen[torch.randperm(len(unseen), device=unseen.device)[:TAKEN]]
        _, features, gradients = field.with_gradient(unseen, create_graph=False)
        expected = field.colour(unseen, gradients, normalize(gradients, dim=-1), features)
        if known is not None:
            seen = seen[torch.randperm(len(seen), device=unseen.device)[:TAKEN]]
            theirs = _colours(known, seen.points)
            if theirs.std(dim=0).mean() > LEAST_SD:
                now = field.colour(seen.points, seen.gradients, -seen.directions, seen.features)
                weights = torch.exp(-torch.cdist(seen.points, unseen).amin(dim=1) / NEAR)
                expected = affine_map(theirs, now, weights, _colours(known, unseen)).clamp(0.0, 1.0)
        return cls(unseen, gradients, features, expected)

    def loss(self, field: HeadField, count: int, apart: float) -> Float[Tensor, ""]:
        """IDR's colour loss near so many random points, seen from anywhere.

        Args:
            count: number of points.
            apart: width of the cube round each in which it lies, for a detail grid has rows between them.
        """
        chosen = torch.randint(len(self.points), (count,), device=self.points.device)
        points = self.points[chosen] + apart * (torch.rand(count, 3, device=self.points.device) - 0.5)
        views, features = normalize(torch.randn_like(points), dim=-1), self.features[chosen]
        if field.feature_network:
            features = field.feature_network(field.placement.points(points))
        shown = field.colour(points, self.gradients[chosen], views, features)
        return colour_loss(shown, self.expected[chosen], torch.ones_like(shown[:, 0]), count)


def _colours(head: HeadField, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """RGB of a head's surface, each point seen along its normal."""
    _, features, gradients = head.with_gradient(points, create_graph=False)
    return head.colour(points, gradients, normalize(gradients, dim=-1), features)


def affine_map(
    theirs: Float[Tensor, "n 3"], ours: Float[Tensor, "n 3"], weights: Float[Tensor, " n"], to: Float[Tensor, "m 3"]
) -> Float[Tensor, "m 3"]:
    """Colours under the affine map that makes `ours` of `theirs` best, by weighted ridge regression towards a shift."""
    share = (weights / weights.sum())[:, None]
    centre, goal = (share * theirs).sum(dim=0), (share * ours).sum(dim=0)
    from_centre, ridge = theirs - centre, RIDGE * torch.eye(3, device=theirs.device)
    spread, towards = (share * from_centre).T @ from_centre, (share * from_centre).T @ (ours - goal)
    return (to - centre) @ torch.linalg.solve(spread + ridge, towards + ridge) + goal
