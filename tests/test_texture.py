"""Textured meshes: an atlas without overlaps, texels in the colours of the photos that show them, files, bad input."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from nerfstudio.cameras.cameras import Cameras
from PIL import Image
from processes import call
from tiny_heads import set_to

from baseh3d_ns.bounds import check_bounds
from baseh3d_ns.commands.heads import Export
from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.data.views import Picture, view_outputs
from baseh3d_ns.errors import InputError
from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.heads.head_file import HEAD_FILE, save_head
from baseh3d_ns.heads.readers import open_head
from baseh3d_ns.mesh.decimate import decimate
from baseh3d_ns.mesh.files import save_mesh
from baseh3d_ns.models.view_corrections import ViewCorrections
from baseh3d_ns.texture.atlas import AXES, charts_of, unwrap
from baseh3d_ns.texture.bake import bake, texels_of
from baseh3d_ns.texture.photos import TexturePhotos
from baseh3d_ns.texture.textured import textured_mesh
from baseh3d_ns.texture.visibility import seen_by

FRAME = SceneFrame(centre_mm=(10.0, -20.0, 30.0), radius_mm=200.0)
SIDE, FOCAL, DISTANCE = 128, 170.0, 3.0
GREY = (128, 128, 128)


def ball(radius_mm: float = 100.0, centre_mm: tuple[float, float, float] = FRAME.centre_mm) -> trimesh.Trimesh:
    """A grey ball."""
    mesh = trimesh.creation.icosphere(subdivisions=4, radius=radius_mm)
    colours = np.tile(np.uint8(GREY), (len(mesh.vertices), 1))
    return trimesh.Trimesh(mesh.vertices + centre_mm, mesh.faces, vertex_colors=colours, process=False)


def camera_from(angle_deg: float) -> np.ndarray:
    """Camera-to-world of a camera that looks at the unit ball's centre, turned about +y."""
    turn = np.radians(angle_deg)
    backward = np.array([np.sin(turn), 0.0, np.cos(turn)])
    right = np.array([np.cos(turn), 0.0, -np.sin(turn)])
    return np.stack([right, [0.0, 1.0, 0.0], backward, DISTANCE * backward], axis=1)


def red_left_blue_right(points: np.ndarray) -> np.ndarray:
    """Red where the unit frame's x is negative, blue where it is not."""
    return np.where(points[:, :1] < 0.0, [0.8, 0.1, 0.1], [0.1, 0.2, 0.9])


def photographed(mesh: trimesh.Trimesh, *angles_deg: float, paint=red_left_blue_right, exposures=()) -> HeadDataset:
    """Photos of a painted mesh."""
    c2w = torch.from_numpy(np.stack([camera_from(angle) for angle in angles_deg])).float()
    cameras = Cameras(c2w, FOCAL, FOCAL, SIDE / 2, SIDE / 2, SIDE, SIDE)
    pictures = []
    for view in range(len(angles_deg)):
        bundle = cameras.generate_rays(camera_indices=view)
        origins = FRAME.to_world_mm(bundle.origins.reshape(-1, 3).double().numpy())
        points, ray, _ = mesh.ray.intersects_location(
            origins, bundle.directions.reshape(-1, 3).double().numpy(), multiple_hits=False
        )
        rgb, mask = np.full((SIDE**2, 3), (0.0, 1.0, 0.0)), np.zeros(SIDE**2, bool)
        rgb[ray] = paint(FRAME.to_unit(points)) * (exposures[view] if exposures else 1.0)
        mask[ray] = True
        photo = (255.0 * rgb.clip(0.0, 1.0)).round().astype(np.uint8).reshape(SIDE, SIDE, 3)
        pictures.append(Picture(photo, mask.reshape(SIDE, SIDE), np.ones((SIDE, SIDE), bool)))
    names, to_unit = [Path(f"{view}.png") for view in range(len(angles_deg))], FRAME.world_to_unit_transform()
    return HeadDataset(view_outputs(cameras, FRAME, "ball", range(len(angles_deg)), names, pictures, to_unit, {}))


