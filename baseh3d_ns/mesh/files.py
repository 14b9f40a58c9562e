"""A head mesh with normals and colours, and the files it is written to."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from baseh3d_ns.bars import progress_bar
from baseh3d_ns.errors import InputError
from baseh3d_ns.files import check_folder_of, named_disk_errors, whole_file
from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.mesh.colour_space import srgb_to_linear
from baseh3d_ns.rendering.chunks import points_per_call

if TYPE_CHECKING:
    import trimesh
    from PIL.Image import Image

MESH_SUFFIXES = (".ply", ".obj", ".glb", ".stl")
TEXTURED_SUFFIXES = (".obj", ".glb")
"""Formats that hold a texture."""
MATERIAL = "head"
"""Name of the material of a head."""
MATT = {"metallicFactor": 0.0, "roughnessFactor": 1.0}
"""Skin and hair in glTF's terms."""
COLOURS, TANGENTS = "_COLOURS", "_TANGENTS"
"""Attributes under which trimesh writes colours as they are (its own way makes them bytes), and tangents."""
GLTF_NAMES = {COLOURS: "COLOR_0", TANGENTS: "TANGENT"}
"""Names under which glTF viewers look for them."""
NEAR_BALL = 0.98
"""Radius from which on a vertex may be one on the ball, even at the coarsest spacing."""
Appearance = Callable[[Float[Tensor, "n 3"]], tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]]]
"""Points in the unit frame -> red, green, blue in [0, 1], and the gradient of the signed distance (any length)."""


def colour_mesh(
    mesh_mm: trimesh.Trimesh, appearance: Appearance, frame: SceneFrame, *, device: torch.device | str = "cpu"
) -> trimesh.Trimesh:
    """The same mesh with colours, and normals from the SDF gradient, at every vertex.

    On the cut of the surface by the ball of radius 1, the normal is the ball's: the SDF says nothing about the cut.
    """
    import trimesh

    device = torch.device(device)
    unit = frame.to_unit(mesh_mm.vertices.view(np.ndarray))
    on_cut = torch.from_numpy(_on_cut(unit, mesh_mm.faces.view(np.ndarray))).to(device)
    normals, colours = [], []
    parts = torch.from_numpy(unit).float().to(device).split(points_per_call(device, with_gradient=True))
    start = 0
    for part in progress_bar(parts, desc="Colouring the mesh", unit="chunk"):
        colour, gradient = appearance(part)
        here, start = on_cut[start : start + len(part), None], start + len(part)
        normal = torch.nn.functional.normalize(torch.where(here, part, gradient.detach()), dim=-1)
        colours.append((colour.detach().clamp(0.0, 1.0) * 255.0).round().byte().cpu())
        normals.append(normal.cpu())
    return trimesh.Trimesh(
        mesh_mm.vertices,
        mesh_mm.faces,
        vertex_normals=torch.cat(normals).double().numpy(),
        vertex_colors=torch.cat(colours).numpy(),
        process=False,
    )


