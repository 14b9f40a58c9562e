"""Rays, projection and decomposition of a pinhole camera agree with each other."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from baseh3d_ns.cameras import Pinhole, decompose

vectors = arrays(np.float64, 3, elements=st.floats(-3.0, 3.0))
translations_mm = arrays(np.float64, 3, elements=st.floats(-800.0, 800.0))
pixels = arrays(np.float64, (5, 2), elements=st.floats(-100.0, 700.0))


@st.composite
def cameras(draw: st.DrawFn) -> Pinhole:
    """Any place and direction, an off-centre principal point, skew, pixels that are not square."""
    focal = st.floats(300.0, 2000.0)
    centre = st.floats(100.0, 500.0)
    intrinsics = np.array(
        [[draw(focal), draw(st.floats(-5.0, 5.0)), draw(centre)], [0.0, draw(focal), draw(centre)], [0.0, 0.0, 1.0]]
    )
    rotation = Rotation.from_rotvec(draw(vectors)).as_matrix()
    return Pinhole(intrinsics, rotation, draw(translations_mm), draw(st.integers(1, 40)), draw(st.integers(1, 40)))


@given(cameras(), pixels, st.floats(1.0, 2000.0))
def test_a_point_on_the_ray_of_a_pixel_is_seen_there(camera: Pinhole, at: np.ndarray, depth_mm: float) -> None:
    directions = camera.rays(at)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1.0)
    # Ahead of the camera, not behind it.
    assert (directions @ camera.rotation[2] > 0.0).all()
    np.testing.assert_allclose(camera.project(camera.centre_mm + depth_mm * directions), at, atol=1e-5)


@given(cameras())
def test_the_centre_is_where_all_rays_begin(camera: Pinhole) -> None:
    np.testing.assert_allclose(camera.rotation @ camera.centre_mm + camera.translation_mm, 0.0, atol=1e-9)


@given(cameras(), st.integers(1, 7))
def test_every_nth_pixel_is_seen_along_the_same_ray(camera: Pinhole, step: int) -> None:
    image = np.arange(camera.width * camera.height).reshape(camera.height, camera.width)
    small = camera.every(step)
    assert image[::step, ::step].shape == (small.height, small.width)
    np.testing.assert_allclose(small.rays(small.pixels()), camera.rays(camera.pixels())[image[::step, ::step].ravel()])


@given(cameras(), st.floats(1e-3, 1e3), st.sampled_from([-1.0, 1.0]))
def test_a_projection_of_any_scale_and_sign_gives_its_camera_back(camera: Pinhole, scale: float, sign: float) -> None:
    projection = sign * scale * camera.intrinsics @ np.c_[camera.rotation, camera.translation_mm]
    intrinsics, rotation, translation_mm = decompose(projection)
    np.testing.assert_allclose(intrinsics, camera.intrinsics, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(rotation, camera.rotation, atol=1e-9)
    np.testing.assert_allclose(translation_mm, camera.translation_mm, atol=1e-6)
