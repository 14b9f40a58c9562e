"""Photo consistency: what photos show of a point, what occludes it, which way the loss moves it, how NCC behaves."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nerfstudio.engine.callbacks import TrainingCallbackAttributes, TrainingCallbackLocation
from tiny_heads import EGG_AXES, SMALL, egg, set_to
from tiny_root import UNIT_RADIUS_MM, write_root
from torch import Tensor
from torch.nn.functional import normalize

from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.data.h3ds_dataparser import H3dsDataParserConfig
from baseh3d_ns.data.ray_pool import RayPool
from baseh3d_ns.models.compared_photos import without_shading
from baseh3d_ns.models.idr import IdrModelConfig
from baseh3d_ns.models.photo_consistency import PhotoConfig, Photos, normalised_cross_correlation, occluded
from baseh3d_ns.models.view_corrections import ViewCorrections

CONFIG = PhotoConfig()
NOISE = CONFIG.noise


def photos_of(root: Path, views: str = "3") -> HeadDataset:
    parser = H3dsDataParserConfig(data=root, scene="scan0", views=(views,)).setup()
    return HeadDataset(parser.get_dataparser_outputs("train"))


@pytest.fixture
def dataset(tiny_root: Path) -> HeadDataset:
    return photos_of(tiny_root)


def surface(photos: Photos, views: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
    """Points of the egg that lie between its middle and places beside the way to a camera, and normals."""
    towards = normalize(normalize(photos.centres[views], dim=-1) + at, dim=-1)
    points = towards / (towards / EGG_AXES).norm(dim=-1, keepdim=True)
    return points, normalize(points / EGG_AXES**2, dim=-1)


@pytest.mark.parametrize(("corrected", "skew"), [(False, 0.0), (True, 0.0), (False, 6.0)])
def test_a_photo_shows_a_point_where_its_ray_passes(tmp_path: Path, corrected: bool, skew: float):
    """Pixels' own grey comes back from points anywhere on their rays, also on those of corrected cameras."""
    dataset = photos_of(write_root(tmp_path, skew=skew))
    photos, pool = Photos.read(dataset, "cpu", 1.3, CONFIG), RayPool(dataset, "cpu", 200, one_view=False)
    bundle, batch = pool.draw()
    views = bundle.camera_indices[:, 0]
    origins, directions, corrections = bundle.origins, bundle.directions, None
    if corrected:
        metadata = dataset.metadata
        corrections = ViewCorrections(metadata["camera_axes"], metadata["camera_centres"])
        set_to(corrections, pose=2.0 * torch.randn(3, 6), focal=torch.tensor([3.0, -2.0, 1.0]))
        origins, directions = corrections.rays(origins, directions, views)
    points = origins + (2.0 + torch.rand(200, 1)) * directions
    shown = photos.sample(points[:, None], views[:, None], corrections)[:, 0, 0]
    grey = batch["image"] @ torch.tensor([0.299, 0.587, 0.114])
    torch.testing.assert_close(shown[:, 0], grey, atol=3e-3, rtol=0.0)
    torch.testing.assert_close(shown[:, 1], batch["fg_mask"][:, 0], atol=1e-3, rtol=0.0)


def test_another_head_in_the_way_occludes_a_point():
    def two_balls(points: Tensor) -> Tensor:
        second = points - torch.tensor([0.0, 0.0, 0.55])
        return torch.minimum(points.norm(dim=-1) - 0.3, second.norm(dim=-1) - 0.1)

    points = torch.tensor([[0.0, 0.0, 0.3], [0.3, 0.0, 0.0]])
    towards = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]).expand(2, 2, 3)
    assert occluded(two_balls, points, towards, CONFIG).tolist() == [[True, False], [False, False]]


LIGHT = normalize(torch.tensor([0.3, 0.5, 1.0]), dim=-1)


