"""Detail above a prior: nothing at first, exact twice, kept in head files."""

from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from processes import configured, train
from test_heads import POINTS, SMALL
from torch.autograd import gradcheck, gradgradcheck

from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.data.h3ds_dataparser import H3dsDataParserConfig
from baseh3d_ns.data.ray_pool import RayPool
from baseh3d_ns.errors import InputError
from baseh3d_ns.fields.detail_grid import DetailGrid, DetailGridConfig, cells_to_see, interpolated, rows_of
from baseh3d_ns.fields.head_field import HeadField
from baseh3d_ns.heads.head_file import HEAD_FILE, Head, save_head
from baseh3d_ns.heads.networks import field_of_head, weights_of_field
from baseh3d_ns.heads.readers import open_head
from baseh3d_ns.heads.transfer import transfer
from baseh3d_ns.models.prior_anchor import AnchorSamples
from baseh3d_ns.training.few_shot import FewShotTrainer
from baseh3d_ns.training.head_trainer import pixel_at_head
from baseh3d_ns.warm_start.colours import learn_colours
from baseh3d_ns.warm_start.config import ColourConfig
from baseh3d_ns.warm_start.frozen_hits import trace_frozen, trace_seen_surface, unseen_surface

CELLS = (4, 8, 16)
GRID = DetailGridConfig(cells=CELLS)
DETAILED = replace(SMALL, detail=GRID, colour_detail=GRID)


def rough(field: HeadField) -> HeadField:
    """The field with detail that one can see."""
    assert field.detail is not None and field.colour_detail is not None
    with torch.no_grad():
        for grid in (field.detail, field.colour_detail):
            for parameter in grid.learning():
                parameter.normal_(0.0, 0.3)
            grid.opened.fill_(1.0)
    return field


def colours(field: HeadField) -> torch.Tensor:
    """Colours of some points, seen from where they face."""
    _, features, gradient = field.with_gradient(POINTS, create_graph=False)
    return field.colour(POINTS, gradient, gradient, features).detach()


def test_before_the_first_step_the_head_is_the_priors_to_the_bit():
    prior, field = SMALL.setup(), DETAILED.setup()
    transfer(prior, field)
    assert torch.equal(field.sdf(POINTS), prior.sdf(POINTS))
    assert torch.equal(colours(field), colours(prior))
    rough(field)
    assert not torch.equal(field.sdf(POINTS), prior.sdf(POINTS))
    assert not torch.equal(colours(field), colours(prior))


def test_first_and_second_derivatives_are_exact():
    torch.manual_seed(0)
    grid = DetailGrid(DetailGridConfig(cells=(4, 128), width=4), outputs=1).double()
    grid.open_levels(1.0)
    with torch.no_grad():
        for parameter in grid.learning():
            parameter.normal_(0.0, 0.5)
    points = (1.8 * torch.rand(3, 3, dtype=torch.double) - 0.9).requires_grad_()
    assert gradcheck(grid, (points,)) and gradgradcheck(grid, (points,))


def test_features_are_those_of_the_corners_and_smooth_between_them():
    table = torch.arange(125.0)[:, None]
    x, y, z = torch.tensor([[1, 2, 3], [4, 0, 4], [0, 0, 0]]).unbind(dim=1)
    at_corners = torch.stack([x, y, z], dim=1) / 2.0 - 1.0
    torch.testing.assert_close(interpolated(at_corners, table, 4)[:, 0], (25.0 * z + 5.0 * y + x))
    points = torch.tensor([[-0.875, -1.0, -1.0], [-9.0, -1.0, -1.0], [1.0, 1.0, 7.0]])
    smoothstep = 0.25**2 * (3.0 - 2.0 * 0.25)
    torch.testing.assert_close(interpolated(points, table, 4)[:, 0], torch.tensor([smoothstep, 0.0, 124.0]))


@pytest.mark.parametrize(("cells", "rows"), [(4, 125), (256, 1 << 17)])
def test_every_corner_has_a_row(cells: int, rows: int):
    low = torch.randint(cells, (1000, 3))
    found = rows_of(torch.stack([low, low + 1], dim=-1), cells, rows)
    assert found.min() >= 0 and found.max() < rows
    # Hashed corners of one cell share a row once in a while only.
    assert torch.tensor([len(one.unique()) for one in found]).float().mean() > 7.9