def texel_colours(mesh: trimesh.Trimesh, photos: TexturePhotos, size: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the texels on the surface in the unit frame, and their colours from 0 to 1."""
    atlas = unwrap(mesh, size)
    texels = texels_of(atlas)
    colours = bake(mesh, atlas, photos).reshape(-1, 3)[texels.index] / 255.0
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
        above = part.triangles_center + [0.0, 0.1, 0.0]
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


def test_files_of_a_textured_mesh_are_read_back_with_its_colours(tmp_path: Path):
    mesh = ball()
    textured = textured_mesh(mesh, TexturePhotos(photographed(mesh, 0.0), None), 256)
    for name, scale in (("me.glb", 1e-3), ("me.obj", 1.0)):
        save_mesh(textured, tmp_path / name)
        read = trimesh.load(tmp_path / name, process=False, force="mesh")
        assert np.allclose(read.bounds, mesh.bounds * scale, atol=1e-4)
        colours = read.visual.to_color().vertex_colors[:, :3] / 255.0
        points = FRAME.to_unit(read.vertices.view(np.ndarray) / scale)
        shown = (points[:, 2] > 0.3) & (np.abs(points[:, 0]) > 0.05)
        assert np.abs(colours - red_left_blue_right(points))[shown].max() < 0.05
    assert {file.name for file in tmp_path.iterdir()} == {"me.glb", "me.obj", "me.mtl", "me.png"}
    glb = (tmp_path / "me.glb").read_bytes()
    tree = json.loads(glb[20 : 20 + int.from_bytes(glb[12:16], "little")])
    (material,) = tree["materials"]
    assert material["pbrMetallicRoughness"]["metallicFactor"] == 0.0 and "baseColorTexture" in str(material)
    assert "COLOR_0" not in str(tree["meshes"])


def test_nothing_of_the_users_is_replaced_beside_a_textured_obj(tmp_path: Path):
    mesh = ball()
    textured = textured_mesh(mesh, TexturePhotos(photographed(mesh, 0.0), None), 256)
    (tmp_path / "me.png").write_text("mine")
    with pytest.raises(InputError, match=r"me\.png exists already"):
        save_mesh(textured, tmp_path / "me.obj")
    assert [file.name for file in tmp_path.iterdir()] == ["me.png"] and (tmp_path / "me.png").read_text() == "mine"
    save_mesh(textured, tmp_path / "me.obj", overwrite=True)
    assert Image.open(tmp_path / "me.png").size == (256, 256)


def test_a_decimated_mesh_is_closed_and_nearly_the_same():
    mesh = ball()
    fewer = decimate(mesh, 900)
    assert 600 < len(fewer.faces) <= 900 and fewer.is_watertight
    assert np.abs(np.linalg.norm(fewer.vertices - FRAME.centre_mm, axis=1) - 100.0).max() < 2.0
    assert decimate(mesh, 10**6) is mesh


@pytest.mark.parametrize("options", [{"texture_size": 0}, {"texture_size": 10**6}, {"faces": 3}, {"spacing_mm": 0.0}])
def test_sizes_out_of_range_are_refused(options: dict):
    with pytest.raises(InputError, match="out of range"):
        check_bounds(Export(load_config=Path("run"), **options))


def test_an_export_is_textured_and_without_its_photos_coloured_by_vertex(fit_run, tmp_path: Path, capsys):
    export = Export(fit_run.folder, tmp_path / "me.glb", texture_size=256, spacing_mm=6.0)
    export.main()
    read = trimesh.load(tmp_path / "me.glb", process=False, force="mesh")
    assert read.visual.kind == "texture" and read.visual.material.baseColorTexture.size == (256, 256)
    replace(export, output=tmp_path / "plain.glb", texture=False).main()
    replace(export, output=tmp_path / "me.ply").main()
    assert "note: no" not in capsys.readouterr().out
    seen = trimesh.load(tmp_path / "me.ply", process=False).metadata["_ply_raw"]["vertex"]["data"]["seen"]
    assert seen.dtype == np.uint8 and set(np.unique(seen)) >= {0, 1} and seen.max() <= 3
    shutil.copy(fit_run.folder / HEAD_FILE, tmp_path)
    gone = replace(export, load_config=tmp_path / HEAD_FILE, output=tmp_path / "gone.glb", data=tmp_path / "nowhere")
    with pytest.raises(InputError, match="nowhere"):
        gone.main()
    assert not (tmp_path / "gone.glb").exists()


def test_photos_that_have_moved_are_a_note(fit_run, tiny_root, tmp_path: Path):
    moved = Path(shutil.copytree(tiny_root, tmp_path / "h3ds"))
    out = tmp_path / "out"
    head = open_head(fit_run.folder)
    save_head(tmp_path / HEAD_FILE, replace(head, provenance={**head.provenance, "data": str(tmp_path / "gone")}))
    words = ["export", "--load-config", tmp_path / HEAD_FILE, "--spacing-mm", 6.0, "--texture-size", 256]
    said = call("baseh3d", *words, "--output", out / "me.obj")
    assert "note: no texture, but vertex colours" in said and "gone" in said
    assert [file.name for file in out.iterdir()] == ["me.obj"]
    call("baseh3d", *words, "--output", out / "you.obj", "--data", moved)
    assert (out / "you.png").is_file() and (out / "you.mtl").is_file()
