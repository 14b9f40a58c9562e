"""Make baseh3d_ns/pretrained/landmark_model.safetensors: photographs of synthetic heads, detections, the model.

Usage: python scripts/landmark_model.py --work FOLDER      (half an hour on a core; photographs are kept)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from PIL import Image
from scipy.spatial.transform import Rotation
from tqdm import tqdm

from baseh3d_ns.cameras import Pinhole, decompose
from baseh3d_ns.data.pictures import read_photo
from baseh3d_ns.pretrained.landmark_model import MODEL_FILE, SeenHead, learn_landmark_model, save_landmark_model
from baseh3d_ns.pretrained.landmarks import POINTS, RELIABLE, find_face
from baseh3d_ns.shape_space.surface_samples import standard_pose
from baseh3d_ns.synthetic.head import make_head
from baseh3d_ns.synthetic.light import light_up
from baseh3d_ns.synthetic.render import Background, Renderer, wall
from baseh3d_ns.synthetic.visibility import sphere_directions

YAWS_DEG = (-58.0, -40.0, -20.0, 0.0, 0.0, 20.0, 40.0, 58.0)
"""Azimuths of the cameras before jitter (positive: the subject's left)."""
SIZE = 256
"""Pixels a side."""
FACE_MM = (0.0, -30.0, 60.0)
"""Middle of the pictures in the head frame."""
FEWEST_VIEWS = 5
"""Photographs with reliable landmarks that a head needs."""
REACH_MM = 155.0
"""Half the width of what a picture shows at the face, in millimetres."""


@dataclass
class Args:
    work: Path
    """Folder for the photographs, which are kept."""
    out: Path = MODEL_FILE
    """File of the model."""
    heads: int = 150
    """Number of heads."""
    seed: int = 7100
    """Seed of the heads: not one of a benchmark's."""


def main(args: Args) -> None:
    args.work.mkdir(parents=True, exist_ok=True)
    for index in tqdm(range(args.heads), desc="Photographs", unit="head"):
        if not (args.work / f"{index:04d}.npz").exists():
            photograph(args, index)
    seen = [detect(args.work, index) for index in tqdm(range(args.heads), desc="Landmarks", unit="head")]
    save_landmark_model(learn_landmark_model([head for head in seen if len(head.cameras) >= FEWEST_VIEWS]), args.out)


def detect(work: Path, index: int) -> SeenHead:
    """Landmarks of one head in the photographs where they may be relied upon."""
    matrices = np.load(work / f"{index:04d}.npz")["matrices"]
    faces = [find_face(read_photo(work / f"{index:04d}_{view}.png")) for view in range(len(matrices))]
    sure = {view: face.points_px for view, face in enumerate(faces) if face is not None and face.score >= RELIABLE}
    return SeenHead(
        tuple(Pinhole(*decompose(matrices[view]), SIZE, SIZE) for view in sure),
        np.array(list(sure.values())).reshape(len(sure), POINTS, 2),
    )


def photograph(args: Args, index: int) -> None:
    """Photographs of one head from in front, left and right, with the cameras [views, 3, 4] beside them."""
    head, rng = make_head(args.seed, index), np.random.default_rng([args.seed, index])
    to_head = standard_pose({name: head.scan.vertices_mm[vertex] for name, vertex in head.landmarks.items()})
    renderer = Renderer(head)
    lighting = light_up(head.visible_cosine, sphere_directions(), Rotation.random(random_state=index).as_matrix())
    matrices = []
    for view, yaw in enumerate(YAWS_DEG):
        camera = _camera(yaw + rng.uniform(-9.0, 9.0), rng.uniform(-20.0, 22.0), rng)
        placed = Pinhole(
            camera.intrinsics,
            camera.rotation @ to_head[:3, :3],
            camera.rotation @ to_head[:3, 3] + camera.translation_mm,
            SIZE,
            SIZE,
        )
        photo = renderer.photograph(placed, lighting, wall(SIZE, Background(rng.uniform(0.3, 0.8, 3), 0.1)))
        Image.fromarray(photo.rgb).save(args.work / f"{index:04d}_{view}.png")
        matrices.append(camera.world_mat[:3])
    np.savez(args.work / f"{index:04d}.npz", matrices=np.stack(matrices))


def _camera(yaw_deg: float, pitch_deg: float, rng: np.random.Generator) -> Pinhole:
    """A camera that looks at the face from a random distance, with a random roll."""
    outwards = Rotation.from_euler("YX", [yaw_deg, -pitch_deg], degrees=True).as_matrix()
    rotation = Rotation.from_euler("z", rng.normal(0.0, 4.0), degrees=True).as_matrix()
    rotation = rotation @ np.diag([1.0, -1.0, -1.0]) @ outwards.T
    distance = float(rng.uniform(450.0, 1200.0))
    focal = SIZE / 2.0 * distance / REACH_MM
    intrinsics = np.array([[focal, 0.0, (SIZE - 1) / 2.0], [0.0, focal, (SIZE - 1) / 2.0], [0.0, 0.0, 1.0]])
    translation = np.array([0.0, 0.0, distance]) - rotation @ (np.array(FACE_MM) + rng.uniform(-12.0, 12.0, 3))
    return Pinhole(intrinsics, rotation, translation, SIZE, SIZE)


if __name__ == "__main__":
    main(tyro.cli(Args))
