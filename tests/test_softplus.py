"""Softplus of the networks against torch's, in value and in both derivatives."""

from __future__ import annotations

import torch

from baseh3d_ns.fields.softplus import BETA, softplus


def derivatives(function, x):
    """Value, first and second derivative."""
    x = x.clone().requires_grad_(True)
    y = function(x)
    (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    return y.detach(), first.detach(), second


def test_it_is_torchs_softplus_with_both_derivatives():
    x = torch.cat([torch.linspace(-3.0, 3.0, 2001), torch.linspace(-0.1, 0.1, 2001)])[:, None]
    expected = derivatives(lambda x: torch.nn.functional.softplus(x, beta=BETA, threshold=1e6), x.double())
    for mine, true, unit in zip(derivatives(softplus, x), expected, (1.0 / BETA, 1.0, BETA), strict=True):
        torch.testing.assert_close(mine.double() / unit, true / unit, rtol=1e-6, atol=1e-5)


def test_the_second_derivative_is_that_of_finite_differences():
    x = torch.linspace(-0.05, 0.05, 21, dtype=torch.float64)[:, None].requires_grad_(True)
    assert torch.autograd.gradcheck(softplus, x) and torch.autograd.gradgradcheck(softplus, x)


def test_what_is_no_number_stays_visible():
    x = torch.tensor([[float("nan"), float("inf"), float("-inf")]])
    torch.testing.assert_close(softplus(x), torch.tensor([[float("nan"), float("inf"), 0.0]]), equal_nan=True)