def test_levels_are_opened_one_after_another_and_stay_open():
    grid = DetailGrid(DetailGridConfig(cells=CELLS), outputs=1)
    assert grid.opened.tolist() == [0, 0, 0]
    opened = []
    for fraction in (0.0, 1 / 6, 0.5, 1.0, 5 / 3):
        grid.open_levels(fraction)
        opened.append([round(value, 3) for value in grid.opened.tolist()])
    assert opened == [[1, 0, 0], [1, 0.5, 0], [1, 1, 0.5], [1, 1, 1], [1, 1, 1]]
    grid.open_levels(0.0)  # a fit from a prior with detail begins
    assert grid.opened.tolist() == [1, 1, 1]


def test_head_files_hold_the_detail(tmp_path: Path):
    field = rough(DETAILED.setup())
    assert field.detail is not None
    field.detail.open_levels(0.5)
    save_head(tmp_path / HEAD_FILE, Head(weights_of_field(field), {}))
    again = field_of_head(open_head(tmp_path / HEAD_FILE), tmp_path)
    assert again.config.detail.cells == again.config.colour_detail.cells == CELLS
    assert torch.equal(again.sdf(POINTS), field.sdf(POINTS))
    assert torch.equal(colours(again), colours(field))


def test_a_prior_with_detail_goes_on_as_it_is():
    start = rough(DETAILED.setup())
    field = replace(DETAILED, sdf=replace(SMALL.sdf, width=4 * SMALL.sdf.width)).setup()
    transfer(start, field)
    torch.testing.assert_close(field.sdf(POINTS), start.sdf(POINTS), rtol=1e-4, atol=1e-5)
    # The finest colours are another person's.
    assert field.colour_detail is not None and field.colour_detail.last.weight.abs().max() == 0.0
    same = DETAILED.setup()
    transfer(start, same)
    assert torch.equal(same.sdf(POINTS), start.sdf(POINTS))
    assert same.colour_detail is not None and same.colour_detail.last.weight.abs().max() == 0.0


def test_detail_counts_as_such_where_nothing_is_seen():
    held = AnchorSamples(POINTS, POINTS[:, 0], POINTS, torch.tensor(0.5), apart=0.1)
    near = held.nearby()
    assert 0.0 < (near - POINTS).abs().max() <= 0.1
    field = rough(DETAILED.setup())
    plain = SMALL.setup()
    plain.load_state_dict(field.state_dict(), strict=False)
    added, gradient = field.detail_with_gradient(near)
    torch.testing.assert_close(added, field.sdf(near) - plain.sdf(near), rtol=1e-3, atol=1e-5)
    loss = held.no_detail_loss(added, gradient)
    assert float(loss) == pytest.approx(0.5 * float(added.abs().mean() + gradient.square().sum(-1).mean()), rel=1e-5)
    loss.backward()
    assert field.detail is not None and field.detail.tables[0].grad is not None


def test_a_fit_learns_detail_resumes_and_is_a_prior(tiny_root: Path, prior_run, tmp_path: Path):
    """Levels that the photos cannot show are left out, of a resumed fit as well; a prior's own go on."""
    grids, networks = ("detail", "colour_detail"), "--pipeline.model.sdf-field"
    detail = [word for grid in ("detail", "colour-detail") for word in (f"{networks}.{grid}.cells", "4", "8", "512")]
    run = tmp_path / "t" / "baseh3d-fast" / "t"
    train("baseh3d-fast", tiny_root, tmp_path, "--epochs", 2, "--load-prior", prior_run.folder, *detail)
    head = open_head(run / HEAD_FILE)
    for grid in grids:
        assert head.weights[f"{grid}.cells"].tolist() == [4.0, 8.0]
        assert head.weights[f"{grid}.last.weight"].abs().max() > 0.0
    again = ["--epochs", 3, "--load-dir", run / "nerfstudio_models", "--load-prior", prior_run.folder]
    train("baseh3d-fast", tiny_root, tmp_path / "again", *again, *detail)
    train("baseh3d-fast", tiny_root, tmp_path / "prior", "--epochs", 1, "--load-prior", run)
    goes_on = open_head(tmp_path / "prior" / "t" / "baseh3d-fast" / "t")
    assert goes_on.weights["detail.cells"].tolist() == [4.0, 8.0] and goes_on.weights["detail.opened"].min() == 1.0


def test_detail_without_a_prior_is_refused(tiny_root: Path, tmp_path: Path):
    said = train("idr", tiny_root, tmp_path, "--pipeline.model.sdf-field.detail.cells", "8", fails=True)
    assert "idr has no prior, leave them out" in said


