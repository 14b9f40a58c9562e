"""Both tracers against exact intersections, and against each other."""

import math

import pytest
import torch

from baseh3d_ns import methods
from baseh3d_ns.models.surface_view import SurfaceView
from baseh3d_ns.rendering.ball import intersect_box, intersect_unit_ball
from baseh3d_ns.rendering.sdf_grid import GridTracer
from baseh3d_ns.rendering.sphere_tracing import SphereTracer

RADIUS = 0.6
HALF = torch.tensor([0.3, 0.45, 0.25])


def sphere(points):
    return points.norm(dim=-1) - RADIUS


def box(points):
    q = points.abs() - HALF
    return q.clamp(min=0.0).norm(dim=-1) + q.amax(dim=-1).clamp(max=0.0)


def bumpy(points):
    """Not a true distance: its gradient's length runs from about 0.6 to 1.4, like a half-trained network."""
    return points.norm(dim=-1) - 0.55 - 0.05 * torch.sin(8.0 * points).prod(dim=-1)


def rays_from_afar(count=2000, seed=0):
    """Rays from a shell of radius 3 towards points in the unit ball."""
    generator = torch.Generator().manual_seed(seed)
    origins = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1) * 3.0
    targets = (torch.rand(count, 3, generator=generator) - 0.5) * 1.8
    return origins, torch.nn.functional.normalize(targets - origins, dim=-1)


def exact_sphere(origins, directions):
    middle = -(origins * directions).sum(-1)
    squared = RADIUS**2 - (origins + middle[:, None] * directions).square().sum(-1)
    return middle - squared.clamp(min=0).sqrt(), squared


def exact_box(origins, directions):
    first, second = (-HALF - origins) / directions, (HALF - origins) / directions
    near, far = torch.minimum(first, second).amax(-1), torch.maximum(first, second).amin(-1)
    return near, far - near


def tracer(name, sdf):
    if name == "sphere":
        return SphereTracer()
    grid = GridTracer(cells=64)
    grid.refresh(sdf, torch.device("cpu"))
    return grid


@pytest.mark.parametrize("name", ["sphere", "grid"])
@pytest.mark.parametrize(("sdf", "exact"), [(sphere, exact_sphere), (box, exact_box)])
def test_traced_distance_is_the_exact_one(name, sdf, exact):
    origins, directions = rays_from_afar()
    hits = tracer(name, sdf).trace(sdf, origins, directions)
    t, margin = exact(origins, directions)
    clear_hit, clear_miss = margin > 0.02, margin < -0.02
    assert hits.hit[clear_hit].all() and not hits.hit[clear_miss].any()
    assert (hits.t - t)[clear_hit].abs().max() < 2e-4


@pytest.mark.parametrize("name", ["sphere", "grid"])
def test_training_points_are_on_the_surface_inside_the_mask_and_closest_to_it_elsewhere(name):
    torch.manual_seed(0)
    origins, directions = rays_from_afar()
    t, margin = exact_sphere(origins, directions)
    inside = torch.rand(len(t)) < 0.7
    points = tracer(name, sphere).training_points(sphere, origins, directions, inside)
    assert not points.hit[~inside].any() and not points.hit[margin < -0.02].any()
    assert points.hit[inside & (margin > 0.02)].all()
    assert (points.t - t)[points.hit & (margin > 0.02)].abs().max() < 5e-4
    near, far, in_ball = intersect_unit_ball(origins, directions)
    closest = -(origins * directions).sum(-1)
    assert (points.t - closest)[in_ball & ~points.hit].abs().max() < 1.1 * ((far - near) / 99).max()


@pytest.mark.parametrize("name", ["sphere", "grid"])
def test_a_ray_that_passes_the_ball_counts_at_its_closest_point(name):
    origins, directions = torch.tensor([[0.0, 1.5, 3.0]]), torch.tensor([[0.0, 0.0, -1.0]])
    passing = tracer(name, sphere).training_points(sphere, origins, directions, torch.tensor([True]))
    assert passing.t.item() == pytest.approx(3.0) and not passing.hit.any()


def test_in_training_the_grid_asks_the_network_about_rays_in_the_mask_only():
    asked = 0

    def counting(points):
        nonlocal asked
        asked += len(points)
        return sphere(points)

    grid = tracer("grid", sphere)
    origins, directions = rays_from_afar(400)
    grid.training_points(counting, origins, directions, torch.zeros(400, dtype=torch.bool))
    assert asked == 0
    grid.training_points(counting, origins, directions, torch.ones(400, dtype=torch.bool))
    assert 0 < asked < 8 * 400


