"""Properties of placements and view corrections: what they map, what they must not change."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tiny_heads import points_in_box, set_to, unit_vectors
from torch import Tensor
from torch.testing import assert_close

from baseh3d_ns.fields.placement import Placement
from baseh3d_ns.models.view_corrections import ViewCorrections

POINTS, VECTORS = points_in_box(40).double(), unit_vectors(40).double()
VECTORS = VECTORS / VECTORS.norm(dim=-1, keepdim=True)


def numbers(*shape: int, bound: float) -> st.SearchStrategy[Tensor]:
    """Tensors with every number in [-bound, bound]."""
    inside = st.floats(-bound, bound, width=32)
    return arrays("float32", shape, elements=inside).map(torch.from_numpy)


def placed(log_scale: float, rotation: Tensor, translation: Tensor) -> Placement:
    return set_to(Placement().double(), similarity=torch.cat([torch.tensor([log_scale]), rotation, translation]))


PLACEMENTS = st.builds(placed, st.floats(-0.7, 0.7), numbers(3, bound=1.75), numbers(3, bound=0.5))
"""Rotations of up to 174 degrees: beyond 180 a rotation vector is no longer unique."""


@given(PLACEMENTS)
def test_a_placement_keeps_angles_and_scales_lengths(place):
    moved, turned = place.points(POINTS), place.directions(VECTORS)
    assert_close(turned @ turned.T, VECTORS @ VECTORS.T, rtol=0, atol=1e-6)
    assert_close(torch.cdist(moved, moved), place.scale * torch.cdist(POINTS, POINTS), rtol=0, atol=1e-6)
    assert float(torch.linalg.det(place.rotation)) > 0.0


@given(PLACEMENTS)
def test_directions_are_differences_of_points(place):
    ahead = place.points(POINTS + VECTORS) - place.points(POINTS)
    assert_close(ahead, place.scale * place.directions(VECTORS), rtol=0, atol=1e-6)


@given(PLACEMENTS)
def test_the_reverse_placement_undoes_it(place):
    back = placed(
        -float(place.similarity[0]), -place.similarity[1:4], -(place.translation @ place.rotation) / place.scale
    )
    assert_close(back.points(place.points(POINTS)), POINTS, rtol=0, atol=1e-6)
    assert_close(back.directions(place.directions(VECTORS)), VECTORS, rtol=0, atol=1e-6)


@given(PLACEMENTS, PLACEMENTS)
def test_follow_is_one_after_the_other(first, then):
    points, directions = then.points(first.points(POINTS)), then.directions(first.directions(VECTORS))
    then.follow(first)
    assert_close(then.points(POINTS), points, rtol=0, atol=1e-6)
    assert_close(then.directions(VECTORS), directions, rtol=0, atol=1e-6)


@given(PLACEMENTS, st.floats(-1.5, 1.5), st.integers(0, 39))
def test_turned_from_is_the_axis_times_the_sine(place, angle, which):
    turn = placed(0.0, angle * VECTORS[which], torch.zeros(3).double())
    turn.follow(place)
    assert_close(turn.turned_from(place), math.sin(angle) * VECTORS[which], rtol=0, atol=1e-6)


@given(numbers(3, bound=1.75), st.sampled_from([0.0, 1e-4, 3e-3, 1.0]))
def test_the_rotation_is_the_exponential_map(vector, size):
    skew = size * torch.linalg.cross(torch.eye(3), vector.expand(3, 3)).double()
    rotation = placed(0.0, size * vector, torch.zeros(3)).rotation
    assert_close(rotation, torch.linalg.matrix_exp(skew), rtol=0, atol=1e-6)


def test_the_rotation_can_be_learned_from_zero():
    place = Placement().requires_grad_(True)
    place.rotation[2, 1].backward()
    assert_close(place.similarity.grad, torch.tensor([0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]), rtol=0, atol=1e-4)


def cameras(seed: int, views: int) -> tuple[Tensor, Tensor]:
    """Axes and centres of cameras that look at the ball from about four units away."""
    towards = unit_vectors(views, seed)
    return -towards, towards * (4.0 + 0.2 * torch.arange(views)[:, None])


VIEWS = 4
SCENES = st.integers(0, 10**6)
POSES, FOCALS, COLOURS = numbers(VIEWS, 6, bound=3.0), numbers(VIEWS, bound=3.0), numbers(VIEWS, 2, 3, bound=3.0)


def corrected_rays(corrections: ViewCorrections, seed: int) -> tuple[Tensor, ...]:
    """Views, origins and directions of rays, and the same rays corrected."""
    views = torch.arange(len(corrections.axes)).repeat(8)
    directions = corrections.axes[views] + 0.1 * unit_vectors(len(views), seed)
    directions = torch.nn.functional.normalize(directions, dim=-1)
    origins = corrections.centres[views]
    return views, origins, directions, *(part.detach() for part in corrections.rays(origins, directions, views))


@given(SCENES, POSES, FOCALS, COLOURS, numbers(6, bound=5.0), st.floats(-5.0, 5.0), numbers(2, 3, bound=5.0))
def test_the_motion_common_to_all_views_is_removed(seed, pose, focal, colour, motion, zoom, tint):
    alone = set_to(ViewCorrections(*cameras(seed, VIEWS)), pose=pose, focal=focal, colour=colour)
    shared = set_to(
        ViewCorrections(*cameras(seed, VIEWS)), pose=pose + motion, focal=focal + zoom, colour=colour + tint
    )
    for one, other in zip(corrected_rays(alone, seed), corrected_rays(shared, seed), strict=True):
        assert_close(one, other, rtol=0, atol=1e-5)
    views, grey = torch.arange(VIEWS), torch.full((VIEWS, 3), 0.5)
    assert_close(alone.colours(grey, views), shared.colours(grey, views), rtol=0, atol=1e-5)


@given(SCENES, POSES, st.floats(-3.0, 3.0))
def test_the_head_cannot_grow(seed, pose, growth):
    """Cameras that all move away from their middle, each in proportion to its distance, see a smaller head."""
    axes, centres = cameras(seed, VIEWS)
    apart = torch.cat([growth * (centres - centres.mean(dim=0)), torch.zeros(VIEWS, 3)], dim=1)
    plain = set_to(ViewCorrections(axes, centres), pose=pose)
    grown = set_to(ViewCorrections(axes, centres), pose=pose + apart)
    for one, other in zip(corrected_rays(plain, seed), corrected_rays(grown, seed), strict=True):
        assert_close(one, other, rtol=0, atol=1e-5)


@given(SCENES, POSES, FOCALS, st.floats(1.0, 5.0))
def test_points_are_the_inverse_of_rays(seed, pose, focal, distance):
    """A point on a corrected ray is where the given camera, with the longer lens, sees its own ray."""
    corrections = set_to(ViewCorrections(*cameras(seed, VIEWS)), pose=pose, focal=focal)
    views, origins, directions, moved, turned = corrected_rays(corrections, seed)
    seen, factors = corrections.points((moved + distance * turned)[:, None], views[:, None])
    offset, axis = seen[:, 0, 0] - origins, corrections.axes[views]
    tangents = []
    for vector, factor in ((offset, factors[views, None]), (directions, 1.0)):
        along = (vector * axis).sum(-1, keepdim=True)
        tangents.append(factor * (vector / along - axis))
    assert_close(tangents[0], tangents[1], rtol=0, atol=1e-4)


@given(SCENES, numbers(1, 6, bound=5.0), numbers(1, bound=5.0), numbers(1, 2, 3, bound=5.0))
def test_a_single_view_is_left_as_it_is(seed, pose, focal, colour):
    corrections = set_to(ViewCorrections(*cameras(seed, 1)), pose=pose, focal=focal, colour=colour)
    _, origins, directions, moved, turned = corrected_rays(corrections, seed)
    assert_close(moved, origins, rtol=0, atol=1e-6)
    assert_close(turned, directions, rtol=0, atol=1e-6)
    grey = torch.full((8, 3), 0.5)
    assert_close(corrections.colours(grey, torch.zeros(8, dtype=torch.long)), grey, rtol=0, atol=1e-6)
