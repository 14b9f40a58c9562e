"""Cameras of a few photos from the landmarks of the face: a robust bundle adjustment over the landmark model.

1. Pose of every photo by PnP with the mean face (SQPnP, Terzakis and Lourakis 2020); focal length by EXIF, else a usual
   one.
2. Bundle adjustment of poses, one factor on the focal length for photos of one lens, shape coefficients of the head and
   detector errors of every photo, in units of their standard deviations (soft L1 loss).
The world is the head frame in millimetres: the size of the face comes from the landmark model's heads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, UInt8
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from baseh3d_ns.bars import progress_bar
from baseh3d_ns.cameras import Pinhole, centred_intrinsics
from baseh3d_ns.capture.face_tracks import Tracks, face_points, face_surface, find_tracks
from baseh3d_ns.capture.face_view import FaceView, first_pose, pixels_per_mm
from baseh3d_ns.capture.track_residuals import SOFTNESS, agreement, support, track_residuals
from baseh3d_ns.pretrained.landmark_model import CORRELATION, LandmarkModel, soft_l1

KNOWN_FOCAL_SD, FREE_FOCAL_SD = 0.03, 0.4
"""Relative standard deviations of a focal length by EXIF and of a usual one."""
DETECTOR_SD_PX = 0.7
"""Standard deviation of a detection in pixels of the detector's crop of the face, which is `CROP_PX` wide."""
CROP_PX, CROP_MM = 192, 250.0
"""Width of the crop that the detector looks at, in pixels and about in millimetres at the face."""
SEARCH_MM = 8.0
"""Range in which tracks are searched for, in millimetres. It stays from round to round: it covers what this face is off
the model's, and a smaller one keeps the tracks that agree with the model."""
SETTLED_DEG, MOST_ROUNDS = 0.2, 10
"""Turn of every camera in a round of search and bundle adjustment up to which it is the last one, and most rounds: a
profile whose landmarks are far off needs more than others."""
MOST_TOGETHER = 12
"""Photos in one bundle adjustment, at most: each brings 16 unknowns to a Jacobian by differences, and observations of
the tracks, so its time grows with the square of their number."""
SOLVED_FOCAL_SD = 0.003
"""Relative standard deviation of the focal length of a lens that other photos have told."""


@dataclass(frozen=True, eq=False)
class LandmarkSolution:
    """Result of the bundle adjustment."""

    cameras: tuple[Pinhole, ...]
    """Cameras in the head frame, millimetres."""
    residuals: Float[np.ndarray, "v l"]
    """Distances between detections and reprojections in standard deviations."""
    errors_px: Float[np.ndarray, " v"]
    """Mean reprojection errors in pixels."""
    support: Float[np.ndarray, " v"]
    """Spots that bear out the camera of an unsure photo, as a multiple of those needed; infinite for sure ones."""
    agreement: Float[np.ndarray, " v"]
    """Share of the spots compared with other photos that agree; NaN where too few were to tell."""
    head_mm: Float[np.ndarray, "l 3"]
    """Landmarks of the head in its frame."""

    def of_views(self) -> Iterator[tuple[Pinhole, Float[np.ndarray, " l"], float, float, float]]:
        """Camera, residuals, mean reprojection error, support and agreement of every photo."""
        return zip(self.cameras, self.residuals, self.errors_px, self.support, self.agreement, strict=True)


def solve_with_tracks(
    views: Sequence[FaceView], photos: Sequence[UInt8[np.ndarray, "h w"]], model: LandmarkModel
) -> LandmarkSolution:
    """Poses, focal lengths and the head's shape: of the photos that stand furthest apart together, then every other one
    by its landmarks on that head."""
    apart = _furthest_apart(views, model, MOST_TOGETHER)
    solution = _solve_together([views[i] for i in apart], [photos[i] for i in apart], model)
    found = dict(zip(apart, solution.of_views(), strict=True))
    ratios = {views[i].lens: camera.intrinsics[0, 0] / views[i].focal_px for i, (camera, *_) in found.items()}
    this_head = replace(model, mean_mm=solution.head_mm, shapes_mm=model.shapes_mm[:0])
    others = [i for i in range(len(views)) if i not in found]
    for i in progress_bar(others, desc="Cameras of more photos", unit="photo"):
        view = views[i]
        if view.lens in ratios:
            view = replace(view, focal_px=ratios[view.lens] * view.focal_px, focal_sd=SOLVED_FOCAL_SD)
        problem = _Problem([view], this_head)
        (found[i],) = problem.solution(_adjust(problem, problem.start(), 60)).of_views()
    cameras, residuals, *numbers = zip(*(found[i] for i in range(len(views))), strict=True)
    errors_px, borne, agreeing = map(np.array, numbers)
    return LandmarkSolution(cameras, np.stack(residuals), errors_px, borne, agreeing, solution.head_mm)


