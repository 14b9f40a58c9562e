"""Sources of a shape space's heads: an H3DS root, a folder of meshes, or a generator of synthetic heads."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from nerfstudio.utils.rich_utils import CONSOLE

from baseh3d_ns.bars import progress_bar
from baseh3d_ns.data.head_size import UNITS_MM, Unit
from baseh3d_ns.data.mesh_rows import check_all_rows
from baseh3d_ns.data.obj import plain_obj, read_obj
from baseh3d_ns.data.scan_files import read_landmarks
from baseh3d_ns.errors import InputError, nearest
from baseh3d_ns.mesh.colour_space import linear_to_srgb
from baseh3d_ns.shape_space.surface_samples import HeadSamples, check_mesh, sample_mesh, standard_pose

if TYPE_CHECKING:
    import trimesh

SUFFIXES = (".ply", ".obj", ".glb")
TEST_TAG = "h3d-net"
"""H3DS' tag of the scenes that methods are compared on: never learned from."""


@runtime_checkable
class HeadGenerator(Protocol):
    """A generator of synthetic heads."""

    @staticmethod
    def heads(cache_dir: Path, count: int, seed: int, points: int) -> list[HeadSamples]:
        """The first `count` heads of `seed` with so many points each, kept in `cache_dir`."""
        ...

    @staticmethod
    def check(cache_dir: Path, count: int, seed: int, points: int) -> None:
        """Raise `InputError` when heads are missing in `cache_dir` and cannot be made."""
        ...

    @staticmethod
    def provenance(seed: int) -> str:
        """Name, version and seed of the generator."""
        ...


@dataclass(frozen=True)
class Source:
    """Heads by name, and how to load them."""

    names: list[str]
    load: Callable[[int], list[HeadSamples]]
    """The first so many heads, with as many points each.

    Raises:
        InputError: a file that cannot be used, by its name.
    """
    provenance: str
    """Folder, or generator and seed."""
    check: Callable[[], None] = lambda: None
    """Raises `InputError` when the heads cannot be loaded, as far as can be told at once."""


def folder_source(folder: Path, points: int, unit: Unit, scenes: tuple[str, ...] = ()) -> Source:
    """Scans of an H3DS root, or the meshes of a folder.

    Args:
        folder: an H3DS root, or a folder of .ply, .obj and .glb files.
        points: points taken from every head.
        unit: unit of the files of a folder of meshes.
        scenes: ids of an H3DS root's scenes; empty: all but the test scenes.

    Raises:
        InputError: no such folder, nothing in it to learn from, or a scene that it does not have or that is for tests.
    """
    if not folder.is_dir():
        raise InputError(f"no such folder: {folder}; pass an H3DS root or a folder of {', '.join(SUFFIXES)} files")
    if (folder / "version.txt").is_file():
        return _h3ds(folder, points, scenes)
    if scenes:
        raise InputError(f"{folder} is no H3DS root, so it has no scenes: leave out --pipeline.datamanager.scenes")
    return _meshes(folder, points, UNITS_MM[unit])


def synthetic_source(generator: HeadGenerator, cache_dir: Path, heads: int, seed: int, points: int) -> Source:
    """Synthetic heads, made once and kept in `cache_dir`."""

    def load(count: int) -> list[HeadSamples]:
        return generator.heads(cache_dir, min(count, heads), seed, points)

    def check() -> None:
        generator.check(cache_dir, heads, seed, points)

    return Source([f"anny-{seed}-{index:05d}" for index in range(heads)], load, generator.provenance(seed), check)


def h3ds_scans(root: Path) -> list[str]:
    """Scenes of an H3DS root whose scans may be learned from: all that are there, without the test scenes."""
    from baseh3d_ns.data.h3ds_root import open_h3ds

    opened = open_h3ds(root)
    helper = opened.h3ds.helper
    return [
        scene
        for scene in opened.scene_ids()
        if TEST_TAG not in helper.scene_tags(scene) and (root / scene / "full_head.obj").is_file()
    ]


def _h3ds(root: Path, count: int, wanted: tuple[str, ...]) -> Source:
    from baseh3d_ns.data.h3ds_root import open_h3ds

    scenes = h3ds_scans(root)
    for scene in wanted:
        if scene not in scenes:
            raise InputError(
                f"{root} has no scan '{scene}' to learn from (one with the tag '{TEST_TAG}' is for testing); nearest: "
                f"{nearest(scene, scenes)}"
            )
    scenes = list(dict.fromkeys(wanted)) or scenes
    if not scenes:
        raise InputError(
            f"{root} holds no scan without the tag '{TEST_TAG}': those are for testing, get the other scenes"
        )
    h3ds = open_h3ds(root).h3ds

    def load_scene(scene: str) -> tuple[trimesh.Trimesh, dict[str, np.ndarray] | None]:
        import trimesh

        scan = h3ds.load_mesh(scene)
        places = {name: scan.vertices[vertex] for name, vertex in h3ds.load_landmarks(scene).items()}
        return trimesh.Trimesh(scan.vertices, scan.faces, process=False), places

    return Source(
        scenes, lambda n: _sampled(scenes[:n], load_scene, count, lambda s: root / s / "full_head.obj"), str(root)
    )


