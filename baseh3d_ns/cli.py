"""`baseh3d synth | evaluate | export | prior | models | bench | report`: what nerfstudio's own tools do not do."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from baseh3d_ns.bounds import Count, CountOrNone, Pixels, Positive, Seed, Weight, check_bounds
from baseh3d_ns.errors import InputError, exit_on_input_error
from baseh3d_ns.evaluation.protocol import SCORED_SPACING_MM
from baseh3d_ns.extras import require_extra

if TYPE_CHECKING:
    from baseh3d_ns.benchmark.executors import Executor


@dataclass
class Synth:
    """Make synthetic heads (anny body model) in the H3DS layout, in millimetres."""

    out: tyro.conf.Positional[Path]
    """Folder to make; it must not hold anything else."""
    subjects: Count = 8
    """Number of heads."""
    views: Count = 24
    """Photos of each head (at least 3)."""
    size: Pixels = 256
    """Width and height of the photos in pixels."""
    seed: Seed = 0
    """Same seed, same heads."""
    noise: bool = False
    """Add what real captures have: poses and focal length off, exposure and light changing, masks off by pixels."""
    contact_sheet: bool = False
    """Also write contact_sheet.png: five views of every head."""
    photos: bool = False
    """Write folders of phone photos (clutter behind, a lens, EXIF) with the truth beside, not the H3DS layout."""

    def main(self) -> None:
        from baseh3d_ns.synthetic.dataset import synthesize
        from baseh3d_ns.synthetic.phone_photos import synthesize_photos

        if self.photos:
            if self.noise or self.contact_sheet:
                raise InputError("--photos goes with neither --noise nor --contact-sheet: leave these out")
            synthesize_photos(self.out.resolve(), self.subjects, self.views, self.size, self.seed)
            return
        synthesize(self.out.resolve(), self.subjects, self.views, self.size, self.seed, self.noise, self.contact_sheet)


@dataclass
class Export:
    """Write the head of a run as a closed, coloured mesh in world millimetres (GLB: metres)."""

    load_config: Path
    """Run folder, its config.yml, a head file or prior (.safetensors), a checkpoint (.ckpt), or `builtin`."""
    output: Path = Path("head.ply")
    """File to write: .ply, .obj, .glb or .stl."""
    spacing_mm: Positive = SCORED_SPACING_MM
    """Distance between the samples of the mesh, in millimetres."""
    keep_all: bool = False
    """Keep every piece of the surface, not only the largest."""
    overwrite: bool = False
    """Replace a file that is there already."""

    def main(self) -> None:
        from baseh3d_ns.heads.head_mesh import mesh_of_head, usual_device
        from baseh3d_ns.heads.readers import open_head
        from baseh3d_ns.mesh.files import check_mesh_path, save_mesh
        from baseh3d_ns.rendering.denormals import flush_denormals

        flush_denormals()
        check_mesh_path(self.output, overwrite=self.overwrite)
        head = open_head(self.load_config)
        mesh = mesh_of_head(head, self.load_config, self.spacing_mm, usual_device(), self.keep_all)
        if head.camera_centres is None:
            print("note: this file knows no cameras, so the colours are those seen from its unit frame's front (+z)")
        if not mesh.is_watertight:
            print("note: the surface has holes at this spacing; try a finer one")
        save_mesh(mesh, self.output, overwrite=self.overwrite)
        width, height, depth = mesh.extents
        print(f"{self.output}: {width:.0f} x {height:.0f} x {depth:.0f} mm, {len(mesh.vertices)} vertices")


@dataclass
class Evaluate:
    """Score the head of a run against the scan of its scene: face / head in mm, heatmap, picture, JSON."""

    load_config: Path
    """Run folder, its config.yml, a head file (.safetensors), or a checkpoint (.ckpt)."""
    data: Path | None = None
    """H3DS root of the scene, where it has moved since the training."""
    scene: str | None = None
    """Scene id, for files that do not record it (checkpoints, runs of 0.1.x)."""
    output_dir: Path | None = None
    """Folder for evaluation.json, evaluation.png and two .ply; by default `evaluation` in the run's folder, or
    `evaluation-2`, `-3` ... beside it when it is there."""
    spacing_mm: Positive = SCORED_SPACING_MM
    """Distance between the vertices that are scored, in millimetres; above 0.6 the official numbers read too high."""

    def main(self) -> None:
        from baseh3d_ns.evaluation.score_run import score_run
        from baseh3d_ns.rendering.denormals import flush_denormals

        flush_denormals()
        scored = score_run(self.load_config, self.data, self.scene, self.output_dir, self.spacing_mm)
        evaluation, known = scored.evaluation, scored.head.provenance
        views = f"{len(known['views'])} views" if "views" in known else "views unknown"
        method, steps = known.get("method", "method unknown"), known.get("steps", "unknown")
        print(f"scene {evaluation.provenance['scene']}, {views}, {method}, {steps} steps")
        official, rigid = evaluation.official, evaluation.rigid
        scales = f"{official.face_icp_scale:.3f}, {official.head_icp_scale:.3f}"
        print(f"h3ds package : face {official.face_mm:.2f} mm, head {official.head_mm:.2f} mm (its scale: {scales})")
        print(f"rigid, 2-way : face {rigid.face.mean_mm:.2f} mm, head {rigid.head.mean_mm:.2f} mm")
        for warning in evaluation.warnings:
            print(f"note: {warning}")
        print(f"written to {scored.folder}")


@dataclass
class Prior:
    """Print the content of a prior or a head file: architecture, frame, provenance."""

    file: tyro.conf.Positional[Path]
    """`builtin`, a run folder, its config.yml, a .safetensors, a .ckpt or an original IDR .pth."""

    def main(self) -> None:
        from baseh3d_ns.heads.description import describe_head

        print(describe_head(self.file))


@dataclass
class Models:
    """Fetch the pretrained networks for faces and silhouettes into the user's cache, and list them."""

    def main(self) -> None:
        from baseh3d_ns.pretrained.model_files import fetch, listing, models_folder

        fetch(models_folder())
        print(listing(models_folder()))


