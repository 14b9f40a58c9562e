"""Photos held against each other: what they show of a point, what hides it, and which way disagreement moves it."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from nerfstudio.engine.callbacks import TrainingCallbackAttributes
from test_heads import SMALL
from test_view_corrections import set_to
from tiny_root import SEMI_AXES_MM, UNIT_RADIUS_MM, write_root
from torch import Tensor
from torch.nn.functional import normalize

from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.data.h3ds_dataparser import H3dsDataParserConfig
from baseh3d_ns.data.ray_pool import RayPool
from baseh3d_ns.models.idr import IdrModelConfig
from baseh3d_ns.models.photo_consistency import FINE_FROM, PITCHES_MM, Photos, hidden
from baseh3d_ns.models.view_corrections import ViewCorrections
from baseh3d_ns.training.plateau import SETTLED

AXES = torch.tensor(SEMI_AXES_MM / UNIT_RADIUS_MM).float()


def photos_of(root: Path, views: str = "3") -> HeadDataset:
    parser = H3dsDataParserConfig(data=root, scene="scan0", views=(views,)).setup()
    return HeadDataset(parser.get_dataparser_outputs("train"))


@pytest.fixture
def dataset(tiny_root: Path) -> HeadDataset:
    return photos_of(tiny_root)


def egg(points: Tensor) -> Tensor:
    """First-order distance of the head of `tiny_root`."""
    x = points / AXES
    length = x.norm(dim=-1).clamp(min=1e-6)
    return length * (length - 1.0) / (x / AXES).norm(dim=-1).clamp(min=1e-6)


def surface(photos: Photos, views: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
    """Points of the egg that lie between its middle and places beside the way to a camera, and normals."""
    towards = normalize(normalize(photos.centres[views], dim=-1) + at, dim=-1)
    points = towards / (towards / AXES).norm(dim=-1, keepdim=True)
    return points, normalize(points / AXES**2, dim=-1)


@pytest.mark.parametrize(("corrected", "skew"), [(False, 0.0), (True, 0.0), (False, 6.0)])
def test_a_photo_shows_a_point_where_its_ray_passes(tmp_path: Path, corrected: bool, skew: float):
    """Pixels' own grey comes back from points anywhere on their rays, also on those of corrected cameras."""
    dataset = photos_of(write_root(tmp_path, skew=skew))
    photos, pool = Photos.of(dataset, "cpu", 1.3), RayPool(dataset, "cpu", 200, one_view=False)
    bundle, batch = pool.draw()
    views = bundle.camera_indices[:, 0]
    origins, directions, corrections = bundle.origins, bundle.directions, None
    if corrected:
        metadata = dataset.metadata
        corrections = ViewCorrections(metadata["camera_axes"], metadata["camera_centres"])
        set_to(corrections, pose=2.0 * torch.randn(3, 6), focal=torch.tensor([3.0, -2.0, 1.0]))
        origins, directions = corrections.rays(origins, directions, views)
    points = origins + (2.0 + torch.rand(200, 1)) * directions
    shown = photos.show(points[:, None], views[:, None], corrections)[:, 0, 0]
    grey = batch["image"] @ torch.tensor([0.299, 0.587, 0.114])
    torch.testing.assert_close(shown[:, 0], grey, atol=3e-3, rtol=0.0)
    torch.testing.assert_close(shown[:, 1], batch["fg_mask"][:, 0], atol=1e-3, rtol=0.0)


def test_another_head_in_the_way_hides_a_point():
    def two_balls(points: Tensor) -> Tensor:
        second = points - torch.tensor([0.0, 0.0, 0.55])
        return torch.minimum(points.norm(dim=-1) - 0.3, second.norm(dim=-1) - 0.1)

    points = torch.tensor([[0.0, 0.0, 0.3], [0.3, 0.0, 0.0]])
    towards = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]).expand(2, 2, 3)
    assert hidden(two_balls, points, towards).tolist() == [[True, False], [False, False]]