def test_in_pictures_rays_beside_the_surface_cost_nothing_and_most_others_two_calls():
    asked = 0

    def counting(points):
        nonlocal asked
        asked += len(points)
        return sphere(points) + 0.3  # a ball of half the size

    grid = tracer("grid", lambda points: sphere(points) + 0.3)
    origins, directions = rays_from_afar(1000)
    passing = (origins - (origins * directions).sum(-1, keepdim=True) * directions).norm(dim=-1)
    beside, through = passing > 0.65, passing < 0.24
    assert beside.sum() > 100 and through.sum() > 20
    grid.for_pictures(counting)
    band, asked = asked, 0
    assert 0 < band < 0.2 * grid.values.numel()  # the surface is small
    assert not grid.trace(counting, origins[beside], directions[beside]).hit.any() and asked == 0
    assert grid.trace_roughly(counting, origins[through], directions[through]).hit.all() and asked == 0
    hits = grid.trace(counting, origins[through], directions[through])
    assert hits.hit.all() and asked < 2.5 * int(through.sum())


@pytest.mark.parametrize(("name", "calls"), [("sphere", 20), ("grid", 0)])
def test_rays_that_begin_inside_find_where_they_leave(name, calls):
    asked = 0

    def counting(points):
        nonlocal asked
        asked += len(points)
        return -sphere(points)

    inside_out = tracer(name, sphere).inside_out(sphere)
    _, directions = rays_from_afar(500)
    hits = inside_out.trace_roughly(counting, torch.zeros(500, 3), directions)
    assert hits.hit.all() and asked <= calls * 500
    torch.testing.assert_close(hits.t, torch.full((500,), RADIUS), atol=2e-3, rtol=0.0)


def test_a_box_is_entered_and_left_where_its_faces_are():
    box = torch.tensor([[-0.5, -0.25, -1.0], [0.5, 0.25, 1.0]])
    origins = torch.tensor([[0.0, 0.0, 3.0], [0.0, 0.0, 0.0], [0.0, 1.0, 3.0], [0.0, 0.0, 3.0], [2.0, 0.0, 0.0]])
    directions = torch.tensor([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 0.0, 1.0], [-1.0, 0.0, 0.0]])
    near, far, meets = intersect_box(origins, directions, box)
    assert meets.tolist() == [True, True, False, False, True]
    torch.testing.assert_close(near[meets], torch.tensor([2.0, 0.0, 1.5]))
    torch.testing.assert_close(far[meets], torch.tensor([4.0, 0.5, 2.5]))