@dataclass
class Bench:
    """Run a benchmark: every method on every scene, each its own process; what is done is not done again."""

    definition: tyro.conf.Positional[Path]
    """Definition of the comparison: a .toml file, see configs."""
    data: Path | None = None
    """Root in the H3DS layout, instead of the definition's."""
    out: Path | None = None
    """Results folder; by default outputs/bench/NAME."""
    dry_run: bool = False
    """Only list the cells, the priors they need and how long they may take."""
    executor: Literal["local", "ray", "slurm"] = "local"
    """Executor of the cells: processes of this machine, a Ray cluster, or Slurm (through submitit)."""
    jobs: CountOrNone = 0
    """local: cells at a time; 0: one for each GPU, or one on the CPU."""
    cpus: Count = 2
    """ray, slurm: CPU cores of a cell."""
    gpus: Weight = 0.0
    """ray, slurm: GPUs of a cell."""
    ray_address: str | None = None
    """ray: address of the cluster; by default one that is found, or started here."""
    slurm_partition: str = ""
    """slurm: partition to ask for."""
    slurm_hours: Positive = 24.0
    """slurm: time limit of a cell, in hours."""

    def main(self) -> None:
        require_extra("bench")
        from baseh3d_ns.benchmark.plan import plan
        from baseh3d_ns.benchmark.read_definition import read_definition
        from baseh3d_ns.benchmark.report import write_report
        from baseh3d_ns.benchmark.run_folder import dry_run_report, only_one, open_sweep

        definition = read_definition(self.definition)
        cells = plan(definition, self.data)
        out = self.out or Path("outputs/bench") / definition.name
        if self.dry_run:
            print(dry_run_report(definition, cells, out, self.jobs))
            return
        sweep = open_sweep(self.definition, definition, cells, out, self.data or definition.data.path)
        with only_one(out):
            sweep.run_all(self.make_executor(out))
            page = write_report(out, definition, sweep.results())
        print((out / "tables.md").read_text(encoding="utf-8"))
        print(f"written to {page}")
        if sweep.failed:
            raise SystemExit(f"{len(sweep.failed)} cells have no result; the same command tries them again")

    def make_executor(self, out: Path) -> Executor:
        """The executor of the cells; an `InputError` when it is not there."""
        from baseh3d_ns.benchmark.executors import LocalExecutor, RayExecutor, SlurmExecutor

        if self.executor == "ray":
            return RayExecutor(self.ray_address, self.cpus, self.gpus)
        if self.executor == "slurm":
            limits = (self.slurm_partition, self.slurm_hours, self.cpus, self.gpus)
            return SlurmExecutor(out / "slurm", "slurm", *limits)
        return LocalExecutor(self.jobs)


@dataclass
class Report:
    """Write the report of a benchmark again: report.html, tables.md and results.csv in its folder."""

    run: tyro.conf.Positional[Path]
    """Results folder of `baseh3d bench`."""

    def main(self) -> None:
        require_extra("bench")
        from baseh3d_ns.benchmark.report import write_report
        from baseh3d_ns.benchmark.run_folder import reopen_sweep

        sweep = reopen_sweep(self.run)
        sweep.write_results()
        print(f"written to {write_report(sweep.run, sweep.definition, sweep.results())}")


Commands = (
    Annotated[Synth, tyro.conf.subcommand(name="synth")]
    | Annotated[Export, tyro.conf.subcommand(name="export")]
    | Annotated[Evaluate, tyro.conf.subcommand(name="evaluate")]
    | Annotated[Prior, tyro.conf.subcommand(name="prior")]
    | Annotated[Models, tyro.conf.subcommand(name="models")]
    | Annotated[Bench, tyro.conf.subcommand(name="bench")]
    | Annotated[Report, tyro.conf.subcommand(name="report")]
)


def entrypoint() -> None:
    """Console script `baseh3d`."""
    # nerfstudio uses names that torch is giving up: nothing that a user could act on.
    warnings.filterwarnings("ignore", category=FutureWarning)
    command = tyro.cli(Commands, prog="baseh3d", description=__doc__)  # type: ignore[arg-type]
    with exit_on_input_error():
        check_bounds(command)
        command.main()


if __name__ == "__main__":
    entrypoint()