def _meshes(folder: Path, count: int, mm_per_unit: float) -> Source:
    files = {file.name: file for file in sorted(folder.glob("[!.]*")) if file.suffix.lower() in SUFFIXES}
    if not files:
        raise InputError(
            f"{folder} holds no {', '.join(SUFFIXES)} file (and no version.txt of H3DS): pass another folder"
        )

    def load_file(name: str) -> tuple[trimesh.Trimesh, dict[str, np.ndarray] | None]:
        mesh, numbered = _read_mesh(files[name])
        mesh.apply_scale(mm_per_unit)
        beside = files[name].with_suffix(".landmarks.txt")
        if not beside.is_file():
            return mesh, None
        landmarks = read_landmarks(beside, len(numbered))
        return mesh, {landmark: numbered[vertex] * mm_per_unit for landmark, vertex in landmarks.items()}

    return Source(list(files), lambda n: _sampled(list(files)[:n], load_file, count, files.__getitem__), str(folder))


def _sampled(names: list[str], read: Callable, count: int, path_of: Callable[[str], Path]) -> list[HeadSamples]:
    """Every head read, checked, brought to the standard frame by its landmarks, if any, and sampled."""
    found, unmarked = [], []
    for number, name in enumerate(progress_bar(names, desc="Reading heads", unit="head")):
        mesh, landmarks = read(name)
        try:
            check_mesh(mesh)
            if landmarks:
                mesh.apply_transform(standard_pose(landmarks))
            else:
                unmarked.append(name)
            found.append(sample_mesh(mesh, count, number, _vertex_colours(mesh)))
        except InputError as error:
            raise InputError(f"{path_of(name)}: {error}") from error
    if unmarked:
        CONSOLE.log(
            f"{len(unmarked)} of {len(found)} heads have no landmarks beside them ({', '.join(unmarked[:10])}), so "
            "they stand as they are: origin between the ears, +y up, +z ahead."
        )
    return found


def _read_mesh(file: Path) -> tuple[trimesh.Trimesh, np.ndarray]:
    """The surface in a file, and its vertices [n, 3] as the file numbers them, which landmarks count.

    Raises:
        InputError: damaged, or without faces.
    """
    import trimesh

    content: dict[str, Any] = {"file_obj": file}
    numbered = None
    check_all_rows(file)
    if file.suffix.lower() == ".obj":
        # trimesh parts a file's materials and texture seams, each with its own copies of vertices.
        numbered, _ = read_obj(file)
        resolver = trimesh.resolvers.FilePathResolver(str(file))
        content = {"file_obj": io.StringIO(plain_obj(file)), "file_type": "obj", "resolver": resolver}
    try:
        loaded = trimesh.load(**content, process=False, maintain_order=True)
        if isinstance(loaded, trimesh.Scene) and file.suffix.lower() == ".glb":
            for part in loaded.geometry.values():
                _to_srgb_colours(part)
        mesh = loaded.to_geometry() if isinstance(loaded, trimesh.Scene) else loaded
        textured = isinstance(getattr(mesh, "visual", None), trimesh.visual.TextureVisuals)
        if file.suffix.lower() == ".ply" and textured:
            # Here too, unless told not to; then it reads no texture.
            numbered = np.array(trimesh.load_mesh(file, process=False, maintain_order=True, fix_texture=False).vertices)
    except Exception as error:  # its readers raise whatever the damaged bytes lead them to
        raise InputError(f"{file}: it cannot be read as a mesh ({type(error).__name__}): export it again") from error
    if not isinstance(mesh, trimesh.Trimesh):
        raise InputError(f"{file}: it has no faces: export the surface, not a point cloud")
    return mesh, np.array(mesh.vertices) if numbered is None else numbered


def _to_srgb_colours(mesh: Any) -> None:
    """Turn the linear colours that glTF gives the vertices of a mesh without a texture into sRGB."""
    import trimesh

    if not isinstance(mesh, trimesh.Trimesh):
        return
    if isinstance(mesh.visual, trimesh.visual.TextureVisuals):
        # Where there is a material, trimesh keeps them beside it.
        beside = mesh.visual.vertex_attributes.get("color")
        if beside is None or _has_texture(mesh.visual.material):
            return
        mesh.visual = trimesh.visual.ColorVisuals(mesh, vertex_colors=beside)
    if isinstance(mesh.visual, trimesh.visual.ColorVisuals) and mesh.visual.kind == "vertex":
        linear = mesh.visual.vertex_colors[:, :3] / 255.0
        mesh.visual.vertex_colors = (255.0 * linear_to_srgb(linear)).round().astype(np.uint8)


def _has_texture(material: Any) -> bool:
    return getattr(material, "image", None) is not None or getattr(material, "baseColorTexture", None) is not None


def _vertex_colours(mesh: trimesh.Trimesh) -> np.ndarray | None:
    import trimesh

    visual = mesh.visual
    if visual is None or not visual.defined:
        return None
    if isinstance(visual, trimesh.visual.TextureVisuals):
        if not _has_texture(visual.material):
            return None
        visual = visual.to_color()
    colours = np.asarray(visual.vertex_colors)
    # What is not a colour a vertex must not count as grey.
    return colours[:, :3] / 255.0 if colours.ndim == 2 and len(colours) == len(mesh.vertices) else None