def test_a_surface_that_has_moved_is_found_with_a_fifth_of_the_grid():
    asked = 0

    def grown(points):
        nonlocal asked
        asked += len(points)
        return sphere(points) - 0.03

    grid = tracer("grid", sphere)
    pictures = grid.for_pictures(sphere)
    grid.refresh_near_surface(grown)
    assert 0 < asked < 0.3 * grid.values.numel()
    origins, directions = rays_from_afar()
    hits = grid.trace(grown, origins, directions)
    middle = -(origins * directions).sum(-1)
    squared = (RADIUS + 0.03) ** 2 - (origins + middle[:, None] * directions).square().sum(-1)
    clear_hit, clear_miss = squared > 0.02, squared < -0.02
    assert hits.hit[clear_hit].all() and not hits.hit[clear_miss].any()
    assert (hits.t - (middle - squared.clamp(min=0).sqrt()))[clear_hit].abs().max() < 2e-4
    assert grid.for_pictures(grown) is not pictures and grid.for_pictures(grown) is grid.for_pictures(grown)
    # Where no surface was near, the grid still knows what it knew.
    corner = grid.values[0, 0, grid.cells // 2, grid.cells // 2, grid.cells // 2]
    assert corner == pytest.approx(-RADIUS)


@pytest.fixture(scope="module")
def trained():
    """The networks of baseh3d-fast after a hundred steps towards a lumpy ball."""
    torch.manual_seed(0)
    field = methods.baseh3d_fast.config.pipeline.model.sdf_field.setup()
    adam = torch.optim.Adam(field.sdf_network.parameters(), lr=2e-3)
    for _ in range(100):
        points = torch.rand(2048, 3) * 2.0 - 1.0
        adam.zero_grad()
        (field.sdf(points) - bumpy(points)).abs().mean().backward()
        adam.step()
    return field


def test_a_picture_shows_what_the_reference_finds(trained):
    """Rough tracing and Newton's steps; also with a grid of cells so coarse that the first step is long."""
    origins, directions = rays_from_afar(3000, seed=2)
    reference = SphereTracer().trace(trained.sdf, origins, directions)
    for cells, share in ((64, 0.999), (24, 0.995)):
        grid = GridTracer(cells)
        grid.refresh(trained.sdf, torch.device("cpu"))
        view = SurfaceView.trace(trained, grid, origins, directions)
        assert (view.hits.hit == reference.hit).float().mean() > share
        both = reference.hit & view.hits.hit
        assert ((view.depth()[:, 0] - reference.t).abs()[both] < 2e-4).float().mean() > 0.99
        assert trained.sdf(view.points).abs().quantile(0.99) < 1e-4


def test_on_a_trained_network_the_grid_finds_what_the_reference_finds(trained):
    field = trained
    origins, directions = rays_from_afar(3000, seed=2)
    reference = SphereTracer().trace(field.sdf, origins, directions)
    fast = tracer("grid", field.sdf).trace(field.sdf, origins, directions)
    assert (reference.hit == fast.hit).float().mean() > 0.999
    both = reference.hit & fast.hit
    # As above: the reference stops at an SDF of 5e-5, which is farther than 2e-4 from the surface where a ray grazes.
    assert both.sum() > 1000 and ((reference.t - fast.t).abs()[both] < 2e-4).float().mean() > 0.99


@pytest.mark.parametrize("sdf", [sphere, box, bumpy])
def test_the_grid_finds_what_the_reference_finds(sdf):
    origins, directions = rays_from_afar(20000, seed=1)
    reference, fast = (
        SphereTracer().trace(sdf, origins, directions),
        tracer("grid", sdf).trace(sdf, origins, directions),
    )
    assert (reference.hit == fast.hit).float().mean() > 0.999
    both = reference.hit & fast.hit
    # Beyond 2e-4 only where a ray grazes: there the two stop at different ends of an almost parallel stretch.
    assert ((reference.t - fast.t).abs()[both] < 2e-4).float().mean() > 0.995


def test_a_surface_that_goes_on_moving_is_followed_without_the_whole_grid():
    grid = tracer("grid", sphere)
    for moved in range(1, 8):
        grown = lambda points, by=0.03 * moved: sphere(points) - by  # noqa: E731
        grid.refresh_near_surface(grown)
    origins, directions = rays_from_afar()
    _, values, _ = grid.samples_along(origins, directions, jitter=False)
    distance = (origins + (-(origins * directions).sum(-1))[:, None] * directions).norm(dim=-1)
    assert (values.amin(dim=1) < 0)[distance < RADIUS + 0.2].all()
    assert (values.amin(dim=1) > 0)[distance > RADIUS + 0.22].all()


def test_a_stale_grid_still_finds_the_moved_surface():
    grid = tracer("grid", sphere)
    origins, directions = rays_from_afar()

    def grown(points):
        return points.norm(dim=-1) - RADIUS - 0.02

    hits = grid.trace(grown, origins, directions)
    reference = SphereTracer().trace(grown, origins, directions)
    both = hits.hit & reference.hit
    assert (hits.hit == reference.hit).float().mean() > 0.99
    assert (hits.t - reference.t)[both].abs().median() < 1e-4


def test_no_ray_outside_the_ball_is_ever_a_hit():
    origins = torch.tensor([[0.0, 2.0, 3.0], [0.0, 0.0, -3.0]])
    directions = torch.tensor([[0.0, 0.0, -1.0], [0.0, 0.0, -1.0]])  # past the ball; away from it
    for name in ("sphere", "grid"):
        assert not tracer(name, sphere).trace(sphere, origins, directions).hit.any()


def test_a_camera_inside_the_ball_sees_what_is_before_it():
    origins, directions = torch.tensor([[0.0, 0.0, 0.9]]), torch.tensor([[0.0, 0.0, -1.0]])
    for name in ("sphere", "grid"):
        hits = tracer(name, sphere).trace(sphere, origins, directions)
        assert hits.hit.all() and math.isclose(float(hits.t), 0.3, abs_tol=2e-4)


def test_a_surface_that_only_the_grid_meets_hides_nothing():
    """Rays that pass a ball so closely that the grid, which takes it for larger, stops them meet the ball behind it."""
    front, back = torch.tensor([0.0, 0.0, 0.5]), torch.tensor([0.0, 0.0, -0.3])

    def balls(points, radius=0.2):
        return torch.minimum((points - front).norm(dim=-1) - radius, (points - back).norm(dim=-1) - 0.5)

    def larger(points):
        return balls(points, 0.21)

    grid = tracer("grid", larger)
    grid.for_pictures(larger)
    x = torch.linspace(0.202, 0.209, 50)
    origins = torch.stack([x, torch.zeros(50), torch.full((50,), 2.0)], dim=1)
    hits = grid.trace(balls, origins, torch.tensor([[0.0, 0.0, -1.0]]).expand(50, 3))
    assert hits.hit.all()
    torch.testing.assert_close(hits.t, 2.3 - (0.25 - x.square()).sqrt(), atol=2e-4, rtol=0.0)


def test_a_picture_of_a_diverged_network_ends():
    grid = tracer("grid", sphere)
    grid.values[0, 0, 20:30] = torch.nan
    origins, directions = rays_from_afar()
    assert len(grid.trace_roughly(lambda points: points.norm(dim=-1) * torch.nan, origins, directions).hit) > 0
