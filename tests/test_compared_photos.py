"""Grey values that photo consistency compares: their noise, their shading, when they keep it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny_root import SCENE, UNIT_RADIUS_MM

from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.data.h3ds_dataparser import H3dsDataParserConfig
from baseh3d_ns.models.compared_photos import noise_level, without_shading
from baseh3d_ns.models.photo_consistency import PhotoConfig, Photos

CONFIG = PhotoConfig()
SPACING_MM = 1.3
SIZE = 96
DOWN, RIGHT = np.mgrid[:SIZE, :SIZE] / SIZE
DISC = (np.hypot(DOWN - 0.5, RIGHT - 0.5) < 0.35).astype(np.float32)
WELL_INSIDE = np.hypot(DOWN - 0.5, RIGHT - 0.5) < 0.25
SHADING = 0.4 + 0.3 * DOWN - 0.2 * RIGHT**2


def picture(grey: np.ndarray) -> np.ndarray:
    return np.stack([grey, DISC]).astype(np.float32)


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.floats(0.002, 0.05))
def test_noise_is_measured_whatever_the_shading_and_the_background(seed: int, deviation: float):
    noise = deviation * np.random.default_rng(seed).normal(size=(2, SIZE, SIZE))
    measured = noise_level(np.stack([picture(np.where(DISC > 0.0, SHADING + each, 1.0)) for each in noise]))
    assert measured == pytest.approx(deviation, rel=0.15)


def test_where_no_head_is_seen_there_is_no_noise():
    assert noise_level(np.zeros((2, 2, 20, 20), np.float32)) == 0.0


@pytest.mark.parametrize("background", [0.0, 1.0])
def test_shading_goes_and_a_spot_stays(background: float):
    spot = -0.2 * np.exp(-((DOWN - 0.5) ** 2 + (RIGHT - 0.5) ** 2) * SIZE**2 / 2.0)
    grey = np.where(DISC > 0.0, SHADING, background)
    plain, mask = without_shading(picture(grey), sigma_px=4.0)
    spotted, _ = without_shading(picture(grey + spot), sigma_px=4.0)
    assert np.array_equal(mask, DISC)
    assert np.abs(plain[WELL_INSIDE]).max() < 0.01 < 0.1 * np.ptp(SHADING[WELL_INSIDE])
    # Near the silhouette, too, background is not taken for shading.
    assert np.abs(plain[DISC > 0.0]).max() < 0.03
    assert (spotted - plain).min() < 0.8 * spot.min()


def read(root: Path, high_pass: float, config: PhotoConfig = CONFIG) -> Photos:
    parser = H3dsDataParserConfig(data=root, scene="scan0", views=("3",)).setup()
    return Photos.read(HeadDataset(parser.get_dataparser_outputs("train")), "cpu", SPACING_MM, config, high_pass)


def mean_grey(photos: Photos) -> float:
    grey, mask = photos.pictures[0]
    return float(grey[mask > 0.99].mean())


def test_the_blur_is_as_wide_as_it_says(tiny_root: Path):
    pictures = read(tiny_root, 0.0).pictures[0].transpose(0, 1).numpy()
    less_blur = read(tiny_root, 3.0)
    pixels_mm = UNIT_RADIUS_MM * less_blur.centres.norm(dim=1) / (less_blur.focal[:, 0] * pictures.shape[-1])
    expected = [without_shading(*each) for each in zip(pictures, (3.0 * SPACING_MM / pixels_mm).tolist(), strict=True)]
    np.testing.assert_allclose(less_blur.pictures[0].transpose(0, 1), np.stack(expected), atol=1e-5)


def test_noisy_photos_keep_their_shading(own_root: Path):
    """And the noise level that goes with it."""
    clean, as_it_is = read(own_root, 2.0), read(own_root, 0.0)
    assert clean.noise == CONFIG.noise and mean_grey(clean) == pytest.approx(0.0, abs=0.01)
    assert as_it_is.noise == CONFIG.shading_noise and mean_grey(as_it_is) > 0.3
    rng = np.random.default_rng(0)
    for path in (own_root / SCENE / "image").iterdir():
        photo = np.asarray(Image.open(path))
        Image.fromarray((photo + rng.normal(0.0, 20.0, photo.shape)).clip(0, 255).astype(np.uint8)).save(path)
    noisy, anyway = read(own_root, 2.0), read(own_root, 2.0, PhotoConfig(shading_noise=1.0))
    assert noisy.noise == CONFIG.shading_noise and mean_grey(noisy) > 0.3
    assert anyway.noise == CONFIG.noise and mean_grey(anyway) == pytest.approx(0.0, abs=0.01)
