"""`baseh3d export | turntable | evaluate | prior`: commands that open a head."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from baseh3d_ns.bounds import Faces, Pixels, Positive, TextureSize
from baseh3d_ns.errors import InputError
from baseh3d_ns.evaluation.protocol import SCORED_SPACING_MM
from baseh3d_ns.files import check_folder_of

if TYPE_CHECKING:
    from baseh3d_ns.heads.opened import OpenedHead
    from baseh3d_ns.texture.photos import TexturePhotos

COLOURED_SPACING_MM = 1.0
"""Distance between the samples of a mesh whose vertices carry the colours."""


@dataclass
class Export:
    """Write the head of a run as a closed mesh in world millimetres (GLB: metres), textured by its photos."""

    load_config: Path
    """Run folder, its config.yml, a head file or prior (.safetensors), a checkpoint (.ckpt), or `builtin`."""
    output: Path = Path("head.ply")
    """File to write: .ply, .obj, .glb or .stl. A .ply says how many training photos see each vertex (`seen`)."""
    texture: tyro.conf.FlagConversionOff[bool] = True
    """Bake the training photos into a texture of an .obj or a .glb. Without, and in a .ply, vertices have the colours
    that the head has learned."""
    texture_size: TextureSize = 2048
    """Width and height of the texture in pixels."""
    data: Path | None = None
    """Folder of the photos (H3DS root, own photos), where it has moved since the training."""
    scene: str | None = None
    """Scene id, for files that do not record it (runs of 0.1.x)."""
    spacing_mm: Positive | None = None
    """Distance between the samples of the mesh, in millimetres; by default 2 with a texture, else 1."""
    faces: Faces | None = None
    """Most triangles of the mesh, by quadric decimation; by default as many as the spacing makes. A texture then has a
    normal map beside it."""
    keep_all: bool = False
    """Keep every piece of the surface, not only the largest."""
    overwrite: bool = False
    """Replace a file that is there already."""

    def main(self) -> None:
        from baseh3d_ns.heads.opened import OpenedHead
        from baseh3d_ns.mesh.extract import has_holes, mesh_of_head, usual_device
        from baseh3d_ns.mesh.files import TEXTURED_SUFFIXES, check_mesh_path, save_mesh
        from baseh3d_ns.rendering.denormals import flush_denormals
        from baseh3d_ns.texture.normal_map import normals_of_head
        from baseh3d_ns.texture.textured import TEXTURED_SPACING_MM, textured_mesh
        from baseh3d_ns.texture.visibility import seen_by_how_many

        flush_denormals()
        suffix = self.output.suffix.lower()
        textured = self.texture and suffix in TEXTURED_SUFFIXES
        if (self.data or self.scene) and not (textured or suffix == ".ply"):
            raise InputError(
                f"--data and --scene name photos, which a {suffix} without a texture does not need: leave them out"
            )
        check_mesh_path(self.output, overwrite=self.overwrite, textured=textured)
        opened = OpenedHead.read(self.load_config, self.data, self.scene)
        head = opened.head
        if not head.provenance.get("views") and (self.data or self.scene):
            raise InputError(
                f"{opened.file} does not record its training views, so --data and --scene are of no use: leave them "
                "out, or pass the head.safetensors of the run"
            )
        textured &= head.latents is None
        counted = suffix == ".ply" and "views" in head.provenance
        photos = self._photos(opened, textured) if textured or counted else None
        textured = textured and photos is not None
        spacing_mm = self.spacing_mm or (TEXTURED_SPACING_MM if textured else COLOURED_SPACING_MM)
        mesh = mesh_of_head(head, self.load_config, spacing_mm, usual_device(), self.keep_all, self.faces)
        for doubt in head.doubts:
            print(f"note: {doubt}")
        if head.camera_centres is None:
            print("note: this file knows no cameras, so the colours are those seen from its unit frame's front (+z)")
        if has_holes(mesh):
            print("note: the surface has holes at this spacing; try a finer one")
        if photos is not None and textured:
            normals = normals_of_head(head, self.load_config, usual_device()) if self.faces else None
            mesh = textured_mesh(mesh, photos, self.texture_size, normals)
        elif photos is not None:
            mesh.vertex_attributes["seen"] = seen_by_how_many(mesh, photos)
        save_mesh(mesh, self.output, overwrite=self.overwrite)
        width, height, depth = mesh.extents
        print(f"{self.output}: {width:.0f} x {height:.0f} x {depth:.0f} mm, {len(mesh.vertices)} vertices")

    def _photos(self, opened: OpenedHead, textured: bool) -> TexturePhotos | None:
        """Training photos; None where they cannot be opened, with a note of what the mesh has to go without."""
        from baseh3d_ns.texture.textured import open_texture_photos

        try:
            return open_texture_photos(opened, self.texture_size)
        except InputError as error:
            if self.data is not None or self.scene is not None:
                raise
            missed = "texture, but vertex colours" if textured else "count of the photos that see each vertex"
            print(f"note: no {missed}: {error}")
            return None


@dataclass
class Turntable:
    """Write a film: once round a fitted head, while the prior that it started from becomes what the photos made."""

    load_config: Path
    """Run folder of a fit from a prior, or its config.yml."""
    output: Path = Path("head.mp4")
    """File to write (.mp4)."""
    seconds: Positive = 6.0
    """Length of the film in seconds."""
    size: Pixels = 384
    """Width and height in pixels, even."""
    picture: Literal["rgb", "normal"] = "rgb"
    """Colours, or normals in the camera's axes, which show the shape alone."""
    overwrite: bool = False
    """Replace a file that is there already."""

    def main(self) -> None:
        if self.output.suffix.lower() != ".mp4":
            raise InputError(f"{self.output}: films are written as .mp4, choose such a name")
        if os.path.exists(self.output) and not self.overwrite:
            raise InputError(f"{self.output} exists already: choose another name, or pass --overwrite")
        check_folder_of(self.output)
        if self.size % 2:
            raise InputError(f"--size {self.size}: H.264 needs an even number of pixels, take {self.size + 1}")
        from baseh3d_ns.mesh.extract import usual_device
        from baseh3d_ns.rendering.denormals import flush_denormals
        from baseh3d_ns.viewer.turntable import make_turntable

        flush_denormals()
        device = usual_device()
        count = make_turntable(self.load_config, self.output, self.seconds, self.size, self.picture, device)
        print(f"{self.output}: {count} pictures of {self.size} x {self.size} pixels")