SIZES = [[], [3.0, 8, 16], [1e9, 8, 16], [-4.0, 8, 16], [4.5, 8, 16], 4.0, [[4.0, 8, 16]], [4.0] * 5000]
SHAPES = [{"detail.hidden.weight": torch.zeros(size)} for size in (24, (2, 3, 4))]


@pytest.mark.parametrize("damage", [{"detail.cells": torch.tensor(cells)} for cells in SIZES] + SHAPES)
def test_impossible_grids_in_a_file_are_refused(damage: dict[str, torch.Tensor]):
    weights = weights_of_field(DETAILED.setup()) | damage
    with pytest.raises(InputError, match="no networks of a head"):
        field_of_head(Head(weights, {}), Path("head.safetensors"))


def test_no_grid_is_finer_than_a_pixel_on_the_head(tiny_root: Path):
    parser = H3dsDataParserConfig(data=tiny_root, scene="scan0", views=("3",)).setup()
    cameras = parser.get_dataparser_outputs("train").cameras
    pixel = pixel_at_head(cameras)
    # The unit ball, 2 wide, fills the small photos about once.
    assert 0.5 < pixel * float(cameras.width[0]) / 2.0 < 2.0
    kept = cells_to_see((4, 8, 4096), pixel)
    assert kept == (4, 8)


@pytest.mark.parametrize(("cell_px", "kept", "in_colours"), [(1.2, 16, 16), (0.8, 4, 16), (0.4, 4, 4)])
def test_photos_that_are_made_smaller_show_fewer_levels(
    cell_px: float, kept: int, in_colours: int, tiny_root: Path, tmp_path
):
    """Of grids of 4 and of 16 cells, whose cells are so many pixels wide: colours have one up to half a pixel."""
    config = configured("baseh3d-fast", tiny_root, tmp_path)
    pixel = pixel_at_head(config.splits()[0].cameras)
    config.pipeline.datamanager.camera_res_scale_factor = cell_px * pixel / (2.0 / 16)
    grid = DetailGridConfig(cells=(4, 16))
    config.pipeline.model.sdf_field = replace(DETAILED, detail=grid, colour_detail=grid)
    networks = config.networks()
    assert (networks.detail.cells[-1], networks.colour_detail.cells[-1]) == (kept, in_colours)


class Brighter:
    """Views that show every colour brighter, from cameras that are where they were."""

    def rays(self, origins: torch.Tensor, directions: torch.Tensor, views: torch.Tensor):
        return origins, directions

    def colours(self, rgb: torch.Tensor, views: torch.Tensor):
        return rgb + 0.3


@pytest.fixture
def egg(tiny_root: Path) -> tuple[HeadField, RayPool]:
    """An untrained head, which is a ball, with detail of its colours, and rays of three photos."""
    torch.manual_seed(0)
    parser = H3dsDataParserConfig(data=tiny_root, scene="scan0", views=("3",)).setup()
    field = replace(DETAILED, detail=DetailGridConfig()).setup()
    return field, RayPool(HeadDataset(parser.get_dataparser_outputs("train")), "cpu", 256, one_view=False)


def brightness(field: HeadField, pool: RayPool) -> tuple[float, float]:
    """Mean brightness of the photos on the head, and of the head there."""
    hits = trace_frozen(field, pool, 4, 24)
    hits = hits[hits.hit]
    shown = field.colour(hits.points, hits.gradients, -hits.directions, hits.features).detach()
    return float(hits.colour.mean()), float(shown.mean())


def test_the_seen_surface_is_what_rays_in_the_masks_meet(egg: tuple[HeadField, RayPool]):
    """Behind the grid of 24 cells, 0.08 wide, stands one Newton step, except where the unit ball cuts the head."""
    field, pool = egg
    torch.manual_seed(0)
    every = trace_frozen(field, pool, 4, 24)
    torch.manual_seed(0)
    seen = trace_seen_surface(field, pool, 4, 24)
    assert seen.hit.all() and len(seen) == pytest.approx(int(every.hit.sum()), rel=0.02)
    inside = seen.points.norm(dim=1) < 0.99
    assert 0.5 < inside.float().mean() < 0.9
    assert field.sdf(seen.points[inside]).abs().quantile(0.9) < 2e-4
    assert seen.points.norm(dim=1).max() < 1.0 + 1e-4
    assert (seen.colour.mean(dim=0) - every.colour[every.hit].mean(dim=0)).abs().max() < 0.02


