"""Pictures of a head against its prior, its photos and its scan: balls, whose answers are known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trimesh
from nerfstudio.data.scene_box import OrientedBox
from painted_ball import FRAME, SIDE, ball, photographed

from baseh3d_ns.data.obj import read_obj
from baseh3d_ns.evaluation.distance import Surface
from baseh3d_ns.evaluation.pictures import error_colours
from baseh3d_ns.fields.head_field import HeadField
from baseh3d_ns.models.photo_consistency import PhotoConfig
from baseh3d_ns.models.surface_view import Pictures, SurfaceView
from baseh3d_ns.rendering.ball import intersect_unit_ball, points_along
from baseh3d_ns.rendering.sdf_grid import GridTracer
from baseh3d_ns.rendering.sphere_tracing import SphereTracer, Tracer
from baseh3d_ns.viewer.colours import AGREES, BACKDROP, IS_MISSING, LEAST_SHADE, STICKS_OUT, diverging, shaded
from baseh3d_ns.viewer.inspection import PHOTO_GREY, HeadInspection
from baseh3d_ns.viewer.legends import legend_of
from baseh3d_ns.viewer.scan import SceneScan

PHOTO_FROM = (0.0, 40.0)


class Balls(HeadField):
    """A field of balls in the unit frame, radii and offsets in millimetres."""

    def __init__(self, *balls: tuple[float, tuple[float, float, float]]) -> None:
        torch.nn.Module.__init__(self)
        self.balls = [(radius / FRAME.radius_mm, torch.tensor(at) / FRAME.radius_mm) for radius, at in balls]
        self.asked = 0

    def sdf(self, points):
        self.asked += len(points)
        return torch.stack([(points - at).norm(dim=-1) - radius for radius, at in self.balls]).amin(dim=0)

    def with_gradient(self, points, create_graph):
        with torch.enable_grad():
            x = points.detach().requires_grad_(True)
            sdf = self.sdf(x)
            (gradient,) = torch.autograd.grad(sdf.sum(), x)
        return sdf.detach(), points, gradient

    def colour(self, points, gradients, views, features):
        return torch.full_like(points, 0.25)


def scan_of(mesh: trimesh.Trimesh) -> SceneScan:
    """A scan that is there already."""
    scan = object.__new__(SceneScan)
    vars(scan)["surface"] = Surface(mesh)
    return scan


def one(radius_mm: float) -> Balls:
    return Balls((radius_mm, (0.0, 0.0, 0.0)))


@pytest.fixture(scope="module")
def dataset():
    """A ball of 100 mm, red on the left and blue on the right, from the front and from 40 degrees."""
    return photographed(ball(), *PHOTO_FROM)


def pictures(dataset, field: Balls, camera: int = 0, start: Balls | None = None, scan=None) -> Pictures:
    """Pictures from the camera of a photo."""
    model = SimpleNamespace(start=start, views=None, cheap_sdf=field.sdf, config=SimpleNamespace(photos=PhotoConfig()))
    bundle, seen_from = dataset.cameras.generate_rays(camera_indices=camera), dataset.cameras[camera : camera + 1]
    view = SurfaceView.trace(field, SphereTracer(), bundle.origins.reshape(-1, 3), bundle.directions.reshape(-1, 3))
    inspection = HeadInspection(model, dataset, scan)
    return Pictures((SIDE, SIDE), {"hit": view.accumulation} | inspection(view, seen_from))


def unshaded(colours: torch.Tensor) -> torch.Tensor:
    """Colours at their full brightness."""
    return colours / colours.amax(dim=-1, keepdim=True)


@pytest.mark.parametrize("moved_mm", [-4.0, -1.0, 0.0, 2.0])
def test_the_shift_since_the_prior_is_in_millimetres_and_outwards_is_positive(dataset, moved_mm):
    shown = pictures(dataset, one(100.0 + moved_mm), start=one(100.0))
    hit = shown["hit"][..., 0] > 0.5
    expected = diverging(torch.tensor([moved_mm]), range_mm=5.0)
    torch.testing.assert_close(
        unshaded(shown["prior_shift_mm"][hit]), unshaded(expected).expand(int(hit.sum()), 3), atol=3e-3, rtol=0.0
    )
    assert (shown["prior_shift_mm"][~hit] == BACKDROP).all()
    middle = shown["prior_shift_mm"][SIDE // 2, SIDE // 2]
    # In the light of the camera.
    torch.testing.assert_close(middle, expected[0], atol=3e-3, rtol=0.0)


def test_zero_is_white_and_both_ends_hold_beyond_them():
    colours = diverging(torch.tensor([-99.0, -5.0, -2.5, 0.0, 2.5, 5.0, 99.0]), range_mm=5.0)
    assert (colours[3] == 1.0).all() and torch.equal(colours[0], colours[1]) and torch.equal(colours[5], colours[6])
    blue, red = colours[:, 2] - colours[:, 0], colours[:, 0] - colours[:, 2]
    assert (blue[:3] > 0).all() and (red[4:] > 0).all() and blue[1] > blue[2] and red[5] > red[4]


@pytest.mark.parametrize(("radius_mm", "ring"), [(110.0, STICKS_OUT), (90.0, IS_MISSING)])
def test_a_silhouette_shows_where_the_surface_is_too_much_and_where_it_is_missing(dataset, radius_mm, ring):
    shown = pictures(dataset, one(radius_mm))
    mask, hit = torch.from_numpy(dataset.mask(0)), shown["hit"][..., 0] > 0.5
    torch.testing.assert_close(
        unshaded(shown["silhouette"][mask & hit]), unshaded(torch.tensor([AGREES])).expand(int((mask & hit).sum()), 3)
    )
    odd = shown["silhouette"][mask != hit]
    torch.testing.assert_close(unshaded(odd), unshaded(torch.tensor([ring])).expand(len(odd), 3))
    assert len(odd) > 300 and (shown["silhouette"][~mask & ~hit] == BACKDROP).all()


def test_far_from_its_photo_a_mask_says_nothing_of_rays_that_miss(dataset):
    """Seen from the other side, every ray within the mask's cone but beside the head would else be missing surface."""
    behind = photographed(ball(), 0.0, 90.0)
    only_front = photographed(ball(), 0.0)
    model = SimpleNamespace(start=None, views=None, cheap_sdf=one(60.0).sdf, config=None)
    bundle = behind.cameras.generate_rays(camera_indices=1)
    view = SurfaceView.trace(one(60.0), SphereTracer(), bundle.origins.reshape(-1, 3), bundle.directions.reshape(-1, 3))
    picture = HeadInspection(model, only_front, None).silhouette(view, 0)
    assert (picture[~view.hits.hit] == BACKDROP).all()


