"""`baseh3d synth | evaluate | export | prior`: what nerfstudio's own tools do not do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro

from baseh3d_ns.errors import exit_on_input_error

SPACING_MM = 0.6
"""Mesh edges of 0.58 mm on average: the official metric measures to mesh vertices, so a coarse mesh reads too high."""


@dataclass
class Synth:
    """Make synthetic heads (anny body model) in the H3DS layout, in millimetres."""

    out: tyro.conf.Positional[Path]
    """Folder to make; it must not hold anything else."""
    subjects: int = 8
    """Number of heads."""
    views: int = 24
    """Photos of each head (at least 3)."""
    size: int = 256
    """Width and height of the photos in pixels."""
    seed: int = 0
    """Same seed, same heads."""
    noise: bool = False
    """Add what real captures have: poses and focal length off, exposure and light changing, masks off by pixels."""
    contact_sheet: bool = False
    """Also write contact_sheet.png: five views of every head."""

    def main(self) -> None:
        from baseh3d_ns.synthetic.dataset import synthesize

        synthesize(self.out.resolve(), self.subjects, self.views, self.size, self.seed, self.noise, self.contact_sheet)


@dataclass
class Export:
    """Write the head of a run as a closed, coloured mesh in world millimetres (GLB: metres)."""

    load_config: Path
    """config.yml of the run."""
    output: Path = Path("head.ply")
    """File to write: .ply, .obj, .glb or .stl."""
    spacing_mm: float = SPACING_MM
    """Distance between the samples of the mesh, in millimetres."""
    keep_all: bool = False
    """Keep every piece of the surface, not only the largest."""
    overwrite: bool = False
    """Replace a file that is there already."""

    def main(self) -> None:
        from baseh3d_ns.mesh_files import check_mesh_path, save_mesh
        from baseh3d_ns.runs import mesh_of_run, open_run

        check_mesh_path(self.output, overwrite=self.overwrite)
        mesh = mesh_of_run(open_run(self.load_config), self.spacing_mm, self.keep_all)
        if not mesh.is_watertight:
            print("note: the surface has holes at this spacing; try a finer one")
        save_mesh(mesh, self.output, overwrite=self.overwrite)
        width, height, depth = mesh.extents
        print(f"{self.output}: {width:.0f} x {height:.0f} x {depth:.0f} mm, {len(mesh.vertices)} vertices")


@dataclass
class Evaluate:
    """Score the head of a run against the scan of its scene: face / head in mm, heatmap, picture, JSON."""

    load_config: Path
    """config.yml of the run."""
    data: Path | None = None
    """The data, where they have moved since the training."""
    output_dir: Path | None = None
    """Folder for evaluation.json, evaluation.png and two .ply; by default `evaluation` in the run's folder."""
    spacing_mm: float = SPACING_MM
    """Distance between the vertices that are scored, in millimetres; above 0.6 the official numbers read too high."""

    def main(self) -> None:
        from baseh3d_ns.evaluation.report import check_scene, evaluate_mesh, write_evaluation
        from baseh3d_ns.evaluation.run_provenance import run_provenance, three_photos
        from baseh3d_ns.runs import mesh_of_run, open_run, scene_of_run

        run = open_run(self.load_config)
        parser = scene_of_run(run, self.data)
        h3ds, scene = parser.root.h3ds, parser.scene
        check_scene(h3ds, scene.scene_id)
        # Halving the edges of a mesh twice as coarse moves its surface by microns and takes a quarter of the time.
        mesh = mesh_of_run(run, 2.0 * self.spacing_mm)
        provenance = run_provenance(run, parser)
        evaluation = evaluate_mesh(h3ds, scene.scene_id, mesh, halvings=1, provenance=provenance)
        folder = self.output_dir or run.checkpoint.parents[1] / "evaluation"
        folder = write_evaluation(folder, evaluation, mesh, three_photos(scene))
        print(f"scene {scene.scene_id}, {len(parser.train_views)} views, {run.config.method_name}, step {run.step}")
        official, rigid = evaluation.official, evaluation.rigid
        scales = f"{official.face_icp_scale:.3f}, {official.head_icp_scale:.3f}"
        print(f"h3ds package : face {official.face_mm:.2f} mm, head {official.head_mm:.2f} mm (its scale: {scales})")
        print(f"rigid, 2-way : face {rigid.face.mean_mm:.2f} mm, head {rigid.head.mean_mm:.2f} mm")
        for warning in evaluation.warnings:
            print(f"note: {warning}")
        print(f"written to {folder}")


@dataclass
class Prior:
    """Print what is in a prior: architecture, frame, where it comes from."""

    file: tyro.conf.Positional[Path]
    """`builtin`, a .safetensors prior, a run folder, a config.yml, a .ckpt or an original IDR .pth."""

    def main(self) -> None:
        from baseh3d_ns.priors.head_prior import architecture, summary
        from baseh3d_ns.priors.sources import find_prior_file, load_prior

        prior = load_prior(self.file)
        numbers = sum(tensor.numel() for tensor in prior.weights.values())
        print(f"{find_prior_file(self.file)}")
        print(f"  networks   : {summary(architecture(prior.weights))}; {len(prior.weights)} tensors, {numbers} numbers")
        print(f"  frame (mm) : {asdict(prior.frame) if prior.frame else 'not recorded'}")
        if prior.latents is not None:
            heads, size = prior.latents.shape
            print(f"  shape space: {heads} heads, latents of {size} numbers")
        print(f"  optimiser  : {f'Adam after {prior.adam_steps} steps' if prior.moments else 'not kept'}")
        for name, value in prior.provenance.items():
            print(f"  {name:<11}: {value}")


Commands = (
    Annotated[Synth, tyro.conf.subcommand(name="synth")]
    | Annotated[Export, tyro.conf.subcommand(name="export")]
    | Annotated[Evaluate, tyro.conf.subcommand(name="evaluate")]
    | Annotated[Prior, tyro.conf.subcommand(name="prior")]
)


def entrypoint() -> None:
    """Console script `baseh3d`."""
    command = tyro.cli(Commands, prog="baseh3d", description=__doc__)  # type: ignore[arg-type]
    with exit_on_input_error():
        command.main()


if __name__ == "__main__":
    entrypoint()
