"""Textures: an atlas without overlaps, texels in the colours of the photos that show them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh
from painted_ball import FRAME, GREY, SIDE, ball, photographed, red_left_blue_right
from tiny_heads import set_to

from baseh3d_ns.models.view_corrections import ViewCorrections
from baseh3d_ns.texture.atlas import AXES, charts_of, unwrap
from baseh3d_ns.texture.bake import bake, texels_of
from baseh3d_ns.texture.photos import TexturePhotos
from baseh3d_ns.texture.visibility import seen_by


def texel_colours(mesh: trimesh.Trimesh, photos: TexturePhotos, size: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the texels on the surface in the unit frame, and their colours from 0 to 1."""
    atlas = unwrap(mesh, size)
    texels = texels_of(atlas)
    colours = bake(mesh, texels, photos)
    return FRAME.to_unit(texels.interpolate(mesh.vertices.view(np.ndarray))), colours


def test_an_atlas_keeps_the_surface_and_no_texel_lies_on_two_faces():
    """A ball with a smaller one in front of it: its charts would hide parts of themselves."""
    mesh = trimesh.util.concatenate([ball(), ball(40.0, (10.0, -20.0, 125.0))])
    _, chart = charts_of(mesh)
    atlas = unwrap(mesh, 512)
    assert (atlas.source[atlas.faces] == mesh.faces).all()
    assert atlas.texels.min() >= 0.0 and atlas.texels.max() <= 512.0
    corners = atlas.texels[atlas.faces]
    area = 0.5 * np.abs(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])).sum()
    texels = texels_of(atlas)
    # Faces that overlapped would cover fewer texels than they have area.
    assert len(np.unique(texels.index)) == len(texels.index) == pytest.approx(area, rel=0.02) and area > 0.4 * 512**2
    assert len(np.unique(chart)) < 40


def test_faces_of_a_crumpled_surface_all_face_the_axis_of_their_chart():
    mesh = ball()
    mesh.vertices += np.random.default_rng(0).normal(scale=4.0, size=mesh.vertices.shape)
    axis, _ = charts_of(mesh)
    assert ((mesh.face_normals * AXES[axis]).sum(axis=1) > 0.0).all()


def winding_stair() -> trimesh.Trimesh:
    """A ramp that winds twice round an axis: all of it faces upwards, and half of it lies below the rest."""
    turn, radius = np.meshgrid(np.linspace(0.0, 4.0 * np.pi, 120), np.linspace(60.0, 90.0, 8), indexing="ij")
    vertices = np.stack([radius * np.cos(turn), 8.0 * turn, -radius * np.sin(turn)], axis=-1).reshape(-1, 3)
    corner = (np.arange(119)[:, None] * 8 + np.arange(7)).reshape(-1, 1)
    faces = np.concatenate([corner + [0, 1, 9], corner + [0, 9, 8]])
    return trimesh.Trimesh(vertices, faces, process=False)


def test_charts_that_hide_themselves_are_taken_apart():
    mesh = winding_stair()
    assert (mesh.face_normals[:, 1] > 0.5).all()
    axis, chart = charts_of(mesh)
    assert (AXES[axis] == [0.0, 1.0, 0.0]).all() and len(np.unique(chart)) >= 2
    for name in np.unique(chart):
        corners = mesh.triangles[chart == name]
        part = trimesh.Trimesh(corners.reshape(-1, 3), np.arange(3 * len(corners)).reshape(-1, 3), process=False)
        middle = corners.mean(axis=1, keepdims=True)
        above = (middle + 0.8 * (corners - middle) + [0.0, 0.1, 0.0]).reshape(-1, 3)
        assert not part.ray.intersects_any(above, np.tile([0.0, 1.0, 0.0], (len(above), 1))).any()


def test_charts_without_the_centre_of_a_texel_have_a_texel_all_the_same():
    scrap = trimesh.Trimesh([[0.0, -0.3, 90.0], [0.3, -0.3, 90.0], [0.3, 0.0, 90.0]], [[0, 1, 2]])
    mesh = trimesh.util.concatenate([trimesh.creation.box((100.0, 1.0, 100.0)), scrap])
    assert set(texels_of(unwrap(mesh, 256)).corners.ravel()) == set(range(11))


