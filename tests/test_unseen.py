"""What no photo sees: its shape while a latent is fitted to one photo, and its colours on the finished surface."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.data.h3ds_dataparser import H3dsDataParserConfig
from baseh3d_ns.data.ray_pool import RayPool
from baseh3d_ns.fields.head_field import HeadField, HeadFieldConfig
from baseh3d_ns.fields.networks import ColourNetworkConfig, SdfNetworkConfig
from baseh3d_ns.heads.head_file import Head, save_head
from baseh3d_ns.heads.networks import weights_of_field
from baseh3d_ns.placing.config import PlacingConfig
from baseh3d_ns.training.few_shot import FewShotTrainer
from baseh3d_ns.warm_start.colours import learn_colours
from baseh3d_ns.warm_start.config import ColourConfig, LatentFitConfig, UnseenShapeConfig
from baseh3d_ns.warm_start.frozen_hits import trace_frozen, unseen_surface
from baseh3d_ns.warm_start.latent import _unseen_range, fit_latent
from baseh3d_ns.warm_start.unseen_colours import UnseenColours, affine_map, in_colours_of
from baseh3d_ns.warm_start.unseen_shape import UnseenRange

TINY = HeadFieldConfig(
    sdf=SdfNetworkConfig(layers=2, width=64, skip_layer=1, features=8, latent=2),
    colour=ColourNetworkConfig(layers=1, width=64),
)
NECK_MM = -300.0
"""Below the whole head."""


@pytest.fixture(autouse=True)
def few_rays(monkeypatch: pytest.MonkeyPatch):
    """Enough of them for heads without detail."""
    monkeypatch.setattr("baseh3d_ns.warm_start.colours.UNSEEN_RAYS", 2000)
    monkeypatch.setattr("baseh3d_ns.warm_start.unseen_shape.RAYS", 2000)


class Bun(nn.Module):
    """Stands for an SDF network: a ball whose radius is 0.5 and more, and a ball at its back; a latent number each."""

    def forward(self, points, latent):
        size, bun = latent[:, 0], latent[:, 1]
        head = points.norm(dim=-1) - (0.5 + 0.02 * size)
        behind = (points - points.new_tensor([0.0, 0.0, -0.5])).norm(dim=-1) - 0.2 * bun
        return torch.cat([torch.minimum(head, behind)[:, None], torch.zeros(len(points), 8)], dim=1)


def space(bun: float) -> HeadField:
    """A space of such heads, with the latent of one of middle size."""
    torch.manual_seed(0)
    field = TINY.setup()
    field.sdf_network, field.latent = Bun(), nn.Parameter(torch.tensor([0.0, bun]))
    return field


def front() -> torch.Tensor:
    """What a photo from the front sees of the ball."""
    points = nn.functional.normalize(torch.randn(4000, 3), dim=1) * 0.5
    return points[points[:, 2] > 0.0]


def outside(bun: float, latents: torch.Tensor, heads: int) -> float:
    """Mean square distance out of the range, of a head with such a bun."""
    field, config = space(bun), UnseenShapeConfig(heads=heads)
    found = UnseenRange.find(field, latents, front(), config, NECK_MM, 24)
    assert found is not None
    return float(found.loss(field, torch.tensor([0.0, bun]), 4000))


def test_a_bun_that_few_heads_have_is_out_of_the_range():
    torch.manual_seed(1)
    rare = torch.cat([torch.zeros(90, 2), torch.tensor([[0.0, 1.0]]).repeat(10, 1)])
    assert outside(0.0, rare, 100) < 1e-7 < 1e-4 < outside(1.0, rare, 100)


def test_a_bun_that_heads_have_that_look_alike_is_within_it():
    """Large heads have none, heads of middle size do: what is seen says what is likely where nothing is."""
    large = torch.tensor([[4.0, 0.0]]).repeat(80, 1)
    alike = torch.cat([large, torch.tensor([[0.0, 1.0]]).repeat(20, 1)])
    assert outside(1.0, alike, 20) < 1e-7 < 1e-4 < outside(0.0, alike, 20)


def test_nothing_seen_or_nothing_above_the_neck_has_no_range():
    field, latents, config = space(0.0), torch.zeros(5, 2), UnseenShapeConfig()
    assert UnseenRange.find(field, latents, torch.zeros(0, 3), config, NECK_MM, 24) is None
    assert UnseenRange.find(field, latents, front(), config, 900.0, 24) is None


@pytest.fixture
def one_photo(tiny_root: Path) -> RayPool:
    """Rays of the photo of an egg."""
    parser = H3dsDataParserConfig(data=tiny_root, scene="scan0", views=("1",)).setup()
    return RayPool(HeadDataset(parser.get_dataparser_outputs("train")), "cpu", 256, one_view=False)


def test_what_one_photo_does_not_show_comes_back_to_what_is_likely(one_photo: RayPool):
    def bun(weight: float) -> float:
        field = space(1.0)
        latents = torch.randn(60, 2) * torch.tensor([1.0, 0.3])
        config = LatentFitConfig(steps=40, latent_weight=0.0, unseen=UnseenShapeConfig(weight=weight, heads=20))
        mean = torch.zeros(2)
        fit_latent(field, mean, latents, one_photo, config, PlacingConfig(neck_mm=NECK_MM), None, 24)
        assert field.latent is not None
        return float(field.latent.detach()[1])

    assert bun(0.0) > 0.9 > 0.6 > bun(100.0)


def test_an_affine_change_of_colours_is_found_and_a_single_colour_shifted():
    torch.manual_seed(0)
    theirs, matrix, shift = torch.rand(500, 3), torch.rand(3, 3) * 0.5, torch.tensor([0.1, 0.0, 0.2])
    to = torch.rand(20, 3)
    found = affine_map(theirs, theirs @ matrix + shift, torch.rand(500), to)
    assert (found - (to @ matrix + shift)).abs().max() < 0.02
    grey = torch.full((50, 3), 0.4)
    assert torch.allclose(affine_map(grey, grey + 0.2, torch.ones(50), to), to + 0.2, atol=1e-5)


def test_what_counts_less_changes_the_map_less():
    theirs = torch.rand(200, 3)
    wrong = torch.cat([theirs, 1.0 - theirs])
    weights = torch.cat([torch.ones(200), torch.full((200,), 1e-4)])
    assert (affine_map(torch.cat([theirs, theirs]), wrong, weights, theirs) - theirs).abs().max() < 0.03


def prior_of(field: HeadField) -> Head:
    return Head(weights={name: weight.clone() for name, weight in weights_of_field(field).items()}, provenance={})


def test_a_start_shows_its_prior_s_colours_again():
    config = replace(TINY, sdf=replace(TINY.sdf, latent=0))
    torch.manual_seed(0)
    field, points = config.setup(), torch.rand(50, 3) - 0.5
    prior = prior_of(field)
    ahead, features = torch.tensor([[0.0, 0.0, 1.0]]).repeat(50, 1), torch.zeros(50, 8)
    own = field.colour(points, ahead, ahead, features)
    with torch.no_grad():
        for parameter in field.colour_network.parameters():
            parameter.add_(0.3)
    known = in_colours_of(prior, Path("prior"), field)
    assert known is not None and torch.allclose(known.colour(points, ahead, ahead, features), own)
    assert not torch.allclose(field.colour(points, ahead, ahead, features), own)
    larger = replace(config, sdf=replace(config.sdf, features=16)).setup()
    assert in_colours_of(prior, Path("prior"), larger) is None


class Quarters(nn.Module):
    """Stands for a colour network: bright above on the photo's side of the head and below on the other, else dark."""

    def __init__(self, camera: torch.Tensor) -> None:
        super().__init__()
        self.camera = camera

    def forward(self, points, *_):
        return torch.where((points[:, 1] > 0.0) == (points @ self.camera > 0.0), 0.8, 0.2)[:, None].expand(-1, 3)


