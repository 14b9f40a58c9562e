"""Normal maps, read back as a viewer of glTF reads them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from painted_ball import FRAME, ball, photographed
from PIL import Image

from baseh3d_ns.commands.heads import Export
from baseh3d_ns.errors import InputError
from baseh3d_ns.heads.readers import BUILTIN, open_head
from baseh3d_ns.mesh.extract import mesh_of_head
from baseh3d_ns.mesh.files import encode_mesh, save_mesh
from baseh3d_ns.texture.normal_map import normals_of_head
from baseh3d_ns.texture.photos import TexturePhotos
from baseh3d_ns.texture.textured import textured_mesh

SIZE = 1024


def of_the_ball(points_mm: np.ndarray) -> np.ndarray:
    outwards = points_mm - FRAME.centre_mm
    return outwards / np.linalg.norm(outwards, axis=1, keepdims=True)


def rippled(points_mm: np.ndarray) -> np.ndarray:
    """Normals of a ball with waves far smaller than its triangles."""
    wavy = of_the_ball(points_mm) + 0.4 * np.sin(points_mm / 15.0)
    return wavy / np.linalg.norm(wavy, axis=1, keepdims=True)


def coarse_ball() -> trimesh.Trimesh:
    """80 triangles with the normals of the ball at their corners."""
    mesh = trimesh.creation.icosphere(subdivisions=1, radius=100.0)
    vertices = mesh.vertices + FRAME.centre_mm
    grey = np.full((len(vertices), 3), 128, np.uint8)
    normals = of_the_ball(vertices)
    return trimesh.Trimesh(vertices, mesh.faces, vertex_normals=normals, vertex_colors=grey, process=False)


def gltf_of(mesh: trimesh.Trimesh) -> tuple[dict, dict[str, np.ndarray]]:
    """The tree of a mesh as .glb, and the attributes of its vertices."""
    glb = encode_mesh(mesh, ".glb")
    length = int.from_bytes(glb[12:16], "little")
    tree, binary = json.loads(glb[20 : 20 + length]), glb[28 + length :]
    attributes = {}
    for name, index in tree["meshes"][0]["primitives"][0]["attributes"].items():
        accessor = tree["accessors"][index]
        assert accessor["componentType"] == 5126, "floats"
        start = tree["bufferViews"][accessor["bufferView"]].get("byteOffset", 0)
        columns = {"VEC2": 2, "VEC3": 3, "VEC4": 4}[accessor["type"]]
        values = np.frombuffer(binary, np.float32, accessor["count"] * columns, start)
        attributes[name] = values.reshape(-1, columns).astype(float)
    return tree, attributes


def test_a_viewer_sees_the_surface_in_the_shading_of_a_coarse_mesh():
    """Tangents, bitangents and normals are interpolated in each triangle, as three.js and others do."""
    mesh = coarse_ball()
    textured = textured_mesh(mesh, TexturePhotos(photographed(mesh, 0.0), None), SIZE, rippled)
    tree, vertices = gltf_of(textured)
    assert "normalTexture" in tree["materials"][0] and set(vertices["TANGENT"][:, 3]) == {1.0}
    picture = np.asarray(textured.visual.material.normalTexture, float) / 255.0
    corners = textured.faces
    middle = {name: values[corners].mean(axis=1) for name, values in vertices.items()}
    bitangents = np.cross(vertices["NORMAL"], vertices["TANGENT"][:, :3])[corners].mean(axis=1)
    axes = np.stack([middle["TANGENT"][:, :3], bitangents, middle["NORMAL"]], axis=1)
    axes /= np.linalg.norm(axes, axis=2, keepdims=True)
    column, row = (middle["TEXCOORD_0"] * len(picture)).astype(int).T
    inside = 2.0 * picture[row, column] - 1.0
    seen = np.einsum("nk,nkx->nx", inside, axes)
    seen /= np.linalg.norm(seen, axis=1, keepdims=True)
    wanted = rippled(1e3 * middle["POSITION"])
    apart_deg = np.degrees(np.arccos((seen * wanted).sum(axis=1).clip(-1.0, 1.0)))
    assert np.median(apart_deg) < 2.0 and apart_deg.max() < 6.0, "but for the waves within a texel"
    assert np.degrees(np.arccos((axes[:, 2] * wanted).sum(axis=1))).max() > 25.0, "without the map"


def test_folds_and_what_no_surface_is_near_to_keep_the_shading_of_the_mesh():
    mesh = coarse_ball()
    photos = TexturePhotos(photographed(mesh, 0.0), None)
    for nothing in (lambda points: np.zeros_like(points), lambda points: -of_the_ball(points)):
        picture = textured_mesh(mesh, photos, 256, nothing).visual.material.normalTexture
        assert (np.abs(np.asarray(picture, int) - [128, 128, 255]) <= 1).all()


def test_normals_of_a_head_are_those_of_its_surface():
    head = open_head(Path(BUILTIN))
    mesh = mesh_of_head(head, Path(BUILTIN), 6.0, torch.device("cpu"))
    inner = np.linalg.norm(head.frame.to_unit(mesh.vertices.view(np.ndarray)), axis=1) < 0.95
    points, normals = mesh.vertices.view(np.ndarray)[inner], mesh.vertex_normals[inner]
    surface_normals = normals_of_head(head, Path(BUILTIN), torch.device("cpu"))
    found = surface_normals(points + 0.5 * normals)
    assert np.median((found * normals).sum(axis=1)) > 0.999
    assert (surface_normals(points + 20.0 * normals) == 0.0).all(axis=1).mean() > 0.9


def test_a_light_obj_has_its_normal_map_beside_it(tmp_path: Path):
    mesh = ball()
    textured = textured_mesh(mesh, TexturePhotos(photographed(mesh, 0.0), None), 256, of_the_ball)
    save_mesh(textured, tmp_path / "me.obj")
    assert Image.open(tmp_path / "me.normals.png").size == (128, 128)
    assert "norm me.normals.png\n" in (tmp_path / "me.mtl").read_text()
    with pytest.raises(InputError, match="exists already"):
        save_mesh(textured, tmp_path / "me.obj")
    save_mesh(ball(), tmp_path / "me.obj", overwrite=True)
    assert not (tmp_path / "me.mtl").exists(), "ours, of the earlier export"


@pytest.mark.parametrize("faces", [None, 3000])
def test_a_light_export_of_a_run_has_a_normal_map(fit_run, tmp_path: Path, faces: int | None):
    file = tmp_path / "head.glb"
    Export(fit_run.folder, file, texture_size=256, spacing_mm=6.0, faces=faces).main()
    read = trimesh.load(file, process=False, force="mesh")
    assert (read.visual.material.normalTexture is not None) == (faces is not None)