def _on_cut(points: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> Bool[np.ndarray, " v"]:
    """Whether vertices lie on the ball of radius 1, or inside it by no more than their longest edge does in its middle,
    its length squared / 8: so much do vertices lack that were interpolated along an edge."""
    radius = np.linalg.norm(points, axis=1)
    around = faces[(radius[faces] > NEAR_BALL).any(axis=1)]
    longest = np.zeros(len(points))
    for ends in (around[:, [0, 1]], around[:, [1, 2]], around[:, [2, 0]]):
        length = np.linalg.norm(points[ends[:, 0]] - points[ends[:, 1]], axis=1)
        np.maximum.at(longest, ends, length[:, None])
    return radius > 1.0 - 1e-5 - longest**2 / 8.0


def check_mesh_path(path: Path, *, overwrite: bool = False, textured: bool = False) -> None:
    """Raise `InputError` for a suffix that is no mesh format, or an existing file that may not be replaced.

    A textured .obj has its material and its texture in files beside it, which may not be replaced either.
    """
    if path.suffix.lower() not in MESH_SUFFIXES:
        raise InputError(f"{path}: cannot write a mesh as '{path.suffix}'; use {', '.join(MESH_SUFFIXES)}")
    beside = _material_files(path) if textured and path.suffix.lower() == ".obj" else ()
    there = next((file for file in (path, *beside) if os.path.exists(file)), None)
    if there is not None and not overwrite:
        raise InputError(f"{there} exists already: choose another name, or pass --overwrite")
    foreign = next((file for file in beside if os.path.exists(file)), None)
    if foreign is not None and not _earlier_material_files(path):
        raise InputError(
            f"{foreign} lies there without the material of an earlier export, and would be replaced: move it away, or "
            "choose another name"
        )
    check_folder_of(path)


def save_mesh(mesh_mm: trimesh.Trimesh, path: Path, *, overwrite: bool = False) -> None:
    """Write a mesh in world millimetres; the suffix chooses the format.

    .ply, .obj  world mm, with vertex normals, and colours where the mesh has them; a texture of an .obj, and the
                material that names it, are files of the same name beside it (.png, .mtl, and .normals.png where
                it has a normal map)
    .stl        world mm, shape only
    .glb        metres with y up (the format's own; H3DS worlds are y up already), normals likewise, and colours as
                linear floats (glTF 2.0, section 3.7.2.1; in the others they are sRGB bytes), or a texture in sRGB

    An .obj has no comment lines: the reader of `h3ds` counts "f " anywhere in the text. Nothing half written is left
    under `path`. With `overwrite`, material and textures of an earlier export of that name go where the new one has
    none.

    Raises:
        InputError: another suffix, an existing file without `overwrite`, or a folder that cannot be written to.
    """
    from trimesh.visual import TextureVisuals

    path = Path(path)
    textured = isinstance(mesh_mm.visual, TextureVisuals)
    check_mesh_path(path, overwrite=overwrite, textured=textured)
    if textured and path.suffix.lower() == ".obj":
        files = _textured_obj(mesh_mm, path)
    else:
        files = {path: encode_mesh(mesh_mm, path.suffix.lower())}
    earlier = _earlier_material_files(path) if overwrite else ()
    with ExitStack() as all_or_none:
        for file, content in files.items():
            all_or_none.enter_context(whole_file(file)).write_bytes(content)
    for file in earlier:
        if file not in files:
            with named_disk_errors(file):
                file.unlink(missing_ok=True)


def encode_mesh(mesh_mm: trimesh.Trimesh, suffix: str) -> bytes:
    """The bytes of a mesh file, see `save_mesh`."""
    options: dict[str, dict[str, Any]] = {
        ".ply": {"vertex_normal": True},
        ".obj": {"include_normals": True, "digits": 6, "header": None},
        ".stl": {},
        ".glb": {"include_normals": True, "tree_postprocessor": _complete_gltf},
    }
    if suffix == ".glb":
        mesh_mm = _gltf_mesh(mesh_mm)
    content = mesh_mm.export(file_type=suffix[1:], **options[suffix])
    return content.encode() if isinstance(content, str) else cast(bytes, content)


def _material_files(path: Path) -> tuple[Path, Path, Path]:
    """Material, texture and normal map of a textured .obj."""
    return path.with_suffix(".mtl"), path.with_suffix(".png"), path.with_suffix(".normals.png")


def _material_text(texture: Path, normals: Path | None) -> str:
    """Content of a textured .obj's material."""
    text = f"newmtl {MATERIAL}\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {texture.name}\n"
    # Not as map_Bump as well: Blender (5.0) would read the map as sRGB and shade even flat places wrongly.
    return text if normals is None else f"{text}norm {normals.name}\n"


def _earlier_material_files(path: Path) -> tuple[Path, ...]:
    """Material that an earlier export wrote beside that .obj, and the pictures it names, the material last; none where
    there is none, or another program's."""
    material, texture, normals = _material_files(path)
    if path.suffix.lower() != ".obj" or not material.is_file():
        return ()
    text = material.read_bytes()
    for named, pictures in ((None, (texture,)), (normals, (texture, normals))):
        if text == os.fsencode(_material_text(texture, named)):
            return *pictures, material
    return ()


def _textured_obj(mesh_mm: trimesh.Trimesh, path: Path) -> dict[Path, bytes]:
    """The files of a textured .obj."""
    from trimesh.exchange.obj import export_obj
    from trimesh.visual import TextureVisuals
    from trimesh.visual.material import SimpleMaterial

    material, texture, normals = _material_files(path)
    visual = cast(Any, mesh_mm.visual)
    plain = mesh_mm.copy(include_cache=True)
    plain.visual = TextureVisuals(uv=visual.uv, material=SimpleMaterial(name=MATERIAL))
    text = export_obj(plain, include_normals=True, digits=6, header=None, mtl_name=material.name)
    files = {path: os.fsencode(text), texture: _png(visual.material.baseColorTexture)}
    has_normals = visual.material.normalTexture is not None
    if has_normals:
        files[normals] = _png(visual.material.normalTexture)
    return {**files, material: os.fsencode(_material_text(texture, normals if has_normals else None))}


def _png(image: Image) -> bytes:
    png = io.BytesIO()
    image.save(png, format="PNG")
    return png.getvalue()


def _gltf_mesh(mesh_mm: trimesh.Trimesh) -> trimesh.Trimesh:
    """The mesh in metres, its colours as linear floats: 8 bits of linear light would show steps in dark hair."""
    from trimesh.visual import ColorVisuals

    metres = mesh_mm.copy(include_cache=True)
    metres.apply_scale(1e-3)
    if isinstance(mesh_mm.visual, ColorVisuals) and mesh_mm.visual.kind == "vertex":
        srgb = np.asarray(mesh_mm.visual.vertex_colors)[:, :3] / 255.0
        metres.visual = ColorVisuals()
        metres.vertex_attributes[COLOURS] = srgb_to_linear(srgb).astype(np.float32)
    return metres


def _complete_gltf(tree: dict[str, Any]) -> None:
    """Give trimesh's custom attributes the names that glTF viewers look for, and a mesh without a texture a material:
    glTF's default is metal (glTF 2.0, section 3.9.2), which is black without surroundings to mirror."""
    for mesh in tree["meshes"]:
        for primitive in mesh["primitives"]:
            if "material" not in primitive:
                tree["materials"] = [{"name": MATERIAL, "pbrMetallicRoughness": MATT}]
                primitive["material"] = 0
            attributes = primitive["attributes"]
            for ours in GLTF_NAMES.keys() & attributes.keys():
                attributes[GLTF_NAMES[ours]] = attributes.pop(ours)