def test_from_its_own_camera_a_photo_is_seen_as_it_was_taken(dataset):
    shown = pictures(dataset, one(100.0))
    hit = shown["hit"][..., 0] > 0.5
    photo = torch.from_numpy(dataset.photo(0).copy()) / 255.0
    clear = hit & (unshaded(shown["photo"]) < 0.99).any(dim=-1)
    assert clear.sum() > 0.8 * hit.sum()
    assert ((shown["photo"] - photo)[clear].abs().amax(dim=-1) < 0.02).float().mean() > 0.98
    assert (shown["photo"][~hit] == 1.0).all()


def test_what_the_nearest_photo_does_not_see_is_grey():
    """A small ball before a large one: from the side, its shadow on the large one has no colour."""
    balls = ((100.0, (0.0, 0.0, 0.0)), (25.0, (0.0, 0.0, 160.0)))
    scene = ball()
    front = photographed(scene, 0.0)
    side = photographed(scene, 50.0)
    field = Balls(*balls)
    model = SimpleNamespace(start=None, views=None, cheap_sdf=field.sdf, config=SimpleNamespace(photos=PhotoConfig()))
    bundle = side.cameras.generate_rays(camera_indices=0)
    view = SurfaceView.trace(field, SphereTracer(), bundle.origins.reshape(-1, 3), bundle.directions.reshape(-1, 3))
    picture = HeadInspection(model, front, None).photo(view, 0)[view.hits.hit]
    points_mm = view.points * FRAME.radius_mm
    on_large = (points_mm.norm(dim=-1) - 100.0).abs() < 0.5
    from_axis = points_mm[:, :2].norm(dim=-1)
    towards_photo = points_mm[:, 2] > 30.0
    grey = (picture.amax(dim=-1) - picture.amin(dim=-1)) < 1e-3
    assert grey[on_large & (from_axis < 15.0) & towards_photo].all()
    assert (picture[grey] <= PHOTO_GREY + 1e-3).all()
    assert not grey[on_large & (from_axis > 45.0) & (points_mm[:, 2] > 50.0)].any()


