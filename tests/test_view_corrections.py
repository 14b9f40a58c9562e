"""Corrections of the views: what they may not do, what they do, and whether their gradients are those of the losses."""

import math

import pytest
import torch
from tiny_heads import SMALL, set_to
from torch.nn.functional import normalize

from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.models.idr import IdrModelConfig
from baseh3d_ns.models.training_records import Rays, TrainingPass
from baseh3d_ns.models.view_corrections import TYPICAL_FOCAL, TYPICAL_ROTATION, TYPICAL_TRANSLATION, ViewCorrections
from baseh3d_ns.rendering.sphere_tracing import Hits, SphereTracer

AXES = normalize(torch.tensor([[0.0, 0.0, -1.0], [-1.0, 0.0, -1.0], [1.0, 0.2, -1.0]]), dim=-1)
CENTRES = -4.0 * AXES


def rays_of(views, seed=0):
    """For each ray, a camera four units before the ball, looking roughly along its view's axis."""
    generator = torch.Generator().manual_seed(seed)
    directions = normalize(AXES[views] + 0.1 * torch.randn(len(views), 3, generator=generator), dim=-1)
    return -4.0 * AXES[views], directions


def test_what_all_views_share_moves_nothing():
    views = torch.arange(3).repeat(20)
    origins, directions = rays_of(views)
    shared = set_to(
        ViewCorrections(AXES, CENTRES),
        pose=torch.tensor([1.0, -2.0, 3.0, 2.0, 1.0, -1.0]).expand(3, 6),
        focal=torch.full((3,), 2.0),
        colour=torch.ones(3, 2, 3),
    )
    moved, turned = shared.rays(origins, directions, views)
    assert torch.allclose(moved, origins, atol=1e-6) and torch.allclose(turned, directions, atol=1e-6)
    grey = torch.full((60, 3), 0.5)
    assert torch.allclose(shared.colours(grey, views), grey)


def test_the_head_cannot_grow():
    """Cameras that all move away from their middle see a smaller head, wherever it lies."""
    pose = torch.zeros(3, 6)
    pose[:, :3] = 2.0 * CENTRES + torch.tensor([1.0, -3.0, 0.5])
    views = torch.arange(3).repeat(20)
    origins, directions = rays_of(views)
    moved, turned = set_to(ViewCorrections(AXES, CENTRES), pose=pose).rays(origins, directions, views)
    assert torch.allclose(moved, origins, atol=1e-5) and torch.allclose(turned, directions, atol=1e-6)


def test_a_single_view_is_left_as_it_is():
    single = set_to(ViewCorrections(AXES[:1], CENTRES[:1]), pose=torch.randn(1, 6), focal=torch.ones(1))
    views = torch.zeros(10, dtype=torch.long)
    origins, directions = rays_of(views)
    moved, turned = single.rays(origins, directions, views)
    assert torch.equal(moved, origins) and torch.allclose(turned, directions, atol=1e-6)


def test_a_turn_is_about_the_middle_of_the_ball():
    pose = torch.zeros(3, 6)
    pose[:, 4] = torch.tensor([2.0, -1.0, -1.0])
    corrections = set_to(ViewCorrections(AXES, CENTRES), pose=pose)
    views = torch.arange(3)
    origins, directions = rays_of(views)
    moved, turned = corrections.rays(origins, directions, views)
    assert torch.allclose(moved.norm(dim=-1), origins.norm(dim=-1))
    cosine = (normalize(moved.detach()[0], dim=-1) * normalize(origins[0], dim=-1)).sum()
    # Linear in the angle: the exponential map's higher orders do not show at milliradians.
    assert math.sqrt(2.0 * (1.0 - float(cosine.double()))) == pytest.approx(2.0 * TYPICAL_ROTATION, abs=5e-4)
    assert torch.allclose(turned.norm(dim=-1), torch.ones(3))


def test_shift_and_focal_length_have_their_units():
    pose, focal = torch.zeros(3, 6), torch.tensor([1.0, -1.0, 0.0])
    pose[0, 1], pose[1, 1] = 1.0, -1.0  # up and down: the cameras stand side by side, so this does not move them apart
    corrections = set_to(ViewCorrections(AXES, CENTRES), pose=pose, focal=focal)
    views = torch.zeros(50, dtype=torch.long)
    origins, directions = rays_of(views)
    moved, zoomed = corrections.rays(origins, directions, views)
    assert torch.allclose(moved - origins, torch.tensor([0.0, TYPICAL_TRANSLATION, 0.0]), atol=2e-3)
    # A longer lens sees a narrower cone: the tangent of the angle to the axis falls by that factor.
    tangents = [d[:, :2].norm(dim=-1) / -d[:, 2] for d in (zoomed, directions)]
    assert torch.allclose(tangents[0] * math.exp(TYPICAL_FOCAL), tangents[1], rtol=1e-4)


