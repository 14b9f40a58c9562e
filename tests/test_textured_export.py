"""Textured meshes as files, and the command that writes them, with and without photos."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from painted_ball import FRAME, ball, photographed, red_left_blue_right
from PIL import Image
from processes import call

from baseh3d_ns.bounds import check_bounds
from baseh3d_ns.commands.heads import Export
from baseh3d_ns.errors import InputError
from baseh3d_ns.heads.head_file import HEAD_FILE, save_head
from baseh3d_ns.heads.readers import BUILTIN, open_head
from baseh3d_ns.mesh.decimate import decimate
from baseh3d_ns.mesh.extract import extract_mesh, has_holes
from baseh3d_ns.mesh.files import check_mesh_path, save_mesh
from baseh3d_ns.texture.photos import TexturePhotos
from baseh3d_ns.texture.textured import textured_mesh


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


def test_a_textured_obj_may_have_a_name_that_is_no_utf8(tmp_path: Path):
    """As files from old systems have; its own bytes name the material and the texture."""
    mesh = ball()
    textured = textured_mesh(mesh, TexturePhotos(photographed(mesh, 0.0), None), 256)
    path = tmp_path / os.fsdecode(b"m\xfcller.obj")
    save_mesh(textured, path)
    assert b"mtllib m\xfcller.mtl" in path.read_bytes()
    assert b"map_Kd m\xfcller.png" in path.with_suffix(".mtl").read_bytes()
    save_mesh(mesh, path, overwrite=True)
    assert os.listdir(os.fsencode(tmp_path)) == [b"m\xfcller.obj"]


def test_nothing_of_the_users_is_replaced_beside_a_textured_obj(tmp_path: Path):
    mesh = ball()
    textured = textured_mesh(mesh, TexturePhotos(photographed(mesh, 0.0), None), 256)
    (tmp_path / "me.png").write_text("mine")
    with pytest.raises(InputError, match=r"me\.png exists already"):
        save_mesh(textured, tmp_path / "me.obj")
    assert [file.name for file in tmp_path.iterdir()] == ["me.png"] and (tmp_path / "me.png").read_text() == "mine"
    with pytest.raises(InputError, match=r"me\.png lies there without the material"):
        save_mesh(textured, tmp_path / "me.obj", overwrite=True)
    (tmp_path / "me.png").unlink()
    for overwrite in (False, True):
        save_mesh(textured, tmp_path / "me.obj", overwrite=overwrite)
    assert Image.open(tmp_path / "me.png").size == (256, 256)


@pytest.mark.parametrize("whose", ["ours", "another program's"])
def test_an_obj_that_lost_its_texture_does_not_keep_the_old_one_beside_it(tmp_path: Path, whose: str):
    mesh = ball()
    save_mesh(textured_mesh(mesh, TexturePhotos(photographed(mesh, 0.0), None), 256), tmp_path / "me.obj")
    if whose != "ours":
        (tmp_path / "me.mtl").write_text("newmtl skin\nmap_Kd me.png\n")
    save_mesh(mesh, tmp_path / "me.obj", overwrite=True)
    kept = {"me.obj"} if whose == "ours" else {"me.obj", "me.mtl", "me.png"}
    assert {file.name for file in tmp_path.iterdir()} == kept
    words = (tmp_path / "me.obj").read_text().split()
    assert "mtllib" not in words and "usemtl" not in words and "vt" not in words


@pytest.mark.parametrize("name", ["anna.png", "anna.mtl", "anna.normals.png"])
def test_pictures_that_are_of_no_export_are_not_replaced(tmp_path, name):
    (tmp_path / name).write_text("a photo of Anna")
    with pytest.raises(InputError, match=f"{name} lies there without .* would be replaced: move it away, or choose"):
        check_mesh_path(tmp_path / "anna.obj", overwrite=True, textured=True)
    check_mesh_path(tmp_path / "anna.obj", overwrite=True)


def test_a_decimated_mesh_is_closed_and_nearly_the_same():
    mesh = ball()
    fewer = decimate(mesh, 900)
    assert 600 < len(fewer.faces) <= 900 and fewer.is_watertight
    assert np.abs(np.linalg.norm(fewer.vertices - FRAME.centre_mm, axis=1) - 100.0).max() < 2.0
    assert decimate(mesh, 10**6) is mesh


def test_a_decimated_mesh_stays_closed_where_tunnels_collapse():
    """A slice of a ball with square tunnels: quadric decimation leaves edges of four triangles."""

    def sieve(x: torch.Tensor) -> torch.Tensor:
        tunnels = 0.05 - ((x[:, :2] * 10.0).sin() / 10.0).norm(dim=-1)
        return torch.stack([x.norm(dim=-1) - 0.7, x[:, 2].abs() - 0.1, tunnels]).amax(dim=0)

    full = extract_mesh(sieve, FRAME, spacing_mm=6.0)
    fewer = decimate(full, 200)
    assert full.is_watertight and len(fewer.faces) <= 200 and fewer.is_watertight and fewer.is_winding_consistent
    plain = full.simplify_quadric_decimation(face_count=200)
    corners = {tuple(map(tuple, triangle)) for triangle in plain.triangles.tolist()}
    assert {tuple(map(tuple, triangle)) for triangle in fewer.triangles.tolist()} <= corners


def test_holes_are_edges_of_one_triangle_and_not_those_of_four():
    tetrahedron = [[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]]
    other = [[0, 1, 4], [0, 5, 1], [1, 5, 4], [5, 0, 4]]
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, -1], [0, -1, 0]], float)
    touching = trimesh.Trimesh(corners, tetrahedron + other, process=False)
    assert not touching.is_watertight and not has_holes(touching)
    assert has_holes(trimesh.Trimesh(corners, tetrahedron[1:], process=False))


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
    assert "note:" not in capsys.readouterr().out
    seen = trimesh.load(tmp_path / "me.ply", process=False).metadata["_ply_raw"]["vertex"]["data"]["seen"]
    assert seen.dtype == np.uint8 and set(np.unique(seen)) >= {0, 1} and seen.max() <= 3
    ended = {"steps": 8, "colours_finished": False}  # as a fit that was interrupted leaves it
    head = open_head(fit_run.folder)
    save_head(tmp_path / HEAD_FILE, replace(head, provenance={**head.provenance, **ended}))
    replace(export, load_config=tmp_path / HEAD_FILE, output=tmp_path / "me.stl").main()
    assert "note: Its colours are not finished, since this is the head after step 8 of 12" in (capsys.readouterr().out)
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


def test_photos_for_a_mesh_that_shows_none_are_refused(fit_run, tmp_path):
    said = call(
        "baseh3d", "export", "--load-config", fit_run.config, "--output", tmp_path / "a.stl", "--scene", "x", fails=True
    )
    assert "a .stl without a texture does not need" in said and not (tmp_path / "a.stl").exists()


def test_a_shape_space_has_no_photos_to_miss(tmp_path: Path, capsys):
    Export(BUILTIN, tmp_path / "space.glb", spacing_mm=8.0).main()
    assert "no texture" not in capsys.readouterr().out
    read = trimesh.load(tmp_path / "space.glb", process=False, force="mesh", skip_materials=True)
    assert read.visual.kind == "vertex"
