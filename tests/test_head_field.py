"""The networks: IDR's shapes and initialisation, true gradients, second derivatives that stay finite."""

import math

import pytest
import torch

from baseh3d_ns.fields.head_field import HeadFieldConfig
from baseh3d_ns.fields.networks import ColourNetworkConfig, SdfNetworkConfig, positional_encoding
from baseh3d_ns.methods import baseh3d_fast, idr

SMALL = HeadFieldConfig(
    sdf=SdfNetworkConfig(layers=4, width=64, skip_layer=2, features=16), colour=ColourNetworkConfig(width=32)
)


def points_in_ball(count=400):
    points = torch.randn(count, 3)
    return torch.nn.functional.normalize(points, dim=-1) * torch.rand(count, 1) ** (1 / 3)


@pytest.mark.parametrize(("spec", "likeness"), [(idr, 0.95), (baseh3d_fast, 0.9)])
def test_an_untrained_head_is_a_sphere(spec, likeness):
    torch.manual_seed(0)
    field = spec.config.pipeline.model.sdf_field.setup()
    points = points_in_ball()
    with torch.no_grad():
        sdf = field.sdf(points)
    surface = points.norm(dim=-1) - 0.6
    outside = surface.abs() > 0.25
    assert (torch.sign(sdf) == torch.sign(surface))[outside].all()
    assert torch.corrcoef(torch.stack([sdf, surface]))[0, 1] > likeness


def test_the_parameter_shapes_are_idrs():
    """The published DTU configuration: 39 inputs, skip into layer 4 behind 473 units, 257 outputs; colour from 292."""
    field = idr.config.pipeline.model.sdf_field.setup()
    shapes = {name: tuple(parameter.shape) for name, parameter in field.named_parameters() if "original1" in name}
    sdf = [shapes[f"sdf_network.lin{i}.parametrizations.weight.original1"] for i in range(9)]
    assert sdf == [(512, 39), (512, 512), (512, 512), (473, 512), *[(512, 512)] * 4, (257, 512)]
    colour = [shapes[f"colour_network.lin{i}.parametrizations.weight.original1"] for i in range(5)]
    assert colour == [(512, 3 + 27 + 3 + 256), *[(512, 512)] * 3, (3, 512)]


def idr_sdf_by_the_book(state, points, layers, skip, octaves):
    """A slow, separate reading of the paper: weights g v / |v|, Softplus 100, [x, input] / sqrt 2 at the skip."""
    encoded = torch.cat([points, *[f(points * 2**k) for k in range(octaves) for f in (torch.sin, torch.cos)]], -1)
    x = encoded
    for i in range(layers + 1):
        if i == skip:
            x = torch.cat([x, encoded], -1) / math.sqrt(2)
        v, g = state[f"lin{i}.weight_v"], state[f"lin{i}.weight_g"]
        x = x @ (g * v / v.norm(dim=1, keepdim=True)).T + state[f"lin{i}.bias"]
        if i < layers:
            x = torch.log1p(torch.exp(-(100 * x).abs())) / 100 + x.clamp(min=0)
    return x[:, 0]


def test_weights_named_as_in_idrs_checkpoints_give_the_same_sdf():
    torch.manual_seed(1)
    field = idr.config.pipeline.model.sdf_field.setup()
    theirs = {}
    for name, parameter in field.sdf_network.named_parameters():
        name = name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        )
        theirs[name] = parameter.detach() + 0.02 * torch.randn_like(parameter)
    field.sdf_network.load_state_dict(theirs)
    points = points_in_ball(64)
    with torch.no_grad():
        torch.testing.assert_close(
            field.sdf(points), idr_sdf_by_the_book(theirs, points, 8, 4, 6), rtol=1e-4, atol=1e-5
        )


def test_gradient_is_the_finite_difference():
    torch.manual_seed(2)
    field = SMALL.setup().double()
    points = points_in_ball(20).double()
    _, _, gradient = field.with_gradient(points, create_graph=False)
    step = 1e-6
    for axis in range(3):
        shift = torch.eye(3, dtype=torch.float64)[axis] * step
        with torch.no_grad():
            finite = (field.sdf(points + shift) - field.sdf(points - shift)) / (2 * step)
        torch.testing.assert_close(gradient[:, axis], finite, rtol=1e-4, atol=1e-6)


def test_the_eikonal_loss_reaches_every_weight_that_shapes_the_surface():
    field = SMALL.setup()
    _, _, gradient = field.with_gradient(points_in_ball(), create_graph=True)
    ((gradient.norm(dim=-1) - 1) ** 2).mean().backward()
    for name, parameter in field.sdf_network.named_parameters():
        if name == "lin4.bias":  # moves the surface, not its slope
            continue
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_gradients_are_there_without_grad_mode():
    field = SMALL.setup()
    with torch.no_grad():
        sdf, features, gradient = field.with_gradient(points_in_ball(), create_graph=False)
    assert gradient.abs().sum() > 0 and not any(x.requires_grad for x in (sdf, features, gradient))


def test_positional_encoding_order():
    x = torch.tensor([[0.5, 1.0]])
    expected = [0.5, 1.0, *[f(v) for k in (1, 2) for f in (math.sin, math.cos) for v in (0.5 * k, 1.0 * k)]]
    torch.testing.assert_close(positional_encoding(x, 2)[0], torch.tensor(expected))