def test_the_distance_to_the_scan_is_coloured_as_in_the_heat_maps(dataset):
    scan = scan_of(ball(100.0))
    shown = pictures(dataset, one(103.0), scan=scan)
    middle = shown["error_mm"][SIDE // 2, SIDE // 2]
    expected = torch.from_numpy(error_colours(np.array([3.0]), 5.0)[0] / 255.0).float()
    torch.testing.assert_close(middle, expected, atol=0.05, rtol=0.0)


def test_pictures_that_make_no_sense_for_a_run_are_absent(dataset, tmp_path):
    assert set(pictures(dataset, one(100.0))) == {"hit", "silhouette", "photo"}
    scan = scan_of(ball())
    with_all = pictures(dataset, one(100.0), start=one(100.0), scan=scan)
    assert {"prior_shift_mm", "error_mm"} <= set(with_all)
    damaged = tmp_path / "scan.obj"
    damaged.write_text("no mesh")
    scan = SceneScan(SimpleNamespace(load_mesh=lambda _: read_obj(damaged)), "damaged")
    assert pictures(dataset, one(100.0), scan=scan)["error_mm"].std() == 0.0  # found out when it is read
    assert "error_mm" not in pictures(dataset, one(100.0), scan=scan)


def test_the_nearest_photo_is_that_from_the_closest_direction(dataset):
    inspection = HeadInspection(
        SimpleNamespace(start=None, views=None, cheap_sdf=one(100.0).sdf, config=None), dataset, None
    )
    asked = photographed(ball(), -30.0, 15.0, 25.0, 90.0)
    assert [inspection.nearest_photo(asked.cameras[index : index + 1]) for index in range(4)] == [0, 0, 1, 1]


def test_a_picture_is_computed_when_it_is_asked_for_and_once():
    computed = []
    shown = Pictures((2, 3), {name: lambda name=name: computed.append(name) or torch.ones(6, 1) for name in "ab"})
    assert list(shown) == ["a", "b"] and "a" in shown and not computed
    assert shown["b"].shape == (2, 3, 1) and shown["b"] is shown["b"] and computed == ["b"]
    # nerfstudio's viewer adds a depth of its own, which nobody should be offered.
    shown["gl_z_buf_depth"] = torch.zeros(2, 3, 1)
    assert list(shown) == ["a", "b"] and "gl_z_buf_depth" in shown and (shown["gl_z_buf_depth"] == 0).all()
    # `ns-render dataset` looks for the rgba that it adds among those to choose.
    shown["rgba"] = torch.zeros(2, 3, 4)
    assert list(shown) == ["a", "b", "rgba"] and len(shown) == 3


def whole_and_cropped(
    dataset, field: Balls, middle: tuple[float, ...], size: tuple[float, ...], tracer: Tracer | None = None
) -> tuple[SurfaceView, SurfaceView]:
    """A view from the first photo's camera, and nerfstudio's crop of it to a box, in units of the unit ball."""
    box = OrientedBox(R=torch.eye(3), T=torch.tensor(middle), S=torch.tensor(size))
    bundle = dataset.cameras.generate_rays(camera_indices=0, obb_box=box)
    origins, directions, near, far = (
        part.reshape(SIDE**2, -1) for part in (bundle.origins, bundle.directions, bundle.nears, bundle.fars)
    )
    tracer = tracer or SphereTracer()
    whole = SurfaceView.trace(field, tracer, origins, directions)
    return whole, whole.cropped(tracer, near[:, 0], far[:, 0], torch.tensor([1.0, 0.0, 0.5]))


def test_a_crop_leaves_the_surface_in_its_box_on_its_own_colour(dataset):
    """The side of the head that is at the right."""
    whole, cropped = whole_and_cropped(dataset, one(100.0), (1.0, 0.0, 0.0), (2.0, 4.0, 4.0))
    right = whole.points[:, 0] > 0.0
    assert 0.3 < right.float().mean() < 0.7
    torch.testing.assert_close(cropped.points, whole.points[right])
    assert (cropped.rgb()[~cropped.hits.hit] == torch.tensor([1.0, 0.0, 0.5])).all()
    before = whole.cropped(SphereTracer(), torch.zeros(SIDE**2), whole.hits.t - 0.01, torch.ones(3))
    assert whole.hits.hit.any() and not before.hits.hit.any()
    torch.testing.assert_close(cropped.rgb()[cropped.hits.hit], whole.rgb()[cropped.hits.hit])


def fitting_tracer(name: str, field: Balls) -> Tracer:
    if name == "sphere":
        return SphereTracer()
    grid = GridTracer(48)
    grid.refresh(field.sdf, torch.device("cpu"))
    return grid


@pytest.mark.parametrize("name", ["sphere", "grid"])
def test_a_crop_shows_what_lies_behind_the_surface_that_it_takes_away(dataset, name):
    """A ball in front of another: without it, the other is seen as if it were alone."""
    front, back = (60.0, (0.0, 0.0, 70.0)), (60.0, (0.0, 0.0, -80.0))
    both = Balls(front, back)
    whole, cropped = whole_and_cropped(dataset, both, (0.0, 0.0, -1.0), (4.0, 4.0, 2.0), fitting_tracer(name, both))
    alone = SurfaceView.trace(Balls(back), SphereTracer(), whole.origins, whole.directions)
    assert whole.points[:, 2].amin() > 0.0 and alone.hits.hit.sum() > 300
    assert (cropped.hits.hit != alone.hits.hit).sum() < 5
    seen = (cropped.hits.hit & alone.hits.hit)[:, None]
    torch.testing.assert_close(cropped.depth()[seen], alone.depth()[seen], atol=2e-4, rtol=0.0)


@pytest.mark.parametrize("name", ["sphere", "grid"])
def test_a_head_that_is_cut_open_shows_the_other_side_of_its_surface(dataset, name):
    """The back half of a ball, from the front: all of it, where it is, in the colours that it has from behind."""
    field, views = one(100.0), []
    field.colour = lambda points, gradients, towards, features: views.append((points, towards)) or points
    tracer = fitting_tracer(name, field)
    whole, cropped = whole_and_cropped(dataset, field, (0.0, 0.0, -1.0), (4.0, 4.0, 2.0), tracer)
    ratio = FRAME.radius_mm / 100.0
    _, leaves, through = intersect_unit_ball(ratio * whole.origins, whole.directions)
    exits = points_along(whole.origins, whole.directions, leaves / ratio)
    in_box = through & (exits[:, 2] < 0.0)
    assert in_box.sum() > 1000 and (cropped.hits.hit != in_box).sum() < 5
    seen = cropped.hits.hit & in_box
    torch.testing.assert_close(cropped.depth()[seen, 0], leaves[seen] / ratio, atol=2e-4, rtol=0.0)
    radial = torch.nn.functional.normalize(cropped.points, dim=-1)
    torch.testing.assert_close(cropped.surface_normals, radial, atol=5e-3, rtol=0.0)
    cropped.rgb()
    assert all(((points * towards).sum(-1) > 0.0).all() for points, towards in views)
    normals, directions = cropped.surface_normals, cropped.directions[cropped.hits.hit]
    grey = torch.ones_like(normals)
    assert torch.equal(shaded(grey, normals, directions), shaded(grey, -normals, directions))


@pytest.mark.parametrize("name", ["sphere", "grid"])
def test_a_camera_within_a_cropped_head_sees_its_inner_side(name):
    """From the middle of a ball, in a box that holds it: its radius away, all round."""
    field = one(100.0)
    tracer = fitting_tracer(name, field)
    directions = torch.nn.functional.normalize(torch.randn(500, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    origins, near = torch.zeros(500, 3), torch.zeros(500)
    whole = SurfaceView.trace(field, tracer, origins, directions)
    cropped = whole.cropped(tracer, near, near + 3.0, torch.ones(3))
    assert cropped.hits.hit.all()
    torch.testing.assert_close(
        cropped.points.norm(dim=-1), torch.full((500,), 100.0 / FRAME.radius_mm), atol=2e-3, rtol=0
    )


def test_a_silhouette_misses_nothing_that_was_cropped_away(dataset):
    """A head that is too small, its left side cropped: only the ring at the right is missing."""
    whole, cropped = whole_and_cropped(dataset, one(90.0), (1.0, 0.0, 0.0), (2.0, 4.0, 4.0))
    model = SimpleNamespace(start=None, views=None, cheap_sdf=one(90.0).sdf, config=None)
    before, after = (HeadInspection(model, dataset, None).silhouette(view, 0) for view in (whole, cropped))
    missing = (before == torch.tensor(IS_MISSING)).all(dim=-1)
    still = (after == torch.tensor(IS_MISSING)).all(dim=-1)
    assert (missing & still).sum() > 100 and (missing & ~still).sum() > 100 and not (still & ~missing).any()
    assert (after[~cropped.hits.hit & ~still] == BACKDROP).all()


def test_rays_that_miss_the_unit_ball_cost_nothing(dataset):
    field = one(100.0)
    origins = torch.tensor([[0.0, 0.0, 3.0]]).repeat(500, 1)
    away = torch.nn.functional.normalize(torch.rand(500, 3) + torch.tensor([2.0, 0.0, 0.0]), dim=-1)
    view = SurfaceView.trace(field, SphereTracer(), origins, away)
    assert field.asked == 0 and not view.hits.hit.any() and (view.rgb() == 1.0).all()


def test_legends_name_their_millimetres():
    assert legend_of("rgb", 5.0) is None
    for name in ("prior_shift_mm", "error_mm"):
        assert "mm" in legend_of(name, 5.0) and legend_of(name, 5.0) != legend_of(name, 2.0)
    assert LEAST_SHADE < 1.0 and "data:image/png" in legend_of("silhouette", 5.0)
