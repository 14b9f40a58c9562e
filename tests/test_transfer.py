"""A prior in other networks is the same head, number for number."""

from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tiny_heads import points_in_box, unit_vectors

from baseh3d_ns import methods
from baseh3d_ns.errors import InputError
from baseh3d_ns.fields.head_field import HeadFieldConfig
from baseh3d_ns.fields.networks import ColourNetworkConfig, SdfNetworkConfig
from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.heads.head_file import Head
from baseh3d_ns.heads.networks import field_of_head, named_parameters
from baseh3d_ns.heads.readers import open_head
from baseh3d_ns.heads.transfer import check_transfers, transfer

SPACE = HeadFieldConfig(
    sdf=SdfNetworkConfig(layers=4, width=64, skip_layer=2, features=8, latent=5),
    colour=ColourNetworkConfig(layers=2, width=16),
)
LARGER = HeadFieldConfig(
    sdf=SdfNetworkConfig(layers=7, width=200, skip_layer=3, features=20), colour=ColourNetworkConfig(layers=4, width=40)
)
HERE = Path("here.safetensors")
POINTS, VIEWS = points_in_box(200), unit_vectors(200)


def with_latent(config: HeadFieldConfig, latent: int, feature_layers: int = 0) -> HeadFieldConfig:
    sdf = SdfNetworkConfig(**{**vars(config.sdf), "latent": latent})
    return HeadFieldConfig(sdf=sdf, colour=config.colour, feature_layers=feature_layers)


def some_head(config: HeadFieldConfig = SPACE):
    """A field whose every parameter matters."""
    torch.manual_seed(1)
    field = config.setup()
    with torch.no_grad():
        for parameter in field.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        if field.latent is not None:
            field.latent.copy_(torch.randn(config.sdf.latent))
    return field


def as_prior(field) -> Head:
    weights = {name: parameter.detach() for name, parameter in named_parameters(field)}
    return Head(weights, {}, SceneFrame((0.0, 0.0, 0.0), 200.0))


def same_shape(one, other):
    (a, _, slope_a), (b, _, slope_b) = (field.with_gradient(POINTS, create_graph=False) for field in (one, other))
    assert a.std() > 0.05
    torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
    torch.testing.assert_close(slope_a, slope_b, rtol=0, atol=1e-4)


def same_colours(one, other):
    colours = []
    for field in (one, other):
        _, features, slope = field.with_gradient(POINTS, create_graph=False)
        colours.append(field.colour(POINTS, slope, VIEWS, features))
    assert colours[0].std() > 0.01
    torch.testing.assert_close(*colours, rtol=0, atol=1e-5)


@pytest.mark.parametrize("wanted", [with_latent(SPACE, 0), LARGER], ids=["folded", "folded and larger"])
def test_a_shape_space_at_its_latent_is_a_plain_head(wanted):
    head, other = some_head(), wanted.setup()
    transfer(head, other)
    same_shape(head, other)
    same_colours(head, other)


def test_a_folded_latent_is_the_one_it_has():
    head, one, other = some_head(), with_latent(SPACE, 0).setup(), with_latent(SPACE, 0).setup()
    transfer(head, one)
    with torch.no_grad():
        head.latent.neg_()
    transfer(head, other)
    assert (one.sdf(POINTS) - other.sdf(POINTS)).abs().max() > 1e-3


@pytest.mark.parametrize("wanted", [with_latent(SPACE, 5, 3), with_latent(LARGER, 9, 3)], ids=["same size", "larger"])
def test_h3dnet_keeps_the_latent_and_moves_with_it(wanted):
    head, other = some_head(), wanted.setup()
    transfer(head, other)
    same_shape(head, other)
    with torch.no_grad():
        head.latent.add_(0.3)
        other.latent[:5] += 0.3
    same_shape(head, other)


def test_a_larger_network_learns_with_its_new_units():
    """Unheard units must not stay so: their outgoing weights have gradients."""
    other = LARGER.setup()
    transfer(some_head(), other)
    other.sdf(POINTS).abs().sum().backward()
    slope = other.sdf_network.lin1.parametrizations.weight.original1.grad
    assert slope[:, -20:].abs().max() > 0.0


def test_an_untouched_copy():
    head, other = some_head(), SPACE.setup()
    assert transfer(head, other) == "as it is"
    same_shape(head, other)
    same_colours(head, other)


@pytest.mark.parametrize("name", ["idr", "baseh3d_fast", "h3dnet", "h3dnet_fast"])
def test_sizes_are_read_off_the_weights(name):
    config = getattr(methods, name).config.pipeline.model.sdf_field
    assert field_of_head(as_prior(config.setup()), HERE).config == config