def above_and_below(pool: RayPool, seed: int) -> float:
    """Difference in brightness of the upper and lower half of an untrained head where the photo does not see it."""
    config, rays = replace(TINY, sdf=replace(TINY.sdf, latent=0)), pool.rays
    torch.manual_seed(seed)
    field, known = config.setup(), config.setup()
    known.load_state_dict(field.state_dict())
    known.colour_network = Quarters(rays.origins[0])
    seen = trace_frozen(field, pool, 4, 24)
    unseen = unseen_surface(field, seen.points[seen.hit], 2000, 24, apart=0.1)
    nearest = rays.origins[0] - (rays.directions * rays.origins[0]).sum(dim=1, keepdim=True) * rays.directions
    rays.colours[:] = torch.where(nearest[:, 1:2] > 0.0, 25, 153).to(torch.uint8)
    few = ColourConfig(steps=300, batches=8, points=256, learning_rate=1e-2, unseen_weight=1.0)
    learn_colours(field, pool, few, 24)  # as a training has done when its colours are finished
    learn_colours(field, pool, few, 24, detail=True, known=known)
    shown, _ = field.colour_towards_cameras(unseen, rays.origins[:1])
    behind = unseen @ rays.origins[0] < -0.1
    above, below = (shown[behind & side].mean() for side in (unseen[:, 1] > 0.1, unseen[:, 1] < -0.1))
    return float((above - below).detach())


