"""IDR's losses in closed form, and its implicit differentiation against finite differences."""

import math

import pytest
import torch
from tiny_heads import unit_vectors

from baseh3d_ns.rendering.losses import colour_loss, eikonal_loss, mask_loss, mask_sharpness
from baseh3d_ns.rendering.surface_point import differentiable_surface_point


def test_alpha_starts_at_50_and_doubles_five_times_and_ends_there_too_when_it_starts_sharper():
    after = (0.0, 0.124, 0.125, 0.25, 0.375, 0.5, 0.625, 0.99)
    assert [mask_sharpness(progress, 50.0) for progress in after] == [50, 50, 100, 200, 400, 800, 1600, 1600]
    assert [mask_sharpness(progress, 200.0) for progress in after] == [200, 200, 400, 800, 1600, 1600, 1600, 1600]


def test_colour_loss_is_idrs_in_its_own_range():
    # IDR: |(-1) - 1| = 2 a channel for black against white, summed over 3 channels, divided by all 10 rays.
    loss = colour_loss(torch.zeros(2, 3), torch.ones(2, 3), torch.ones(2), rays=10)
    assert loss.item() == pytest.approx(2 * 3 * 2 / 10)


def test_eikonal_loss_of_a_distance_is_zero_and_of_a_doubled_one_is_one():
    gradients = unit_vectors(50)
    assert eikonal_loss(gradients).item() == pytest.approx(0.0, abs=1e-9)
    assert eikonal_loss(2.0 * gradients).item() == pytest.approx(1.0, rel=1e-5)


def test_mask_loss_by_hand():
    sdf, inside, alpha = torch.tensor([0.03, -0.02]), torch.tensor([False, True]), 50.0
    weights = torch.tensor([1.0, 0.5])
    terms = [w * math.log1p(math.exp(x)) for w, x in ((1.0, -alpha * 0.03), (0.5, -alpha * 0.02))]
    assert mask_loss(sdf, inside, weights, alpha, rays=4).item() == pytest.approx(sum(terms) / (alpha * 4), rel=1e-5)


def test_surface_point_has_the_derivative_of_the_true_intersection():
    """f(x) = |x - c| - r: move c and r, intersect again, compare with implicit differentiation."""
    theta = torch.tensor([0.05, -0.1, 0.02, 0.6], dtype=torch.float64, requires_grad=True)
    origins = torch.tensor([[0.1, 0.2, 3.0], [0.3, -0.1, 3.0]], dtype=torch.float64)
    directions = torch.nn.functional.normalize(torch.tensor([[0.0, -0.02, -1.0], [-0.05, 0.0, -1.0]]).double(), dim=-1)

    def intersection(theta):
        offset = origins - theta[:3]
        middle = -(offset * directions).sum(-1)
        closest = (offset + middle[:, None] * directions).square().sum(-1)
        return middle - (theta[3] ** 2 - closest).sqrt()

    t = intersection(theta).detach()
    x = (origins + t[:, None] * directions).detach()
    sdf = (x - theta[:3]).norm(dim=-1) - theta[3]
    gradient = torch.nn.functional.normalize(x - theta[:3].detach(), dim=-1)
    points = differentiable_surface_point(origins, directions, t, sdf, gradient)
    torch.testing.assert_close(points, x)
    weights = torch.tensor([[1.0, -2.0, 0.5], [0.3, 0.7, -1.0]], dtype=torch.float64)
    (implicit,) = torch.autograd.grad((points * weights).sum(), theta)

    step, finite = 1e-6, torch.zeros(4, dtype=torch.float64)
    for i in range(4):
        shifted = torch.eye(4, dtype=torch.float64)[i] * step
        ahead = origins + intersection(theta + shifted)[:, None] * directions
        behind = origins + intersection(theta - shifted)[:, None] * directions
        finite[i] = ((ahead - behind) * weights).sum() / (2 * step)
    torch.testing.assert_close(implicit, finite.detach(), rtol=1e-5, atol=1e-7)