def _furthest_apart(views: Sequence[FaceView], model: LandmarkModel, most: int) -> list[int]:
    """Numbers of at most so many photos: the most frontal one, then always the one furthest from those chosen."""
    if len(views) <= most:
        return list(range(len(views)))
    poses = np.array([first_pose(view, model.mean_mm) for view in views])
    centres = -Rotation.from_rotvec(poses[:, :3]).apply(poses[:, 3:], inverse=True)
    directions = centres / np.linalg.norm(centres, axis=1, keepdims=True)
    chosen = [int(directions[:, 2].argmax())]
    while len(chosen) < most:
        nearest = (directions @ directions[chosen].T).max(axis=1)
        chosen.append(int(nearest.argmin()))
    return sorted(chosen)


def _solve_together(
    views: Sequence[FaceView], photos: Sequence[UInt8[np.ndarray, "h w"]], model: LandmarkModel
) -> LandmarkSolution:
    """Poses, focal lengths and the head's shape from landmarks, then from tracks across the face as well.

    The tracks are searched for again as the cameras get better.
    """
    problem = _Problem(views, model)
    unknowns = _adjust(problem, problem.start(), 60)
    for _ in progress_bar(range(MOST_ROUNDS), desc="Cameras by faces, at most", unit="round"):
        surface, before = face_surface(problem.face, model.head(problem.split(unknowns)[1])), problem.cameras(unknowns)
        problem.tracks = find_tracks(photos, before, surface, SEARCH_MM)
        unknowns = _adjust(problem, unknowns, 20)
        if _most_turned_deg(before, problem.cameras(unknowns)) < SETTLED_DEG:
            break
    return problem.solution(unknowns)


def _most_turned_deg(before: Sequence[Pinhole], after: Sequence[Pinhole]) -> float:
    """Largest angle that a camera has turned by, in degrees."""
    turns = [new.rotation @ old.rotation.T for old, new in zip(before, after, strict=True)]
    return float(np.degrees(Rotation.from_matrix(turns).magnitude().max()))


def _adjust(problem: _Problem, unknowns: Float[np.ndarray, " n"], steps: int) -> Float[np.ndarray, " n"]:
    """Unknowns after a bundle adjustment of at most so many steps."""
    return least_squares(problem.residuals, unknowns, x_scale="jac", max_nfev=steps, ftol=1e-4).x