def with_texture(photos: Photos) -> Photos:
    """The same cameras; photos of an egg with a pattern in space on it."""
    size = 240
    pixel = (torch.arange(size) + 0.5) / size
    v, u = torch.meshgrid(pixel, pixel, indexing="ij")
    pictures = []
    for view in range(3):
        flat = (torch.stack([u, v], dim=-1) - photos.middle[view]) / photos.focal[view]
        outwards = torch.linalg.inv(photos.inwards[view])
        rays = normalize(torch.cat([flat, torch.ones(size, size, 1)], dim=-1) @ outwards, dim=-1)
        t = torch.full((size, size, 1), 2.0)
        for _ in range(40):
            t = t + egg(photos.centres[view] + t * rays)[..., None].clamp(-0.2, 0.2)
        point = photos.centres[view] + t * rays
        pattern = 0.5 + 0.2 * (torch.sin(23.0 * point[..., 0]) + torch.sin(31.0 * point[..., 1] + 17.0 * point[..., 2]))
        # Another exposure in every view.
        pictures.append(torch.stack([0.3 * view + (1.0 - 0.2 * view) * pattern, egg(point).abs() < 0.01]))
    return replace(photos, pictures=torch.stack(pictures, dim=1)[None])


def test_photos_agree_on_the_surface_and_say_which_way_it_lies(dataset: HeadDataset):
    torch.manual_seed(0)
    photos = with_texture(Photos.of(dataset, "cpu", 1.3))
    views = torch.randint(3, (300,))
    points, normals = surface(photos, views, 0.25 * torch.randn(300, 3))
    values, slopes = [], []
    for moved_mm in (-3.0, 0.0, 3.0):
        along = torch.tensor(moved_mm / UNIT_RADIUS_MM, requires_grad=True)
        towards = normalize(photos.centres[views] - points, dim=-1)
        value = photos.disagreement(points + along * towards, 7.0 * normals, views, egg)
        values.append(float(value.detach()))
        slopes.append(float(torch.autograd.grad(value, along)[0]))
    assert values[1] < 0.3 * min(values[0], values[2])
    assert slopes[0] < 0.0 < slopes[2]


def test_points_that_one_photo_sees_have_nothing_to_agree_on(dataset: HeadDataset):
    photos = with_texture(Photos.of(dataset, "cpu", 1.3))
    views = torch.arange(3).repeat(20)
    points, normals = surface(photos, views, 0.25 * torch.randn(60, 3))
    wrong = points * 1.03, normals, views

    def everywhere(points: Tensor) -> Tensor:
        return torch.full(points.shape[:-1], -1.0)

    assert photos.disagreement(*wrong, egg) > 0.01
    assert photos.disagreement(*wrong, everywhere) == 0.0  # hidden
    assert photos.disagreement(points * 1.03, -normals, views, egg) == 0.0  # turned away
    assert photos.disagreement(torch.zeros(0, 3), torch.zeros(0, 3), torch.zeros(0).long(), egg) == 0.0


@pytest.mark.parametrize(("views", "weight", "held"), [("3", 0.3, True), ("3", 0.0, False), ("1", 0.3, False)])
def test_the_model_holds_photos_against_each_other(tiny_root: Path, views: str, weight: float, held: bool):
    dataset = photos_of(tiny_root, views)
    config = IdrModelConfig(sdf_field=SMALL, tracer="grid", photo_weight=weight)
    model = config.setup(scene_box=None, num_train_data=len(dataset), metadata=dataset.metadata)
    model.get_training_callbacks(TrainingCallbackAttributes(None, None, None, SimpleNamespace(dataset=dataset)))
    bundle, batch = RayPool(dataset, "cpu", 2000, one_view=False).draw()
    losses = model.get_loss_dict(model.get_outputs(bundle), batch)
    assert ("photos" in losses) == held
    assert not held or losses["photos"] > 0.0


def test_patches_become_smaller(dataset: HeadDataset, monkeypatch: pytest.MonkeyPatch):
    config = IdrModelConfig(sdf_field=SMALL, tracer="grid", photo_weight=0.3)
    model = config.setup(scene_box=None, num_train_data=len(dataset), metadata=dataset.metadata)
    model.get_training_callbacks(TrainingCallbackAttributes(None, None, None, SimpleNamespace(dataset=dataset)))
    used_mm = []

    def disagreement(self: Photos, points: Tensor, *_) -> Tensor:
        used_mm.append(self.pitch * UNIT_RADIUS_MM)
        return points.sum()

    monkeypatch.setattr(Photos, "disagreement", disagreement)
    for model.progress in (0.0, FINE_FROM - 0.01, FINE_FROM, 1.0):
        model.get_outputs(RayPool(dataset, "cpu", 200, one_view=False).draw()[0])
    assert used_mm == pytest.approx([PITCHES_MM[0]] * 2 + [PITCHES_MM[1]] * 2)
    assert PITCHES_MM[1] < PITCHES_MM[0] and FINE_FROM <= SETTLED
