"""Pictures of a mesh beside its photos: renders in closed form, colours, the choice of views."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from egg_head import camera, head, photo_view, sphere
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from baseh3d_ns.evaluation.pictures import (
    UNKNOWN_GREY,
    error_colours,
    evaluation_picture,
    heatmap_mesh,
    render,
    three_sides,
)


def test_a_rendered_sphere_has_its_outline_normals_and_colours() -> None:
    ball = sphere(100.0, subdivisions=5)
    ball.visual.vertex_colors = np.where(ball.vertices[:, :1] > 0, [250, 0, 0], [0, 0, 250]).astype(np.uint8)
    heat = error_colours(np.full(len(ball.vertices), 2.0), 5.0)
    seen = render(ball, heat, camera())
    row, column = np.nonzero((seen.heat != 255).any(axis=2))
    # Pixel centres at integers: half a pixel of offset would show in the centre of the outline.
    assert (column.mean(), row.mean()) == pytest.approx((50.0, 40.0), abs=0.05)
    radius_px = 150.0 * 100.0 / np.sqrt(500.0**2 - 100.0**2)
    assert len(row) == pytest.approx(np.pi * radius_px**2, rel=0.02)
    assert (seen.heat[row, column] == heat[0]).all()
    # x right is red, y up is green, towards the viewer is blue.
    assert np.allclose(seen.normals[40, 50], [127.5, 127.5, 255], atol=2)
    assert seen.normals[40, 75, 0] > 210 and seen.normals[15, 50, 1] > 210
    assert seen.colour[40, 60].tolist() == [250, 0, 0] and seen.colour[40, 40].tolist() == [0, 0, 250]


def test_heat_colours_grow_to_the_end_of_the_bar_and_stop_where_nothing_is_known() -> None:
    ball = sphere(100.0, subdivisions=1)
    distances_mm = np.linspace(0.0, 30.0, len(ball.vertices))
    colours = heatmap_mesh(ball, distances_mm).visual.vertex_colors[:, :3]
    assert (colours[distances_mm > 20.0] == UNKNOWN_GREY).all()
    assert len(np.unique(colours[(distances_mm >= 5.0) & (distances_mm <= 20.0)], axis=0)) == 1
    assert len(np.unique(colours[distances_mm < 5.0], axis=0)) == (distances_mm < 5.0).sum()


def test_three_sides_are_front_left_and_right_of_the_subject() -> None:
    cameras = [camera(angle) for angle in (170.0, -55.0, 15.0, 80.0, -5.0, 50.0, -90.0)]
    assert three_sides(cameras, np.zeros(3)) == [4, 5, 1]


@given(st.lists(st.floats(-180.0, 180.0), min_size=1, max_size=12))
def test_three_sides_are_the_nearest_in_angle(angles_deg: list[float]) -> None:
    chosen = three_sides([camera(angle) for angle in angles_deg], np.zeros(3))
    for index, wanted in zip(chosen, (0.0, 60.0, -60.0), strict=True):
        away = [abs((angle - wanted + 180.0) % 360.0 - 180.0) for angle in angles_deg]
        assert away[index] == pytest.approx(min(away), abs=1e-4)


def test_large_photos_are_reduced_and_still_fit_their_camera() -> None:
    full = photo_view(side=1100)
    small = full.reduced()
    assert small.image.shape == (367, 367, 3) == (small.camera.height, small.camera.width, 3)
    point = np.array([[30.0, -50.0, 20.0]])
    assert np.allclose(small.camera.project(point), full.camera.project(point) / 3.0)


def test_the_picture_shows_every_view_four_times(tmp_path: Path) -> None:
    mesh = head()
    views = [photo_view(angle) for angle in (0.0, 60.0, -60.0)]
    evaluation_picture(tmp_path / "picture.png", views, mesh, np.abs(mesh.vertices[:, 0]) / 20.0, "scores")
    picture = np.asarray(Image.open(tmp_path / "picture.png").convert("RGB")).astype(int)
    height, width = picture.shape[:2]
    assert height > 900 and width > 1300
    columns = np.split(picture[:, : width // 5 * 4], 4, axis=1)
    spread = [float(column.std()) for column in columns]
    assert min(spread) > 10.0 and len({round(value, 3) for value in spread}) == 4
