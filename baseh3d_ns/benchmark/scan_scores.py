"""Scores of heads that are no run of ours: another method's SDF, and the scan itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import trimesh

from baseh3d_ns.benchmark.scan_sdf import sdf_of_scan
from baseh3d_ns.data.h3ds_dataparser import H3dsDataParser, H3dsDataParserConfig
from baseh3d_ns.evaluation.pictures import three_photos
from baseh3d_ns.evaluation.scores import Evaluation, mesh_and_score
from baseh3d_ns.evaluation.write import write_evaluation
from baseh3d_ns.mesh.extract import extract_mesh
from baseh3d_ns.rendering.chunks import Sdf


def score_sdf(sdf: Sdf, device: torch.device, data: Path, scene: str, spacing_mm: float, output: Path) -> Evaluation:
    """Mesh an SDF in the unit frame of a scene (on the device that it wants its points on), score it, and write its
    evaluation.

    Raises:
        InputError: no surface, or a scene that lacks its scan.
    """
    parser = _scene(data, scene)
    h3ds, scene_id, frame = parser.root.h3ds, parser.scene.scene_id, parser.scene.frame
    mesh, evaluation = mesh_and_score(
        h3ds, scene_id, lambda lattice_mm: extract_mesh(sdf, frame, spacing_mm=lattice_mm, device=device), spacing_mm
    )
    write_evaluation(output, evaluation, mesh, three_photos(parser.scene))
    return evaluation


def score_scan(data: Path, scene: str, spacing_mm: float) -> Evaluation:
    """The scan of a scene as if it were a perfect reconstruction."""
    parser = _scene(data, scene)
    h3ds, scene_id, frame = parser.root.h3ds, parser.scene.scene_id, parser.scene.frame

    def mesh_of_scan(lattice_mm: float) -> trimesh.Trimesh:
        scan = h3ds.load_mesh(scene_id)
        sdf = sdf_of_scan(trimesh.Trimesh(np.array(scan.vertices), np.array(scan.faces), process=False), frame)
        # The scan is open and in pieces, and so is its mesh.
        return extract_mesh(sdf, frame, spacing_mm=lattice_mm, keep_all=True, slope_bounds=(2.0,))

    return mesh_and_score(h3ds, scene_id, mesh_of_scan, spacing_mm)[1]


def _scene(data: Path, scene: str) -> H3dsDataParser:
    return H3dsDataParserConfig(data=data, scene=scene, views=("all",)).setup()
