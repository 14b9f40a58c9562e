"""A finished benchmark as it lies on the disk: two rows on two scenes, small spheres for heads, flat pictures."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image

from baseh3d_ns.benchmark.definition import DataSource, Definition, Row, SyntheticData
from baseh3d_ns.benchmark.point import Point
from baseh3d_ns.benchmark.results import Result, curves_frame, to_frame

SCENES = ("scan0", "scan1")
DEFINITION = Definition(
    name="two",
    title="Two methods <on> two scenes",
    scenes=SCENES,
    data=DataSource(synthetic=SyntheticData(2)),
    rows=(Row("ours", "baseh3d-fast", published="BaseH3D-Net"), Row("idr", "idr")),
    epochs=100,
)
FACE_MM = {("ours", "scan0"): 1.0, ("ours", "scan1"): 2.0, ("idr", "scan0"): 3.0, ("idr", "scan1"): 5.0}
PROVENANCE = {
    "packages": {"torch": "2.9.1", "h3ds": "0.4.0"},
    "git_commit": "abc123",
    "date": "2026-11-01T10:00:00+00:00",
    "dataset_path": "/home/someone/data",
    "config": "config.toml",
}


def result(row: str, scene: str, face_mm: float | None, **others) -> Result:
    """One done fit; the head error is four times that of the face, the rigid ones are 0.1 above."""
    errors = {}
    if face_mm is not None:
        errors = {"face_mm": face_mm, "head_mm": 4 * face_mm}
        errors |= {"face_rigid_mm": face_mm + 0.1, "head_rigid_mm": 4 * face_mm + 0.1}
    # The ids of `baseh3d synth` are as long as those of H3DS.
    scene_id = hashlib.sha256(scene.encode()).hexdigest()[:16]
    fixed = {"id": f"{row}-{scene}", "method": "m", "scene_id": scene_id, "views": "3", "seed": 0, "status": "done"}
    return Result(row=row, scene=scene, **{**fixed, **errors, **others})


def floors(scenes=SCENES, face_mm: float = 0.2) -> list[Result]:
    """The floor of every scene."""
    return [result("floor", scene, face_mm, kind="floor", views="") for scene in scenes]


def all_results() -> list[Result]:
    """Four fits and two floors."""
    fits = []
    for number, ((row, scene), face_mm) in enumerate(FACE_MM.items()):
        curve = tuple(Point(step, step / 10, face_mm + 100 / step, 4 * face_mm + 100 / step) for step in (50, 100, 200))
        fits.append(
            result(
                row,
                scene,
                face_mm,
                train_s=20.0 + 10 * number,
                peak_memory_gb=1.5,
                epochs=100,
                steps=300,
                device="CPU, 2 threads",
                curve=curve,
                provenance=PROVENANCE,
            )
        )
    return [*fits, *floors()]


FRAME, CURVES = to_frame(all_results()), curves_frame(all_results())


def head(radius_mm: float, subdivisions: int, colour: tuple[int, int, int]) -> trimesh.Trimesh:
    """A sphere with a nose (towards +z) in one colour, the nose white."""
    sphere = trimesh.creation.icosphere(subdivisions=subdivisions)
    vertices = sphere.vertices * radius_mm * [0.75, 1.0, 0.85]
    nose = np.linalg.norm(sphere.vertices - [0.0, 0.0, 1.0], axis=1) < 0.2
    vertices[nose, 2] += 0.2 * radius_mm
    colours = np.where(nose[:, None], 255, np.array(colour)).astype(np.uint8)
    return trimesh.Trimesh(vertices, sphere.faces, vertex_colors=colours, process=False)


def write_run(run: Path, subdivisions: int = 4) -> list[tuple[Path, Result]]:
    """The folders of the four fits; the last one has no evaluation and no curve."""
    cells = []
    for number, one in enumerate(all_results()):
        folder = run / "cells" / one.id
        folder.mkdir(parents=True)
        one.save(folder)
        cells.append((folder, one))
        if one.kind == "fit" and number < 3:
            write_evaluation(folder / "evaluation", number, subdivisions)
    (run / "definition.toml").write_text('name = "two"  # <the definition>\n')
    return cells


def write_evaluation(folder: Path, number: int, subdivisions: int) -> None:
    """Picture and meshes, another colour for each cell."""
    folder.mkdir()
    colour = [(200, 60, 60), (60, 160, 60), (60, 60, 200)][number]
    Image.new("RGB", (2000, 1500), colour).save(folder / "evaluation.png")
    head(100.0 + 10 * number, subdivisions, colour).export(folder / "error_heatmap.ply")
    head(100.0 + 10 * number, subdivisions, (220, 180, 150)).export(folder / "head.ply")
