"""The prior anchor: which points count as unseen, and what holding them costs."""

from dataclasses import replace

import pytest
import torch
from tiny_heads import SMALL
from torch.nn.functional import normalize

from baseh3d_ns.fields.detail_grid import DetailGridConfig
from baseh3d_ns.fields.head_field import HeadField
from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.models.idr import IdrModelConfig
from baseh3d_ns.models.prior_anchor import AnchorConfig, PriorAnchor
from baseh3d_ns.models.training_records import Rays

RADIUS = 0.5
CONFIG = AnchorConfig()
POINTS, SHELL = CONFIG.points, CONFIG.shell


class Ball(HeadField):
    """An exact sphere."""

    def __init__(self, radius: float = RADIUS) -> None:
        super().__init__(SMALL)
        self.radius = radius

    def _distance_and_features(self, points, latent):
        return points.norm(dim=-1) - self.radius, torch.zeros(len(points), 8)


def front_rays(count: int = 1 << 14):
    """Parallel rays along -z over a window as large as the ball's box."""
    generator = torch.Generator().manual_seed(0)
    across = torch.rand(count, 2, generator=generator) * 2.0 - 1.0
    return torch.cat([across, torch.full((count, 1), 3.0)], dim=1), torch.tensor([[0.0, 0.0, -1.0]]).expand(count, 3)


IN_MASK = front_rays()[0][:, :2].norm(dim=-1) < RADIUS
"""The rays that lie in the mask."""


@pytest.fixture
def anchor() -> PriorAnchor:
    torch.manual_seed(0)
    anchor = PriorAnchor(CONFIG, one_view=False)
    anchor.set_reference(Ball(), confidence=1.0)
    return anchor


def test_it_holds_points_near_the_prior_with_its_distance_and_slope(anchor):
    radius = anchor.points.norm(dim=-1)
    assert (radius > RADIUS - SHELL).all() and (radius < RADIUS + SHELL).all() and len(radius) == POINTS
    torch.testing.assert_close(anchor.sdf, radius - RADIUS)
    torch.testing.assert_close(anchor.gradient, normalize(anchor.points, dim=-1))


def test_what_lies_behind_the_head_is_unseen(anchor):
    anchor.update_visibility(Ball(), *front_rays(), IN_MASK)
    z, across = anchor.points[:, 2], anchor.points[:, :2].norm(dim=-1)
    unseen = torch.zeros(POINTS, dtype=torch.bool)
    unseen[anchor.unseen] = True
    assert unseen[(z < -0.2) & (across < 0.35)].all()
    # Before the surface, beside the head and a little below the surface that faces the camera, the photos decide.
    assert not unseen[(z > 0.3) & (anchor.sdf > -0.01)].any() and not unseen[across > RADIUS + 0.06].any()


def test_a_single_view_sees_what_lies_beside_the_head_and_no_depth():
    anchor = PriorAnchor(CONFIG, one_view=True)
    anchor.set_reference(Ball(), confidence=1.0)
    # Another head than the mask's does not change what the photo shows.
    anchor.update_visibility(Ball(0.8), *front_rays(), IN_MASK)
    unseen = torch.zeros(POINTS, dtype=torch.bool)
    unseen[anchor.unseen] = True
    across = anchor.points[:, :2].norm(dim=-1)
    assert unseen[across < RADIUS - 0.08].all() and not unseen[across > RADIUS + 0.08].any()


def test_no_rays_no_sight_and_all_round_everything_is_seen(anchor):
    origins, directions = front_rays()
    anchor.update_visibility(Ball(), origins[:0], directions[:0], IN_MASK[:0])
    assert len(anchor.unseen) == POINTS
    anchor.update_visibility(Ball(0.05), origins, directions, IN_MASK)  # hardly a head: rays pass everywhere else
    assert len(anchor.unseen) < 0.05 * POINTS


def test_holding_costs_nothing_where_the_prior_stays_and_pulls_it_back_where_not(anchor):
    anchor.update_visibility(Ball(), *front_rays(), IN_MASK)
    held = anchor.draw(500)
    assert len(held.points) == 500 and (held.sdf[held.points[:, 2] > 0.2] < 0.0).all()
    sdf, _, gradient = Ball().with_gradient(held.points, create_graph=False)
    assert float(held.loss(sdf, gradient)) < 1e-6
    larger = held.loss(sdf - 0.1, gradient)
    turned = held.loss(sdf, gradient.roll(1, dims=1))
    assert float(larger) == pytest.approx(0.1, rel=1e-3) and float(turned) > 0.1