@dataclass
class _Problem:
    """Layout of the unknowns: focal logarithms, then shape, then pose (6) and errors of every view."""

    views: Sequence[FaceView]
    model: LandmarkModel
    tracks: Tracks | None = None

    def __post_init__(self) -> None:
        self.face = face_points(self.model.mean_mm)
        self.poses = np.array([first_pose(view, self.model.mean_mm) for view in self.views])
        # Not by the depth that is solved for: a camera that moves into the face would fit anything.
        lines = zip(self.views, self.poses, strict=True)
        self.px_per_mm = [pixels_per_mm(view, pose, self.model.mean_mm) for view, pose in lines]
        self.lenses = sorted({view.lens for view in self.views})
        self.shapes, self.errors = len(self.model.shapes_mm), len(self.model.errors_mm)

    def split(
        self, unknowns: Float[np.ndarray, " n"]
    ) -> tuple[Float[np.ndarray, " g"], Float[np.ndarray, " k"], Float[np.ndarray, "v p"]]:
        """Focal logarithms, shape, and per view rotation vector, translation in decimetres, errors."""
        focal, shape, rest = np.split(unknowns, np.cumsum([len(self.lenses), self.shapes]))
        return focal, shape, rest.reshape(len(self.views), 6 + self.errors)

    def start(self) -> Float[np.ndarray, " n"]:
        """Poses of the mean face."""
        poses = np.pad(self.poses, ((0, 0), (0, self.errors)))
        return np.concatenate([np.zeros(len(self.lenses) + self.shapes), poses.ravel()])

    def camera(self, view: FaceView, log_focal: float, pose: Float[np.ndarray, " 6"]) -> Pinhole:
        """A camera whose translation grows with its focal length, so that the two hardly depend on each other."""
        factor = float(np.exp(log_focal))
        rotation = Rotation.from_rotvec(pose[:3]).as_matrix()
        translation = 100.0 * pose[3:6] * np.array([1.0, 1.0, factor])
        intrinsics = centred_intrinsics(factor * view.focal_px, view.width, view.height)
        return Pinhole(intrinsics, rotation, translation, view.width, view.height)

    def cameras(self, unknowns: Float[np.ndarray, " n"]) -> list[Pinhole]:
        focal, _, poses = self.split(unknowns)
        return [
            self.camera(view, float(focal[self.lenses.index(view.lens)]), pose[:6])
            for view, pose in zip(self.views, poses, strict=True)
        ]

    def offsets(
        self, unknowns: Float[np.ndarray, " n"]
    ) -> list[tuple[Float[np.ndarray, "l 2"], Float[np.ndarray, " l"]]]:
        """Reprojection minus detection in pixels, and the standard deviation of that, of every view."""
        _, shape, poses = self.split(unknowns)
        head = self.model.head(shape)
        found = []
        lines = zip(self.views, self.cameras(unknowns), poses, self.px_per_mm, strict=True)
        for view, camera, pose, px_per_mm in lines:
            seen = self.model.seen(head, camera.centre_mm, pose[6:])
            noise_mm = np.hypot(self.model.noise(camera.centre_mm), DETECTOR_SD_PX * CROP_MM / CROP_PX)
            found.append((camera.project(seen) - view.points_px, px_per_mm * noise_mm))
        return found

    def residuals(self, unknowns: Float[np.ndarray, " n"]) -> Float[np.ndarray, " r"]:
        """All residuals in standard deviations."""
        focal, shape, poses = self.split(unknowns)
        found = [
            soft_l1(offset / (CORRELATION * sd[:, None]), SOFTNESS).ravel() for offset, sd in self.offsets(unknowns)
        ]
        by_lens = {view.lens: view.focal_sd for view in self.views}
        priors = [focal / np.array([by_lens[lens] for lens in self.lenses]), shape, poses[:, 6:].ravel()]
        tracked = [] if self.tracks is None else [track_residuals(*self.tracked(self.tracks, unknowns))]
        return np.concatenate([*found, *priors, *tracked])

    def tracked(
        self, tracks: Tracks, unknowns: Float[np.ndarray, " n"]
    ) -> tuple[Tracks, list[Pinhole], Float[np.ndarray, "t 3"]]:
        """Tracks, cameras, and the points of the surface that the tracks are of."""
        return tracks, self.cameras(unknowns), self.face.on(self.model.head(self.split(unknowns)[1]))[tracks.index]

    def solution(self, unknowns: Float[np.ndarray, " n"]) -> LandmarkSolution:
        _, shape, _ = self.split(unknowns)
        offsets, sure = self.offsets(unknowns), np.array([view.sure for view in self.views])
        tracked = None if self.tracks is None else self.tracked(self.tracks, unknowns)
        return LandmarkSolution(
            cameras=tuple(self.cameras(unknowns)),
            residuals=np.stack([np.linalg.norm(offset, axis=1) / sd for offset, sd in offsets]),
            errors_px=np.array([np.linalg.norm(offset, axis=1).mean() for offset, _ in offsets]),
            support=np.where(sure, np.inf, 0.0) if tracked is None else support(*tracked, sure),
            agreement=np.full(len(sure), np.nan) if tracked is None else agreement(*tracked),
            head_mm=self.model.head(shape),
        )
