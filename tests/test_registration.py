"""A prior is placed where the new head is: the similarity's algebra, silhouettes, faces."""

from pathlib import Path

import numpy as np
import pytest
import torch
from processes import checkpoint
from scipy.spatial.transform import Rotation
from test_heads import POINTS, SMALL
from tiny_root import CENTRE_MM, SEMI_AXES_MM, UNIT_RADIUS_MM

from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.data.h3ds_dataparser import H3dsDataParserConfig
from baseh3d_ns.data.ray_pool import RayPool
from baseh3d_ns.fields.head_field import HeadField
from baseh3d_ns.fields.placement import Placement
from baseh3d_ns.frames import HEAD_FRAME, SceneFrame
from baseh3d_ns.heads.head_file import PLACEMENT
from baseh3d_ns.heads.readers import open_head
from baseh3d_ns.placing.candidate import Candidate, min_sdf_along
from baseh3d_ns.placing.config import PlacingConfig
from baseh3d_ns.placing.registration import Registration, register_prior
from baseh3d_ns.rendering.sdf_grid import GridTracer


def placement(scale: float, rotation_vector: list[float], shift: list[float]) -> Placement:
    placed = Placement()
    with torch.no_grad():
        placed.similarity.copy_(torch.tensor([np.log(scale), *rotation_vector, *shift]))
    return placed


def test_a_placement_is_a_similarity():
    placed = placement(1.2, [0.1, -0.4, 0.3], [0.05, 0.02, -0.1])
    turn = torch.from_numpy(Rotation.from_rotvec([0.1, -0.4, 0.3]).as_matrix()).float()
    torch.testing.assert_close(placed.points(POINTS), 1.2 * POINTS @ turn.T + torch.tensor([0.05, 0.02, -0.1]))
    torch.testing.assert_close(placed.directions(POINTS), POINTS @ turn.T)


def test_follow_is_one_after_the_other():
    first, then = placement(0.8, [0.2, 0.1, -0.3], [0.1, 0.0, 0.2]), placement(1.3, [-0.5, 0.4, 0.2], [0.0, 0.3, -0.1])
    expected = then.points(first.points(POINTS))
    then.follow(first)
    torch.testing.assert_close(then.points(POINTS), expected, rtol=1e-5, atol=1e-6)