def with_texture(photos: Photos, fineness: float = 1.0, gloss: float = 0.0) -> Photos:
    """The same cameras; photos of an egg with a pattern in space on it, and a highlight (Blinn and Phong)."""
    size = 240
    pixel = (torch.arange(size) + 0.5) / size
    v, u = torch.meshgrid(pixel, pixel, indexing="ij")
    pictures = []
    for view in range(3):
        flat = (torch.stack([u, v], dim=-1) - photos.principal_point[view]) / photos.focal[view]
        outwards = torch.linalg.inv(photos.world_to_camera[view])
        rays = normalize(torch.cat([flat, torch.ones(size, size, 1)], dim=-1) @ outwards, dim=-1)
        t = torch.full((size, size, 1), 2.0)
        for _ in range(40):
            t = t + egg(photos.centres[view] + t * rays)[..., None].clamp(-0.2, 0.2)
        point = photos.centres[view] + t * rays
        x, y, z = (fineness * point).unbind(dim=-1)
        pattern = 0.5 + 0.2 * (torch.sin(23.0 * x) + torch.sin(31.0 * y + 17.0 * z))
        halfway = normalize(LIGHT - rays, dim=-1)
        pattern = pattern + gloss * (normalize(point / EGG_AXES**2, dim=-1) * halfway).sum(-1).clamp(min=0.0) ** 20
        # Another exposure in every view.
        pictures.append(torch.stack([0.3 * view + (1.0 - 0.2 * view) * pattern, egg(point).abs() < 0.01]))
    return replace(photos, pictures=torch.stack(pictures, dim=1)[None])


def test_photos_agree_on_the_surface_and_say_which_way_it_lies(dataset: HeadDataset):
    torch.manual_seed(0)
    photos = with_texture(Photos.read(dataset, "cpu", 1.3, CONFIG))
    views = torch.randint(3, (300,))
    points, normals = surface(photos, views, 0.25 * torch.randn(300, 3))
    values, slopes = [], []
    for moved_mm in (-3.0, 0.0, 3.0):
        along = torch.tensor(moved_mm / UNIT_RADIUS_MM, requires_grad=True)
        towards = normalize(photos.centres[views] - points, dim=-1)
        value = photos.ncc_loss(points + along * towards, 7.0 * normals, views, egg)
        values.append(float(value.detach()))
        slopes.append(float(torch.autograd.grad(value, along)[0]))
    assert values[1] < 0.3 * min(values[0], values[2])
    assert slopes[0] < 0.0 < slopes[2]


def test_photos_agree_on_a_glossy_surface_without_their_shading(dataset: HeadDataset):
    glossy = with_texture(Photos.read(dataset, "cpu", 1.3, CONFIG), fineness=3.0, gloss=4.0)
    pictures = [without_shading(each, sigma_px=4.0) for each in glossy.pictures[0].transpose(0, 1).numpy()]
    without = replace(glossy, pictures=torch.from_numpy(np.stack(pictures, axis=1))[None])
    views = torch.arange(3).repeat(200)
    points, normals = surface(glossy, views, 0.25 * torch.randn(600, 3, generator=torch.Generator().manual_seed(0)))
    losses = []
    for photos in (glossy, without):
        torch.manual_seed(0)  # the same views are compared
        losses.append(float(photos.ncc_loss(points, normals, views, egg)))
    assert 0.0 < losses[1] < 0.3 * losses[0]


def test_points_that_one_photo_sees_have_nothing_to_agree_on(dataset: HeadDataset):
    photos = with_texture(Photos.read(dataset, "cpu", 1.3, CONFIG))
    views = torch.arange(3).repeat(20)
    points, normals = surface(photos, views, 0.25 * torch.randn(60, 3))
    wrong = points * 1.03, normals, views

    def everywhere(points: Tensor) -> Tensor:
        return torch.full(points.shape[:-1], -1.0)

    assert photos.ncc_loss(*wrong, egg) > 0.01
    assert photos.ncc_loss(*wrong, everywhere) == 0.0  # occluded
    assert photos.ncc_loss(points * 1.03, -normals, views, egg) == 0.0  # turned away
    assert photos.ncc_loss(torch.zeros(0, 3), torch.zeros(0, 3), torch.zeros(0).long(), egg) == 0.0


def photo_loss(dataset: HeadDataset, progress: float, **options: object) -> float | None:
    """Loss of one batch on an untrained head after that fraction of the training, always of the same rays."""
    torch.manual_seed(0)
    config = IdrModelConfig(sdf_field=SMALL, tracer="grid", grid_cells=24, photos=PhotoConfig(**options))
    model = config.setup(scene_box=None, num_train_data=len(dataset), metadata=dataset.metadata)
    pool = RayPool(dataset, "cpu", 2000, one_view=False)
    manager = SimpleNamespace(train_dataset=dataset, ray_pool=pool)
    pipeline = SimpleNamespace(datamanager=manager, schedule=SimpleNamespace(progress=lambda step: progress))
    for callback in model.get_training_callbacks(TrainingCallbackAttributes(None, None, pipeline, None)):
        callback.run_callback_at_location(0, TrainingCallbackLocation.BEFORE_TRAIN_ITERATION)
    bundle, batch = pool.draw()
    loss = model.get_loss_dict(model.get_outputs(bundle), batch).get("photos")
    return None if loss is None else float(loss)