def test_gain_and_offset_change_the_colours_of_their_view_only():
    colour = torch.zeros(3, 2, 3)
    colour[0, 0, 0], colour[1, 0, 0] = 1.0, -1.0
    corrections = set_to(ViewCorrections(AXES, CENTRES), colour=colour)
    shown = corrections.colours(torch.full((3, 3), 0.5), torch.arange(3))
    assert shown[0, 0] > 0.51 and shown[1, 0] < 0.49
    assert torch.allclose(shown[2], torch.full((3,), 0.5)) and torch.allclose(shown[:, 1:], torch.full((3, 2), 0.5))


class PreciseTracer(SphereTracer):
    """Newton's method after the reference, so that finite differences see no tolerance."""

    @torch.no_grad()
    def training_points(self, sdf, origins, directions, in_mask):
        hits = self.trace(sdf, origins, directions)
        t = hits.t
        for _ in range(8):
            ahead, here = sdf(origins + (t + 1e-6)[:, None] * directions), sdf(origins + t[:, None] * directions)
            t = t - 1e-6 * here / (ahead - here)
        return Hits(t=torch.where(hits.hit, t, hits.t), hit=hits.hit & in_mask)


@pytest.mark.parametrize(("parameter", "index"), [("pose", (0, 0)), ("pose", (1, 4)), ("focal", (2,))])
def test_the_gradient_is_that_of_the_colours_the_moved_rays_meet(parameter, index):
    """Autograd through the implicitly differentiated surface against tracing the moved rays again."""
    torch.manual_seed(0)
    metadata = {"camera_axes": AXES, "camera_centres": CENTRES, "frame": SceneFrame((0.0, 0.0, 0.0), 150.0)}
    config = IdrModelConfig(sdf_field=SMALL, refine_cameras=True)
    model = config.setup(scene_box=None, num_train_data=3, metadata=metadata).double()
    model.tracer = PreciseTracer()
    views = torch.arange(3).repeat(40)
    origins, directions = (part.double() for part in rays_of(views))
    everywhere = torch.ones(len(views), dtype=torch.bool)

    def loss():
        moved = model.views.rays(origins, directions, views)
        result = model.training_pass(Rays(*moved, everywhere, everywhere, views))
        assert int(result.on_surface.sum()) > 60
        return (result.colour * torch.linspace(-1.0, 1.0, 3).double()).sum()

    (gradient,) = torch.autograd.grad(loss(), getattr(model.views, parameter))
    step, values = 1e-3, []
    for sign in (1.0, -1.0):
        with torch.no_grad():
            getattr(model.views, parameter)[index] += sign * step
        values.append(float(loss().detach()))
        with torch.no_grad():
            getattr(model.views, parameter)[index] -= sign * step
    assert float(gradient[index]) == pytest.approx((values[0] - values[1]) / (2.0 * step), rel=1e-3)
    assert abs(float(gradient[index])) > 1e-6


def test_silhouettes_are_as_sharp_in_a_larger_unit_ball():
    """A head half as large in its unit ball, whose SDF is therefore half as large, has the same mask loss."""
    metadata = {"camera_axes": AXES, "camera_centres": CENTRES, "frame": SceneFrame((0.0, 0.0, 0.0), 150.0)}
    model = IdrModelConfig(sdf_field=SMALL).setup(scene_box=None, num_train_data=3, metadata=metadata)
    nothing, no_hit = torch.zeros(0, 3), torch.zeros(2, dtype=torch.bool)
    batch = {"image": torch.zeros(2, 3), "fg_mask": torch.tensor([[1.0], [0.0]]), "weight": torch.ones(2)}
    losses = []
    for scale in (1.0, 2.0):
        model.field.placement.similarity.data[0] = math.log(scale)
        found = TrainingPass(no_hit, torch.tensor([0.02, -0.01]) / scale, torch.zeros(1, 3), nothing, None, None)
        losses.append(float(model.get_loss_dict({"training_pass": found}, batch)["mask"]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5) and losses[0] > 0.0