def test_a_placed_field_keeps_distances_gradients_and_colours():
    """The same head in another unit frame: distances shrink with the scale, gradients and views turn."""
    torch.manual_seed(0)
    field, there = SMALL.setup(), placement(1.25, [0.3, -0.2, 0.5], [0.05, -0.1, 0.08])
    views = torch.nn.functional.normalize(torch.randn(len(POINTS), 3), dim=-1)
    distance, features, gradient = field.with_gradient(there.points(POINTS), create_graph=False)
    colour = field.colour(there.points(POINTS), gradient, there.directions(views), features)
    field.placement.follow(there)
    placed_distance, placed_features, placed_gradient = field.with_gradient(POINTS, create_graph=False)
    torch.testing.assert_close(placed_distance, distance / 1.25, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(there.directions(placed_gradient), gradient, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(
        field.colour(POINTS, placed_gradient, views, placed_features), colour, rtol=1e-3, atol=1e-4
    )


class EllipsoidField(HeadField):
    """The head of `tiny_root`, exactly, where the prior's frame is not the data's."""

    def __init__(self, to_data: Placement) -> None:
        super().__init__(SMALL)
        self.to_data = to_data

    def _distance_and_features(self, inner, latent):
        """First-order distance of an ellipsoid in the prior's frame; `to_data` maps it to the data's unit frame."""
        axes = torch.tensor(SEMI_AXES_MM / UNIT_RADIUS_MM).float()
        x = self.to_data.points(inner) / axes
        length = x.norm(dim=-1).clamp(min=1e-6)
        value = length * (length - 1.0) / (x / axes).norm(dim=-1).clamp(min=1e-6)
        return value / self.to_data.scale / self.placement.scale, torch.zeros(len(inner), 8)


@pytest.mark.parametrize(
    ("scale", "turn_deg", "shift_mm"),
    [(1.3, [0, 0, 15], [0, 0, 0]), (0.7, [10, 0, 5], [20, -15, 15]), (1.0, [0, 0, 0], [0, 30, 0])],
)
def test_a_prior_30_percent_30_mm_and_15_degrees_off_finds_the_head(tiny_root: Path, scale, turn_deg, shift_mm):
    torch.manual_seed(0)
    parser = H3dsDataParserConfig(data=tiny_root, scene="scan0", views=("all",)).setup()
    dataset = HeadDataset(parser.get_dataparser_outputs("train"))
    off = placement(scale, list(np.radians(turn_deg)), [mm / UNIT_RADIUS_MM for mm in shift_mm])
    field = EllipsoidField(off)
    # The prior's own unit ball is `scale` times as large in millimetres.
    prior_frame = SceneFrame(centre_mm=tuple(CENTRE_MM.tolist()), radius_mm=UNIT_RADIUS_MM * scale)
    result = register_prior(field, prior_frame, dataset, RayPool(dataset, "cpu", 64, one_view=True), PlacingConfig())
    assert result.iou_after > 0.93 and result.iou_after > result.iou_before
    corners_mm = torch.tensor([[sx, sy, sz] for sx in (-1, 1) for sy in (-1, 1) for sz in (-1, 1)]) * 50.0
    before, after = (
        (off.points(p) * UNIT_RADIUS_MM - corners_mm).norm(dim=-1).max()
        for p in (corners_mm / UNIT_RADIUS_MM, field.placement.points(corners_mm / UNIT_RADIUS_MM))
    )
    # An egg of 48 pixels says little about its turn, so what is likely pulls it back.
    assert after < 20.0 and after < 0.6 * before


def candidate(upright: bool = False) -> Candidate:
    """The egg where it is, as a prior."""
    grid, field, no_latent = GridTracer(32), EllipsoidField(Placement()), torch.zeros(0)
    found = Candidate(PlacingConfig(), field, grid, Placement(), None, no_latent, Placement(), upright)
    found.refresh()
    return found


def test_below_the_chin_silhouettes_count_only_of_priors_in_no_standard_frame():
    """Where a bust ends had pulled whole heads narrow."""
    neck = HEAD_FRAME.to_unit(np.array([0.0, PlacingConfig().neck_mm, 0.0]))[1]
    heights = float(neck) + torch.tensor([-0.1, 0.1])
    origins = torch.stack([torch.zeros(2), heights, torch.full((2,), 2.0)], dim=1)
    ahead = torch.tensor([[0.0, 0.0, -1.0]]).expand(2, 3)
    for standing, counted in ((True, [False, True]), (False, [True, True])):
        assert min_sdf_along(candidate(upright=standing), origins, ahead)[1].tolist() == counted


def test_a_poor_agreement_is_said():
    assert "check that the masks are white" in Registration(0.4, 0.5, 0.6).summary(3)
    assert Registration(0.4, 0.8, 0.6).warnings == ()


def test_a_poor_prior_is_leant_on_less():
    trusts = [Registration(0.4, iou, 0.6).confidence for iou in (0.2, 0.4, 0.5, 0.7)]
    assert trusts[0] == 0.0 and 0.0 < trusts[1] < trusts[2] < 1.0 and trusts[3] == 1.0


def test_a_fit_says_how_the_prior_was_placed_and_keeps_it(fit_run):
    kept = torch.load(checkpoint(fit_run), weights_only=True)["pipeline"]["_model.field.placement.similarity"]
    assert kept.abs().max() > 1e-4
    assert torch.equal(open_head(fit_run.config).weights[PLACEMENT], kept)


def test_leaning_is_less_likely_than_looking_aside():
    def cost(turn_deg, standing=True, expected=(0.0, 0.0, 0.0)):
        found = candidate(standing)
        found.expected = placement(1.0, list(np.radians(expected)), [0.0] * 3)
        turn = Rotation.from_rotvec(turn_deg, degrees=True) * Rotation.from_rotvec(expected, degrees=True)
        found.placement = placement(1.0, list(turn.as_rotvec()), [0.0] * 3)
        return found.pose_penalty().item()

    assert cost((10, 0, 0)) == pytest.approx(np.sin(np.radians(10)) ** 2, rel=1e-3)
    assert cost((0, 0, 10)) == pytest.approx(10 * cost((0, 10, 0)), rel=1e-3)
    assert cost((0, 10, 0), standing=False) == pytest.approx(cost((10, 0, 0)), rel=1e-3)
    # From where the photos said that it stands, in a world of any axes.
    assert cost((10, 0, 0), expected=(0, 178, 0)) == pytest.approx(cost((10, 0, 0)), rel=1e-3)