def test_a_prior_without_confidence_holds_nothing():
    anchor = PriorAnchor(CONFIG, one_view=False)
    anchor.set_reference(Ball(), confidence=0.0)
    anchor.update_visibility(Ball(), *front_rays(), IN_MASK)
    held = anchor.draw(100)
    assert len(held.points) == 0 and float(held.loss(held.sdf, held.gradient)) == 0.0


def test_a_prior_without_surface_holds_nothing():
    anchor = PriorAnchor(CONFIG, one_view=False)
    anchor.set_reference(Ball(3.0), confidence=1.0)
    assert float(anchor.confidence) == 0.0


@pytest.mark.parametrize(("shell", "confidence", "said"), [(1e-3, 1.0, True), (1e-3, 0.0, False), (SHELL, 1.0, False)])
def test_an_anchor_that_finds_no_points_says_so(shell: float, confidence: float, said: bool, capsys):
    anchor = PriorAnchor(AnchorConfig(points=1000, shell=shell), one_view=True)
    anchor.set_reference(Ball(), confidence)
    assert ("of 1000 points lie" in capsys.readouterr().out) == said
    assert bool(anchor.confidence > 0.0) == (confidence > 0.0 and not said)


def test_a_priors_own_detail_is_held_as_it_is():
    """It had been pulled to nothing, against the very anchor that holds it."""
    torch.manual_seed(0)
    frame, axis = SceneFrame((0.0, 0.0, 0.0), 150.0), torch.tensor([[0.0, 0.0, -1.0]])
    metadata = {"camera_axes": axis, "camera_centres": -4.0 * axis, "frame": frame}
    config = IdrModelConfig(
        sdf_field=replace(SMALL, detail=DetailGridConfig(cells=(4, 8))), anchor=AnchorConfig(weight=1.0, points=1000)
    )
    model = config.setup(scene_box=None, num_train_data=1, metadata=metadata)
    grid = model.field.detail
    with torch.no_grad():
        for parameter in grid.learning():
            parameter.normal_(0.0, 0.1)
    grid.opened.fill_(1.0)
    model.keep_start()
    model.anchor.set_reference(model.field, confidence=1.0)
    model.anchor.unseen = torch.arange(1000)
    origins, directions = front_rays(200)
    rays = Rays(origins, directions.contiguous(), IN_MASK[:200], IN_MASK[:200], torch.zeros(200, dtype=torch.long))
    assert float(model.training_pass(rays).anchor) < 1e-5
    with torch.no_grad():
        grid.last.bias += 0.1
    # The SDF at the held points and the detail about them.
    assert float(model.training_pass(rays).anchor) == pytest.approx(0.2, rel=1e-3)


def eikonal_loss(anchor: AnchorConfig) -> float:
    """Loss of one batch on an untrained head, with everything behind it held."""
    torch.manual_seed(0)
    frame, axis = SceneFrame((0.0, 0.0, 0.0), 150.0), torch.tensor([[0.0, 0.0, -1.0]])
    metadata = {"camera_axes": axis.expand(2, 3), "camera_centres": -4.0 * axis.expand(2, 3), "frame": frame}
    model = IdrModelConfig(sdf_field=SMALL, anchor=anchor).setup(scene_box=None, num_train_data=2, metadata=metadata)
    if model.anchor:
        model.anchor.set_reference(Ball(), confidence=1.0)
        model.anchor.update_visibility(Ball(), *front_rays(), IN_MASK)
    torch.manual_seed(1)
    origins, directions = front_rays(200)
    hit = origins[:, :2].norm(dim=-1) < RADIUS
    rays = Rays(origins, directions.contiguous(), hit, hit, torch.zeros(200, dtype=torch.long))
    batch = {"image": torch.zeros(200, 3), "fg_mask": hit[:, None].float(), "weight": torch.ones(200)}
    losses = model.get_loss_dict({"training_pass": model.training_pass(rays)}, batch)
    assert ("anchor" in losses) == (anchor.weight > 0.0) and losses.get("anchor", 1.0) > 0.0
    return float(losses["eikonal"])


def test_the_held_points_leave_the_eikonal_loss_alone():
    assert eikonal_loss(AnchorConfig(weight=0.1)) == pytest.approx(eikonal_loss(AnchorConfig()), rel=1e-5)
