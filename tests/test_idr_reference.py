"""`idr` against section 3 of Yariv et al. 2020, written down literally and slowly: one training pass and its losses."""

import math

import pytest
import torch
from nerfstudio.cameras.rays import RayBundle
from tiny_heads import SMALL, points_in_box
from torch import Tensor
from torch.nn.functional import normalize

from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.models.idr import IdrModelConfig

ALPHA, RAYS = 50.0, 300


@pytest.fixture
def model():
    """IDR with small networks in double precision, moved away from their initial sphere and from grey."""
    torch.manual_seed(0)
    metadata = {"camera_axes": torch.eye(3)[2:], "camera_centres": torch.tensor([[0.0, 0.0, 3.0]])}
    metadata["frame"] = SceneFrame((0.0, 0.0, 0.0), 150.0)
    model = IdrModelConfig(sdf_field=SMALL, mask_alpha=ALPHA).setup(scene_box=None, num_train_data=1, metadata=metadata)
    with torch.no_grad():
        for parameter in model.field.parameters():
            parameter.mul_(1.0 + 0.05 * torch.randn_like(parameter))
    return model.double()


def batch_of_rays():
    """Rays from one camera past and through the ball, some of them masked out, with a colour for each."""
    origins = torch.tensor([0.0, 0.0, 3.0]).double().expand(RAYS, 3).contiguous()
    targets = points_in_box(RAYS, seed=1).double() * 0.9
    directions = normalize(targets - origins, dim=-1)
    in_mask = (torch.arange(RAYS) % 5 > 0) & (targets[:, :2].norm(dim=-1) < 0.7)
    batch = {"image": points_in_box(RAYS, seed=2).double().abs(), "fg_mask": in_mask[:, None].double()}
    bundle = RayBundle(
        origins,
        directions,
        torch.ones(RAYS, 1),
        torch.zeros(RAYS, 1, dtype=torch.long),
        metadata={"fg_mask": in_mask[:, None], "far_from_edge": in_mask[:, None]},
    )
    return bundle, batch | {"weight": torch.ones(RAYS).double()}, in_mask


def first_roots(sdf, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """By brute force: distance to the first surface point, whether there is one, distance to the minimum SDF."""
    middle = -(origins * directions).sum(-1)
    half = (1.0 - (origins + middle[:, None] * directions).square().sum(-1)).clamp(min=0.0).sqrt()

    def samples(count: int) -> tuple[Tensor, Tensor]:
        t = (middle - half)[:, None] + 2.0 * half[:, None] * torch.linspace(0.0, 1.0, count).double()
        return t, sdf((origins[:, None] + t[..., None] * directions[:, None]).reshape(-1, 3)).view(t.shape)

    t, values = samples(1000)
    hit = (values < 0.0).any(dim=1) & (half > 0.0)
    first = (values < 0.0).to(torch.int8).argmax(dim=1, keepdim=True)
    low, high = t.gather(1, (first - 1).clamp(min=0))[:, 0], t.gather(1, first)[:, 0]
    for _ in range(40):  # bisection
        centre = 0.5 * (low + high)
        outside = sdf(origins + centre[:, None] * directions) > 0.0
        low, high = torch.where(outside, centre, low), torch.where(outside, high, centre)
    t, values = samples(100)  # supplement B
    return 0.5 * (low + high), hit, t.gather(1, values.argmin(dim=1, keepdim=True))[:, 0]


def idr_by_the_book(field, bundle, batch, in_mask, in_box) -> dict[str, Tensor]:
    """Losses of equations 1 to 9 and supplement B, with the published weights."""
    c, v = bundle.origins, bundle.directions
    with torch.no_grad():
        t, hit, t_min = first_roots(field.sdf, c, v)
    on = hit & in_mask
    traced = c + torch.where(on, t, t_min)[:, None] * v

    def gradient_at(x: Tensor) -> Tensor:
        x = x if x.requires_grad else x.requires_grad_()
        return torch.autograd.grad(field.sdf(x).sum(), x, create_graph=True)[0]

    # Equation 3: x = c + t0 v - v (f(c + t0 v) - f0) / (grad f0 . v), with constant f0 and grad f0.
    x0, f = traced[on].detach(), field.sdf(traced[on])
    slope = (gradient_at(x0.clone()).detach() * v[on]).sum(-1)
    x = x0 - v[on] * ((f - f.detach()) / slope)[:, None]
    normal = gradient_at(x)  # equation 2: M(x, n, z, v), with v from the surface to the camera here
    colour = field.colour_network(x, normal, -v[on], field.sdf_network(x)[:, 1:])
    # IDR's colours run from -1 to 1: twice ours.
    rgb = (2.0 * colour - 2.0 * batch["image"][on]).abs().sum() / RAYS  # equation 6
    eikonal = (gradient_at(torch.cat([traced.detach(), in_box])).norm(dim=-1) - 1.0).square().mean()  # equation 9
    soft = torch.sigmoid(-ALPHA * field.sdf(traced[~on]))  # equation 7
    target = in_mask[~on].double()
    entropy = -(target * soft.log() + (1.0 - target) * (1.0 - soft).log()).sum()
    return {"colour": rgb, "eikonal": 0.1 * eikonal, "mask": 100.0 * entropy / (ALPHA * RAYS)}  # equation 8


def test_a_training_pass_is_idrs(model, monkeypatch):
    bundle, batch, in_mask = batch_of_rays()
    in_box = points_in_box(RAYS // 2, seed=3).double()
    # The tracer's jitter is the middle of its range, and the points in the box are those of the reference.
    draws = {((),): torch.tensor(0.5), (RAYS // 2, 3): (in_box + 1.0) / 2.0}
    monkeypatch.setattr(torch, "rand", lambda *size, **_: draws[size])
    model.train()
    ours = model.get_loss_dict(model.get_outputs(bundle), batch)
    theirs = idr_by_the_book(model.field, bundle, batch, in_mask, in_box)
    assert ours.keys() == theirs.keys()
    weights = [p for p in model.field.parameters() if p.requires_grad]
    for name, loss in theirs.items():
        assert float(ours[name]) == pytest.approx(float(loss), rel=1e-4) and float(loss) > 1e-4
        slopes = [
            torch.cat(
                [g.flatten() for g in torch.autograd.grad(value, weights, retain_graph=True, materialize_grads=True)]
            )
            for value in (ours[name], loss)
        ]
        assert math.isclose(float((slopes[0] - slopes[1]).norm() / slopes[1].norm()), 0.0, abs_tol=1e-3), name