@pytest.mark.parametrize(("views", "weight", "compared"), [("3", 0.3, True), ("3", 0.0, False), ("1", 0.3, False)])
def test_the_model_compares_photos(tiny_root: Path, views: str, weight: float, compared: bool):
    loss = photo_loss(photos_of(tiny_root, views), 0.0, weight=weight)
    assert (loss is not None) == compared
    assert not compared or loss > 0.0


def test_patches_become_smaller(dataset: HeadDataset):
    def loss(progress: float, *spacings_mm: float) -> float | None:
        return photo_loss(dataset, progress, weight=0.3, small_from=0.4, spacings_mm=spacings_mm)

    early, late = loss(0.39, 1.3, 0.8), loss(0.4, 1.3, 0.8)
    assert early == loss(0.0, 1.3, 1.3) and late == loss(1.0, 0.8, 0.8) and early != late


def test_small_patches_are_compared_without_shading(dataset: HeadDataset):
    def loss(progress: float, high_pass: tuple[float, float]) -> float | None:
        return photo_loss(dataset, progress, weight=0.3, high_pass=high_pass)

    assert PhotoConfig().high_pass[0] == 0.0 < PhotoConfig().high_pass[1]
    assert loss(0.0, (0.0, 2.0)) == loss(0.0, (0.0, 0.0)) != loss(0.0, (2.0, 0.0))
    assert loss(1.0, (2.0, 0.0)) == loss(1.0, (0.0, 0.0)) != loss(1.0, (0.0, 2.0))


SEEDS, GAINS, OFFSETS = st.integers(0, 2**32), st.floats(0.3, 3.0), st.floats(-0.5, 0.5)


def grey_patches(seed: int) -> Tensor:
    """[2, 5, 49] grey values: five patches in each of two photos."""
    return torch.rand(2, 5, 49, generator=torch.Generator().manual_seed(seed))


@given(SEEDS, GAINS, OFFSETS)
def test_ncc_ignores_gain_and_offset(seed: int, gain: float, offset: float):
    one, other = grey_patches(seed)
    plain = normalised_cross_correlation(one, other, noise=0.0)
    torch.testing.assert_close(normalised_cross_correlation(gain * one + offset, other, 0.0), plain, rtol=0, atol=1e-4)
    torch.testing.assert_close(normalised_cross_correlation(one, gain * other + offset, 0.0), plain, rtol=0, atol=1e-4)
    same = normalised_cross_correlation(one, gain * one + offset, noise=0.0)
    torch.testing.assert_close(same, torch.ones(5), rtol=0, atol=1e-4)
    torch.testing.assert_close(normalised_cross_correlation(one, -one, 0.0), -torch.ones(5), rtol=0, atol=1e-4)


@given(SEEDS)
def test_ncc_is_symmetric_bounded_and_small_without_texture(seed: int):
    one, other = grey_patches(seed)
    ncc = normalised_cross_correlation(one, other, NOISE)
    assert (ncc.abs() <= 1.0).all()
    torch.testing.assert_close(ncc, normalised_cross_correlation(other, one, NOISE))
    faint = 0.01 * NOISE * one
    assert normalised_cross_correlation(faint, faint, NOISE).abs().max() < 1e-3


@pytest.fixture(scope="module")
def textured(tiny_root: Path) -> Photos:
    """Textured photos; a noise level that does not show beside their contrast."""
    return replace(with_texture(Photos.read(photos_of(tiny_root), "cpu", 1.3, CONFIG)), noise=1e-6)


@settings(max_examples=20)
@given(SEEDS, GAINS, OFFSETS)
def test_the_loss_ignores_the_exposure_of_a_photo(textured: Photos, seed: int, gain: float, offset: float):
    photos = textured
    views = torch.arange(3).repeat(20)
    points, normals = surface(photos, views, 0.25 * torch.randn(60, 3, generator=torch.Generator().manual_seed(seed)))
    pictures = photos.pictures.clone()
    pictures[0, 0, seed % 3] = gain * pictures[0, 0, seed % 3] + offset
    losses = []
    for exposed in (photos, replace(photos, pictures=pictures)):
        torch.manual_seed(seed % 2**31)  # the same views are compared
        losses.append(float(exposed.ncc_loss(1.05 * points, normals, views, egg)))
    assert losses[0] == pytest.approx(losses[1], abs=2e-3) and losses[0] > 0.0
