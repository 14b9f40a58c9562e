"""Colours and normals of a head mesh, and the files it is written to."""

from __future__ import annotations

import json
from pathlib import Path

import h3ds.mesh
import numpy as np
import pytest
import torch
import trimesh
from torch import Tensor

from baseh3d_ns.errors import InputError
from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.mesh.colour_space import linear_to_srgb
from baseh3d_ns.mesh.extract import extract_mesh
from baseh3d_ns.mesh.files import colour_mesh, save_mesh

FRAME = SceneFrame(centre_mm=(10.0, -20.0, 30.0), radius_mm=100.0)


def pillar(x: Tensor) -> Tensor:
    """A cylinder along z that leaves the ball, off the lattice nodes."""
    return (x[:, :2] + torch.tensor([0.0031, -0.0017])).norm(dim=-1) - 0.4


def coloured_pillar() -> trimesh.Trimesh:
    def appearance(points: Tensor) -> tuple[Tensor, Tensor]:
        gradient = torch.nn.functional.pad(points[:, :2], (0, 1)) * 7.0
        return (torch.nn.functional.normalize(gradient, dim=-1) + 1.0) / 2.0, gradient

    mesh = extract_mesh(pillar, FRAME, spacing_mm=4.0)
    return colour_mesh(mesh, appearance, FRAME)


def test_normals_follow_the_gradient_and_on_the_cut_the_ball() -> None:
    mesh = coloured_pillar()
    unit = FRAME.to_unit(mesh.vertices.view(np.ndarray))
    side = np.linalg.norm(unit, axis=1) < 0.99
    assert np.allclose(mesh.vertex_normals[side][:, 2], 0.0)
    assert np.allclose(np.linalg.norm(mesh.vertex_normals, axis=1), 1.0)
    centre_of_cap = unit[:, :2].round(3).tolist().index([0.0, 0.0])
    assert abs(mesh.vertex_normals[centre_of_cap][2]) > 0.999
    expected = (mesh.vertex_normals + 1.0) / 2.0 * 255.0
    assert np.allclose(mesh.visual.vertex_colors[side][:, :3], expected[side], atol=0.51)