def test_the_unseen_side_gets_the_colours_of_what_is_the_same_in_the_prior(one_photo: RayPool):
    """What is bright in the prior is dark in the photo, and so it is behind, where bright and dark change places."""
    assert above_and_below(one_photo, 0) + above_and_below(one_photo, 1) > 0.2


def test_what_a_single_photo_grazes_has_none_of_its_background(one_photo: RayPool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("baseh3d_ns.warm_start.colours.GRAZING", 0.6)  # the tiny photo has few steeper rays
    field, rays = space(bun=0.0), one_photo.rays
    seen = trace_frozen(field, one_photo, 4, 24)
    edge = seen.points[seen.hit & (seen.cos_incidence < 0.5)]
    nearest = rays.origins[0] - (rays.directions * rays.origins[0]).sum(dim=1, keepdim=True) * rays.directions
    steep = nearest.norm(dim=1) < 0.4  # cosines above 0.6 on a ball of radius 0.5
    rays.colours[:] = torch.where(steep, 40, 250)[:, None].to(torch.uint8)
    few = ColourConfig(steps=300, batches=8, points=256, learning_rate=1e-2)
    learn_colours(field, one_photo, few, 24, detail=True)
    shown, _ = field.colour_towards_cameras(edge, rays.origins[:1])
    assert len(edge) > 20 and shown.mean() < 0.25


def test_several_photos_need_no_range(tiny_root: Path):
    parser = H3dsDataParserConfig(data=tiny_root, scene="scan0", views=("3",)).setup()
    pool = RayPool(HeadDataset(parser.get_dataparser_outputs("train")), "cpu", 256, one_view=False)
    field = space(0.0)
    hits = trace_frozen(field, pool, 1, 24)
    assert _unseen_range(field, torch.zeros(5, 2), hits, pool, LatentFitConfig(), PlacingConfig(), 24) is None


def test_a_prior_that_is_gone_leaves_the_colours(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    config = replace(TINY, sdf=replace(TINY.sdf, latent=0))
    field, file = config.setup(), tmp_path / "prior.safetensors"
    save_head(file, prior_of(field))
    fit: Any = SimpleNamespace(pipeline=SimpleNamespace(model=SimpleNamespace(start=field)), started_from=str(file))
    assert isinstance(FewShotTrainer._in_prior_colours(fit), HeadField)
    file.unlink()
    assert FewShotTrainer._in_prior_colours(fit) is None and "stay as they are" in capsys.readouterr().out


def test_a_prior_without_colours_tells_none(one_photo: RayPool):
    config = replace(TINY, sdf=replace(TINY.sdf, latent=0))
    torch.manual_seed(0)
    field, known = config.setup(), config.setup()
    hits = trace_frozen(field, one_photo, 4, 24)
    hits = hits[hits.hit]
    unseen = -hits.points
    stays = UnseenColours.find(field, None, hits, unseen)
    known.colour_network = Quarters(torch.zeros(3))
    coloured = UnseenColours.find(field, known, hits, unseen)
    known.colour_network = Quarters(one_photo.rays.origins[0])
    known.colour_network.forward = lambda points, *_: torch.full((len(points), 3), 0.5)
    assert torch.equal(
        UnseenColours.find(field, known, hits, unseen).expected.sort(dim=0).values, stays.expected.sort(dim=0).values
    )
    assert not torch.equal(coloured.expected.sort(dim=0).values, stays.expected.sort(dim=0).values)