@dataclass
class Evaluate:
    """Score a head against a scan, face / head in mm; without one, say how well it fits its photos."""

    load_config: Path
    """Run folder, its config.yml, a head file (.safetensors), or a checkpoint (.ckpt)."""
    data: Path | None = None
    """Folder of the data (H3DS root, own photos), where it has moved since the training."""
    scene: str | None = None
    """Scene id, for files that do not record it (checkpoints, runs of 0.1.x)."""
    scan: Path | None = None
    """Any mesh of the head to score against (.ply, .obj, .stl, .glb ...), in any world; by default the scene's scan."""
    unit: Literal["mm", "cm", "m", "in"] | None = None
    """Unit of --scan; by default metres for a .glb, else millimetres."""
    output_dir: Path | None = None
    """Folder for evaluation.json, evaluation.png and, with a scan, two .ply; by default `evaluation` in the run's
    folder (of `builtin`: here), or `evaluation-2`, `-3` ... beside it when it is there."""
    spacing_mm: Positive = SCORED_SPACING_MM
    """Distance in millimetres between the vertices that the official score measures to: above 0.6 it reads too high.
    The mesh, and so every rigid score, is twice as coarse. Without a scan it has no effect."""

    def main(self) -> None:
        from baseh3d_ns.evaluation.evaluate_run import evaluate_run
        from baseh3d_ns.heads.opened import OpenedHead
        from baseh3d_ns.rendering.denormals import flush_denormals

        flush_denormals()
        opened = OpenedHead.read(self.load_config, self.data, self.scene)
        print(*evaluate_run(opened, self.output_dir, self.spacing_mm, self.scan, self.unit), sep="\n")


@dataclass
class Prior:
    """Print the content of a prior or a head file: architecture, frame, provenance."""

    file: tyro.conf.Positional[Path]
    """`builtin`, a run folder, its config.yml, a .safetensors, a .ckpt or an original IDR .pth."""

    def main(self) -> None:
        from baseh3d_ns.heads.description import describe_head

        print(describe_head(self.file))