def test_every_fit_takes_the_small_shape_space():
    space = as_prior(methods.h3dnet_fast_prior.config.pipeline.model.sdf_field.setup())
    for method in (methods.baseh3d, methods.baseh3d_fast, methods.h3dnet, methods.h3dnet_fast):
        check_transfers(space, method.config.pipeline.model.sdf_field, HERE)


@pytest.mark.parametrize(
    ("have", "wanted", "why"),
    [
        (
            with_latent(SPACE, 0),
            with_latent(SPACE, 5, 4),
            "prior of one head, .* make one with `ns-train h3dnet-prior`",
        ),
        (with_latent(SPACE, 9), with_latent(SPACE, 5, 4), r"latents of 9 numbers, this method of 5"),
        (LARGER, with_latent(SPACE, 0), r"SDF of 7 x 200 .* 4 x 64"),
        (with_latent(SPACE, 5, 4), with_latent(SPACE, 0), "fitted by h3dnet"),
    ],
)
def test_what_cannot_be_brought_over_is_said(have, wanted, why):
    with pytest.raises(InputError, match=why) as caught:
        check_transfers(as_prior(have.setup()), wanted, HERE)
    assert str(HERE) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("method", "makes_one"), [("h3dnet", "h3dnet-prior"), ("baseh3d", "baseh3d-prior")])
def test_the_remedy_for_no_prior_is_one_that_the_method_takes(method, makes_one):
    with pytest.raises(InputError, match=f"starts from a prior: .* make one with `ns-train {makes_one}`"):
        getattr(methods, method).config.check_start()


def test_half_a_prior_is_no_prior():
    prior = as_prior(SPACE.setup())
    only_sdf = Head({name: t for name, t in prior.weights.items() if name.startswith("sdf.")}, {})
    with pytest.raises(InputError, match="no complete pair of networks"):
        field_of_head(only_sdf, HERE)


def test_an_h3dnet_checkpoint_of_0_1_opens(tmp_path):
    """Its feature network had another name."""
    field = some_head(with_latent(SPACE, 5, 3))
    state = {f"_model.field.{name}": tensor for name, tensor in field.state_dict().items()}
    old = {name.replace("feature_network", "appearance_network"): tensor for name, tensor in state.items()}
    path = tmp_path / "step-000000009.ckpt"
    torch.save({"step": 9, "pipeline": old | {"_model.frame_mm": torch.tensor([0.0, 0.0, 0.0, 200.0])}}, path)
    other = field_of_head(open_head(path), path)
    assert other.config.feature_layers == 3 and len(old.keys() - state.keys()) > 0
    same_shape(field, other)
    same_colours(field, other)


SPACES = st.builds(
    lambda layers, skip, width, features, latent: HeadFieldConfig(
        sdf=SdfNetworkConfig(layers=layers, width=width, skip_layer=skip, features=features, latent=latent),
        colour=ColourNetworkConfig(layers=2, width=16),
    ),
    layers=st.integers(3, 5),
    skip=st.integers(1, 2),
    width=st.integers(48, 64),
    features=st.integers(1, 9),
    latent=st.integers(1, 6),
)


@settings(max_examples=25)
@given(
    SPACES, st.integers(0, 3), st.integers(0, 2), st.integers(0, 2), st.integers(0, 60), st.integers(0, 9), st.data()
)
def test_any_larger_network_is_the_same_head(space, latent, before, after, wider, features, data):
    """Layers added before and after the skip, wider layers, more features; the latent folded in or kept."""
    sdf, more_layers = space.sdf, before + after
    grown = more_layers > 0 or wider > 0
    encoded = 3 * (1 + 2 * sdf.octaves)
    width = 2 * sdf.width + encoded + wider if grown else sdf.width
    assume(sdf.skip_layer + before < sdf.layers + more_layers)
    keeps_latent = data.draw(st.booleans())
    wanted = HeadFieldConfig(
        sdf=SdfNetworkConfig(
            layers=sdf.layers + more_layers,
            width=width,
            skip_layer=sdf.skip_layer + before,
            features=sdf.features + features,
            latent=sdf.latent + latent if keeps_latent else 0,
        ),
        colour=ColourNetworkConfig(layers=3, width=24),
        feature_layers=2 if keeps_latent else 0,
    )
    head, other = some_head(space), wanted.setup()
    check_transfers(as_prior(head), wanted, HERE)
    transfer(head, other)
    same_shape(head, other)
    if not keeps_latent:
        same_colours(head, other)
