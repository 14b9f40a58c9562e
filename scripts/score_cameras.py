"""Take the cameras of H3DS scenes away, solve them again, and print how far they are from the true ones.

Usage: python scripts/score_cameras.py --data FOLDER --scenes scan1 scan3 --count 3
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tyro
from scipy.spatial.transform import Rotation

from baseh3d_ns.cameras import Pinhole
from baseh3d_ns.capture.face_size import pupil_distance
from baseh3d_ns.capture.photos import Photo, load_photo
from baseh3d_ns.capture.solve import CameraConfig, solve_cameras
from baseh3d_ns.capture.structure_from_motion import MotionConfig
from baseh3d_ns.data.h3ds_root import open_h3ds
from baseh3d_ns.data.h3ds_scene import View, load_scene
from baseh3d_ns.pretrained.landmark_model import SeenHead, load_landmark_model, triangulate
from baseh3d_ns.pretrained.landmarks import RELIABLE, find_face
from baseh3d_ns.similarity import align


@dataclass
class Args:
    data: Path
    """H3DS folder."""
    scenes: tuple[str, ...]
    """Scenes, by id or as scan1, scan2, ..."""
    count: int = 3
    """Photos of each scene: a configuration of the data set, else as many spread evenly round the head."""
    pupils: bool = True
    """Whether the distance between the pupils is known."""
    focal: bool = False
    """Whether EXIF states the focal length."""


def main(args: Args) -> None:
    root = open_h3ds(args.data)
    for name in args.scenes:
        scene = load_scene(root, root.resolve_scene(name))
        try:
            chosen = root.resolve_views(scene.scene_id, (str(args.count),)) if args.count in (3, 4, 8) else None
        except ValueError:
            chosen = None
        spread = np.linspace(0, len(scene.views), args.count, endpoint=False).astype(int)
        print(
            name,
            report([scene.views[i] for i in (spread if chosen is None else chosen)], scene.views, args),
            flush=True,
        )


def report(views: Sequence[View], all_views: Sequence[View], args: Args) -> str:
    """Errors of the solved cameras of some views."""
    photos = [load_photo(view.image_path, view.mask_path) for view in views]
    if args.focal:
        photos = [with_focal(photo, view.camera) for photo, view in zip(photos, views, strict=True)]
    face_mm = true_face_mm(all_views)
    pupils_mm = pupil_distance(face_mm) if args.pupils else None
    start = time.monotonic()
    solved = solve_cameras(photos, CameraConfig(MotionConfig(), pupils_mm))
    seconds = time.monotonic() - start
    pairs = [(s.camera, v.camera) for s, v in zip(solved.views, views, strict=True) if s.camera is not None]
    found, true = [found for found, _ in pairs], [true for _, true in pairs]
    angles, distances = errors(found, true)
    face = face_scale(found, true, face_mm)
    source = "any unit" if solved.face is None else solved.face.scale.source
    focal = pairs[0][0].intrinsics[0, 0] / pairs[0][1].intrinsics[0, 0] - 1.0
    return (
        f"{solved.way}: {len(pairs)} of {len(views)} registered, rotations off by "
        f"{np.round(angles, 2).tolist()} degrees "
        f"(median {np.median(angles):.2f}), scale of the face by {100.0 * (face - 1.0):+.1f} % "
        f"({source}), distances between cameras by {100.0 * (distances - 1.0):+.1f} %, focal length by "
        f"{100.0 * focal:+.1f} %, {seconds:.0f} s"
    )


def with_focal(photo: Photo, camera: Pinhole) -> Photo:
    return Photo(photo.name, photo.rgb, photo.mask, photo.width, photo.height, float(camera.intrinsics[0, 0]))


def errors(found: Sequence[Pinhole], true: Sequence[Pinhole]) -> tuple[np.ndarray, float]:
    """Rotation errors in degrees after the best common rotation, and the ratio of the found lengths to the true."""
    common = Rotation.from_matrix(np.stack([f.rotation.T @ t.rotation for f, t in zip(found, true, strict=True)]))
    turn = common.mean().as_matrix()
    angles = [
        float(np.degrees(Rotation.from_matrix(f.rotation @ turn @ t.rotation.T).magnitude()))
        for f, t in zip(found, true, strict=True)
    ]
    here, there = (np.stack([camera.centre_mm for camera in cameras]) for cameras in (found, true))
    here, there = (here - here.mean(axis=0)) @ turn, there - there.mean(axis=0)
    return np.array(angles), float((here**2).sum() / (here * there).sum())


def face_scale(found: Sequence[Pinhole], true: Sequence[Pinhole], face_mm: np.ndarray) -> float:
    """Size of the face that the found cameras triangulate from what the true ones see, by its true size.

    A wrong focal length moves the cameras away from the face and leaves this alone.
    """
    seen = SeenHead(tuple(found), np.stack([camera.project(face_mm) for camera in true]))
    return align(face_mm, triangulate(seen, np.zeros_like(load_landmark_model().bias_mm))).scale


def true_face_mm(views: Sequence[View]) -> np.ndarray:
    """Landmarks by the true cameras, in their world, which is upright as the head frame is."""
    cameras, points = [], []
    for view in views:
        face = find_face(load_photo(view.image_path).rgb)
        if face is not None and face.score >= RELIABLE:
            cameras.append(view.camera)
            points.append(face.points_px)
    return triangulate(SeenHead(tuple(cameras), np.stack(points)), load_landmark_model().bias_mm)


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main(tyro.cli(Args))