def test_texels_have_the_colours_of_the_surface_they_lie_on():
    mesh = ball()
    points, colours = texel_colours(mesh, TexturePhotos(photographed(mesh, -40.0, 0.0, 40.0), None))
    front, border = points[:, 2] > 0.25, np.abs(points[:, 0]) < 0.05
    off = np.abs(colours - red_left_blue_right(points)).max(axis=1)
    assert off[front & ~border].max() < 0.03
    assert np.abs(colours[points[:, 2] < -0.3] - np.divide(GREY, 255.0)).max() < 0.01, "nobody saw the back"


def test_what_stands_in_front_colours_nothing_behind_it():
    """A small ball before a large one, and a camera that sees both in line: none of its colour on the large one."""
    large, small = ball(), ball(25.0, (10.0, -20.0, 180.0))
    mesh = trimesh.util.concatenate([large, small])

    def paint(points: np.ndarray) -> np.ndarray:
        return np.where(np.linalg.norm(points, axis=1)[:, None] > 0.55, [1.0, 1.0, 0.0], [0.2, 0.2, 0.6])

    photos = TexturePhotos(photographed(mesh, 0.0, paint=paint), None)
    seen = seen_by(mesh, photos, 0)
    unit = FRAME.to_unit(mesh.vertices.view(np.ndarray))
    # The shadow's radius is 0.14.
    front = (np.arange(len(unit)) < len(large.vertices)) & (unit[:, 2] > 0.3)
    from_axis = np.linalg.norm(unit[:, :2], axis=1)
    assert not seen[front & (from_axis < 0.12)].any() and seen[front & (from_axis > 0.16)].all()
    points, colours = texel_colours(mesh, photos, 512)
    yellow = colours[:, 0] > 0.6
    assert yellow[(np.linalg.norm(points, axis=1) < 0.55)].sum() == 0 and yellow.any()


def test_the_background_of_photos_is_not_baked_onto_the_long_triangles_of_a_light_mesh():
    """Green stands behind the painted half of a ball whose triangles reach beyond its silhouette."""
    mesh = trimesh.creation.icosphere(subdivisions=1, radius=100.0)
    colours = np.tile(np.uint8(GREY), (len(mesh.vertices), 1))
    light = trimesh.Trimesh(mesh.vertices + FRAME.centre_mm, mesh.faces, vertex_colors=colours, process=False)
    half = ball()
    half.update_faces(half.triangles_center[:, 1] > FRAME.centre_mm[1])
    points, colours = texel_colours(light, TexturePhotos(photographed(half, 0.0), None))
    green = colours[:, 1] - colours[:, [0, 2]].max(axis=1)
    assert green[points[:, 2] > 0.0].max() < 0.2  # a pixel on the border is of both


def test_exposure_is_undone_and_moved_cameras_are_followed():
    mesh, angles = ball(), (-35.0, 35.0)
    bright = (1.15, 1.0 / 1.15)
    dataset = photographed(mesh, *angles, exposures=bright)
    corrections = ViewCorrections(dataset.metadata["camera_axes"], dataset.metadata["camera_centres"])
    colour = torch.zeros(2, 2, 3)
    colour[:, 0] = torch.tensor(bright).log()[:, None] / 0.05
    set_to(corrections, colour=colour)
    points, colours = texel_colours(mesh, TexturePhotos(dataset, corrections))
    off = np.abs(colours - red_left_blue_right(points)).max(axis=1)
    assert off[(points[:, 2] > 0.3) & (np.abs(points[:, 0]) > 0.05)].max() < 0.03
    set_to(corrections, pose=torch.tensor([[3.0, 0, 0, 0, 0, 40.0], [-3.0, 0, 0, 0, 0, -40.0]]))
    moved = TexturePhotos(dataset, corrections)
    bundle = dataset.cameras.generate_rays(camera_indices=0)
    views = torch.zeros(SIDE**2, dtype=torch.long)
    origins, directions = corrections.rays(bundle.origins.reshape(-1, 3), bundle.directions.reshape(-1, 3), views)
    pixels = moved.project(FRAME.to_world_mm((origins + 2.5 * directions).detach().double().numpy()), 0)
    expected = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), axis=-1).reshape(-1, 2) + 0.5
    assert np.abs(pixels.numpy() - expected).max() < 0.02
    assert np.allclose(moved.centre_mm(0), FRAME.to_world_mm(origins[0].detach().double().numpy()), atol=1e-3)