@pytest.mark.parametrize("spacing_mm", [1.0, 2.5, 6.0])
def test_the_whole_cut_has_the_normals_of_the_ball_at_any_spacing(spacing_mm: float) -> None:
    """Vertices that are interpolated along an edge of the lattice lie inside the ball by up to spacing^2 / 8."""

    def appearance(points: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(points), torch.nn.functional.pad(points[:, :2], (0, 1))

    mesh = colour_mesh(extract_mesh(pillar, FRAME, spacing_mm=spacing_mm), appearance, FRAME)
    unit = FRAME.to_unit(mesh.vertices.view(np.ndarray))
    radius, from_axis = np.linalg.norm(unit, axis=1), np.linalg.norm(unit[:, :2], axis=1)
    cut = from_axis < 0.4 - 2.0 * spacing_mm / FRAME.radius_mm
    assert (radius[cut] < 1.0 - 1e-5).any() and np.allclose(mesh.vertex_normals[cut], unit[cut], atol=0.01)
    side = radius < 0.9
    assert np.allclose(mesh.vertex_normals[side][:, 2], 0.0)


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".glb", ".stl", ".PLY"])
def test_files_keep_shape_colours_and_units(suffix: str, tmp_path: Path) -> None:
    mesh = coloured_pillar()
    path = tmp_path / "new folder" / f"head{suffix}"
    save_mesh(mesh, path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    loaded = trimesh.load(path, process=suffix == ".stl", force="mesh", skip_materials=True)
    scale = 1e-3 if suffix == ".glb" else 1.0
    assert np.allclose(loaded.bounds, mesh.bounds * scale, atol=1e-5)
    assert loaded.is_watertight and loaded.volume == pytest.approx(mesh.volume * scale**3, rel=1e-4)
    if suffix != ".stl":
        assert np.allclose(loaded.vertices, mesh.vertices * scale, atol=1e-4 * scale)
        read = loaded.visual.vertex_colors[:, :3] / 255.0
        # A .glb holds linear light, of which trimesh keeps 8 bits: a step there is several where it is dark.
        read, step = (linear_to_srgb(read), 0.06) if suffix == ".glb" else (read, 0.0)
        assert np.abs(read - mesh.visual.vertex_colors[:, :3] / 255.0).max() <= step


def test_files_carry_the_normals_they_were_given(tmp_path: Path) -> None:
    sphere = trimesh.creation.icosphere(subdivisions=1, radius=100.0)
    given = np.tile([0.6, 0.0, 0.8], (len(sphere.vertices), 1))
    mesh = trimesh.Trimesh(sphere.vertices, sphere.faces, vertex_normals=given, process=False)
    for suffix in (".obj", ".ply", ".glb"):
        save_mesh(mesh, tmp_path / f"head{suffix}")
    assert (tmp_path / "head.obj").read_text().count("vn 0.600000 0.000000 0.800000") == len(given)
    body = (tmp_path / "head.ply").read_bytes().split(b"end_header\n")[1]
    assert np.allclose(np.frombuffer(body[:24], "<f4")[3:], [0.6, 0.0, 0.8])
    glb = (tmp_path / "head.glb").read_bytes()
    header = json.loads(glb[20 : 20 + int.from_bytes(glb[12:16], "little")])
    normals = header["accessors"][header["meshes"][0]["primitives"][0]["attributes"]["NORMAL"]]
    assert np.allclose(normals["max"], [0.6, 0.0, 0.8]) and np.allclose(normals["min"], [0.6, 0.0, 0.8])


def test_colours_of_a_glb_are_linear_floats(tmp_path: Path) -> None:
    ball = trimesh.creation.icosphere(subdivisions=2, radius=100.0)
    srgb = np.linspace(0, 255, 3 * len(ball.vertices)).round().astype(np.uint8).reshape(-1, 3)
    mesh = trimesh.Trimesh(ball.vertices, ball.faces, vertex_colors=srgb, process=False)
    save_mesh(mesh, tmp_path / "head.glb")
    glb = (tmp_path / "head.glb").read_bytes()
    length = int.from_bytes(glb[12:16], "little")
    header, body = json.loads(glb[20 : 20 + length]), glb[28 + length :]
    (part,) = header["meshes"][0]["primitives"]
    attributes, (material,) = part["attributes"], header["materials"]
    assert part["material"] == 0 and material["pbrMetallicRoughness"]["metallicFactor"] == 0.0, "metal looks black"
    assert set(attributes) == {"POSITION", "NORMAL", "COLOR_0"}
    accessor = header["accessors"][attributes["COLOR_0"]]
    assert accessor["componentType"] == 5126 and accessor["type"] == "VEC3" and accessor["count"] == len(srgb)
    start = header["bufferViews"][accessor["bufferView"]].get("byteOffset", 0) + accessor.get("byteOffset", 0)
    linear = np.frombuffer(body, "<f4", 3 * len(srgb), start).reshape(-1, 3)
    # Half of sRGB's range is a fifth of the light, and no two levels fall together.
    middle = np.abs(srgb.astype(int) - 128).argmin()
    assert linear.ravel()[middle] == pytest.approx(0.2159, abs=1e-3)
    assert len(np.unique(linear)) == len(np.unique(srgb))
    assert ((255.0 * linear_to_srgb(linear)).round() == srgb).all()
    assert (mesh.visual.vertex_colors[:, :3] == srgb).all(), "the mesh itself stays as it was"


@pytest.mark.parametrize("suffix", [".obj", ".ply"])
def test_the_h3ds_reader_finds_as_many_vertices_and_faces(suffix: str, tmp_path: Path) -> None:
    mesh = coloured_pillar()
    path = tmp_path / f"head{suffix}"
    save_mesh(mesh, path)
    read = h3ds.mesh.Mesh().load(str(path))
    assert np.allclose(read.vertices, mesh.vertices, atol=1e-4)
    assert (read.faces == mesh.faces).all()


def test_unwritable_names_are_one_sentence_and_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    mesh = trimesh.creation.icosphere(subdivisions=1)
    with pytest.raises(InputError, match=r"\.ply, \.obj, \.glb, \.stl"):
        save_mesh(mesh, tmp_path / "head.fbx")
    save_mesh(mesh, tmp_path / "head.ply")
    before = (tmp_path / "head.ply").read_bytes()
    larger = trimesh.creation.icosphere(subdivisions=2)
    with pytest.raises(InputError, match="exists"):
        save_mesh(larger, tmp_path / "head.ply")
    assert (tmp_path / "head.ply").read_bytes() == before
    save_mesh(larger, tmp_path / "head.ply", overwrite=True)
    assert (tmp_path / "head.ply").read_bytes() != before
    # A file where the folder should be: fails for root too, unlike missing rights.
    with pytest.raises(InputError, match="cannot be written"):
        save_mesh(mesh, tmp_path / "head.ply" / "inner.ply")