@pytest.mark.parametrize(("views", "steps", "batches"), [(1, 100, 10), (3, 100, 10), (12, 200, 20)])
def test_more_than_three_views_finish_their_colours_with_more_steps_and_rays(views, steps, batches, monkeypatch):
    learned = Mock()
    monkeypatch.setattr("baseh3d_ns.training.few_shot.learn_colours", learned)
    trainer = Mock(dataset=range(views))
    trainer.config.finish_colours = ColourConfig(steps=100, batches=10)
    FewShotTrainer.finish(trainer)
    config = learned.call_args.args[2]
    assert (config.steps, config.batches) == (steps, batches)


def test_a_sentence_comes_before_the_colours_that_a_viewer_waits_for(monkeypatch, capsys):
    before: list[str] = []
    learned = Mock(side_effect=lambda *args, **options: before.append(capsys.readouterr().out))
    monkeypatch.setattr("baseh3d_ns.training.few_shot.learn_colours", learned)
    trainer = Mock(dataset=range(3))
    for steps in (100, 0):
        trainer.config.finish_colours = ColourConfig(steps=steps, batches=10)
        FewShotTrainer.finish(trainer)
    assert len(before) == 1 and "Learning the colours on the finished surface" in before[0]
    assert not capsys.readouterr().out  # there are none to learn


def test_finishing_the_colours_moves_no_surface_and_undoes_what_views_add(egg: tuple[HeadField, RayPool]):
    field, pool = egg
    sdf = field.sdf(POINTS)
    few = ColourConfig(steps=150, batches=4, points=256, lr_final=0.1, unseen_weight=0.0)  # what is seen alone
    learn_colours(field, pool, few, 24, detail=True, corrections=Brighter())
    photos, head = brightness(field, pool)
    assert head == pytest.approx(photos - 0.3, abs=0.04)
    assert torch.equal(field.sdf(POINTS), sdf)
    assert field.colour_detail is not None and field.colour_detail.last.weight.abs().max() > 0.0
    assert field.colour_detail.opened.min() == 1.0


def test_without_detail_the_colours_grid_learns_nothing(egg: tuple[HeadField, RayPool]):
    field, pool = egg
    learn_colours(field, pool, ColourConfig(steps=2, batches=1), 24)
    assert field.colour_detail is not None and field.colour_detail.last.weight.abs().max() == 0.0


def test_colours_stay_where_the_masks_are_empty(egg: tuple[HeadField, RayPool]):
    field, pool = egg
    pool.rays.in_mask[:] = 0
    before = {name: weight.clone() for name, weight in field.state_dict().items()}
    learn_colours(field, pool, ColourConfig(steps=2, batches=1), 24, detail=True)
    assert all(torch.equal(weight, before[name]) for name, weight in field.state_dict().items())


def test_unseen_surface_lies_on_it_and_apart_from_what_is_seen(egg: tuple[HeadField, RayPool]):
    field, pool = egg
    seen = trace_frozen(field, pool, 4, 24)
    points = unseen_surface(field, seen.points[seen.hit], 2000, 24, apart=0.1)
    assert len(points) > 100 and field.sdf(points).abs().quantile(0.9) < 1e-2
    assert torch.cdist(points, seen.points[seen.hit]).min() >= 0.1


def test_colours_stay_the_networks_where_no_photo_sees(egg: tuple[HeadField, RayPool], monkeypatch):
    """Rows of a hashed table are shared with what is seen; here all levels are."""
    field, pool = egg
    seen = trace_frozen(field, pool, 4, 24)
    unseen = unseen_surface(field, seen.points[seen.hit], 2000, 24, apart=0.1)

    def shining_through(weight: float) -> float:
        torch.manual_seed(0)
        monkeypatch.setattr("baseh3d_ns.fields.detail_grid.TABLE_ROWS", 64)
        again = replace(field.config, colour_detail=DetailGridConfig(cells=(16,))).setup()
        again.load_state_dict({n: v for n, v in field.state_dict().items() if "detail" not in n}, strict=False)
        few = ColourConfig(steps=60, batches=4, points=256, unseen_weight=weight)
        learn_colours(again, pool, few, 24, detail=True)
        assert again.colour_detail is not None
        return float(again.colour_detail(unseen).abs().mean())

    held = shining_through(10.0)
    monkeypatch.setattr("baseh3d_ns.warm_start.colours.unseen_surface", None)  # not even asked for with a weight of 0
    assert held < 0.5 * shining_through(0.0)
