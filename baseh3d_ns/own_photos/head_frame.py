"""Frame of a head in the world of its cameras: ball, axes, cut, scale (`metric_scale`), from silhouettes and faces.

1. Axes: up and ahead of the triangulated face; without one, up in the photos, and where the cameras are.
2. Cut: the plane that far below the chin, where silhouettes run out of the photos or of what a head can be.
3. Ball: round the visual hull above the cut. What the silhouettes leave open counts, except beside the neck.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from baseh3d_ns.errors import InputError
from baseh3d_ns.frames import HEAD_FRAME, LANDMARKS_MM
from baseh3d_ns.own_photos.faces import POINTS, Face
from baseh3d_ns.own_photos.head_block import VERSION
from baseh3d_ns.own_photos.hull import Hull, Silhouette, ball_round, carve, inside_all, where_they_look
from baseh3d_ns.own_photos.metric_scale import MetricScale, ScaleOptions, find_scale
from baseh3d_ns.own_photos.photo_sizes import up_as_shown
from baseh3d_ns.own_photos.shots import Capture, Cut
from baseh3d_ns.own_photos.sure_head import beside_neck

LARGEST_MM = 1.1 * HEAD_FRAME.radius_mm
"""Distance from the middle of the average adult's head, up to which things belong to a head."""
BALL_MARGIN = 1.1
"""Ratio of the ball's radius to that of the hull."""
BORDER = 0.01
"""Fraction of a photo's outline from which a silhouette that lies on it runs out of the photo."""
FARTHEST_EARS = 2.0
"""Impossible distance of the ears' middle from the ball's centre, in radii of it or an adult's, the larger."""
RADII_MM = (20.0, 2000.0)
"""Radii of balls round heads, those of dolls and statues among them; others are in another unit."""
CHIN = list(POINTS).index("chin")


@dataclass(frozen=True, eq=False)
class HeadFrame:
    """Frame of a head in the file's world."""

    centre: Float[np.ndarray, " 3"]
    """Centre of the ball, in the file's unit."""
    radius: float
    """Radius of the ball, in the file's unit."""
    rotation: Float[np.ndarray, "3 3"]
    """Rotation from the file's world to an upright head's axes (+y up, +z ahead)."""
    ears: Float[np.ndarray, " 3"] | None
    """Middle between the ears, the origin of `HEAD_FRAME`'s world; None where no face says where that is."""
    scale: MetricScale
    cut: Cut | None
    """In the file's world."""
    up_from: str
    """Source of up and ahead, in words."""

    def to_world_mm(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """Points of the file's world in millimetres, upright, about the ball's centre."""
        return self.scale.mm_per_unit * (points - self.centre) @ self.rotation.T

    @property
    def radius_mm(self) -> float:
        """Radius of the ball in millimetres."""
        return self.scale.mm_per_unit * self.radius

    @property
    def ears_unit(self) -> Float[np.ndarray, " 3"] | None:
        """Middle between the ears in upright axes about the ball, whose radius is 1."""
        return None if self.ears is None else self.rotation @ (self.ears - self.centre) / self.radius

    @property
    def cut_mm(self) -> Cut | None:
        """The cut in upright millimetres."""
        if self.cut is None:
            return None
        return Cut(self.to_world_mm(self.cut.point[None])[0], self.rotation @ self.cut.normal)

    def block(self) -> dict[str, object]:
        """The frame as a `transforms.json` holds it (see `head_block`)."""
        cut = self.cut and {"point": self.cut.point.tolist(), "normal": self.cut.normal.tolist()}
        return {
            "version": VERSION,
            "centre": self.centre.tolist(),
            "radius": self.radius,
            "up": self.rotation[1].tolist(),
            "ahead": self.rotation[2].tolist(),
            "ears": None if self.ears is None else self.ears.tolist(),
            "mm_per_unit": self.scale.mm_per_unit,
            "scale_source": self.scale.source,
            "scale_uncertainty_percent": self.scale.uncertainty_percent,
            "cut": cut,
        }


def find_head_frame(
    capture: Capture,
    silhouettes: Sequence[Silhouette],
    heads: Sequence[Silhouette],
    face: Face | None,
    scale: ScaleOptions,
    neck_mm: float,
) -> HeadFrame:
    """Frame of the head, each part from the capture's own where that has it.

    Args:
        capture: cameras, with what their file says of the frame.
        silhouettes: what may be head in its shots.
        heads: what is head in them.
        face: landmarks, where they were found.
        scale: what the user knows of the scale.
        neck_mm: distance of the cut from the chin.

    Raises:
        InputError: the masks agree on no head, or nothing tells its size.
    """
    given = capture.given
    rotation, up_from = _axes(capture, silhouettes, face)
    hull = None if given.ball and given.cut_decided else _hull(capture, silhouettes, heads, face)
    extent = float(np.ptp(hull.points @ rotation.T, axis=0).max()) if hull else None
    metric = find_scale(scale, capture, face, extent)
    cut = given.cut
    if not given.cut_decided and face is not None:
        chin = face.points[CHIN]
        cut = Cut(chin - neck_mm / metric.mm_per_unit * rotation[1], rotation[1])
        if hull is None or not (_leaves_photos(silhouettes, cut, chin) or _leaves_head(hull, cut, face)):
            cut = None
    if given.ball is not None:
        centre, radius = given.ball
    else:
        assert hull is not None
        centre, radius = _ball(capture, hull, rotation, cut)
    _check_size(capture, metric, radius)
    ears = given.ears if face is None or given.ears is not None else _ears(face, rotation, metric.mm_per_unit)
    farthest = FARTHEST_EARS * max(radius, HEAD_FRAME.radius_mm / metric.mm_per_unit)  # a doll's are an adult's
    if given.ears is not None and np.linalg.norm(given.ears - centre) > farthest:
        raise InputError(
            f"{capture.path} says that the ears are outside of the head's ball: run `baseh3d capture` again, or take "
            '"ears" out of its block "head"'
        )
    return HeadFrame(centre, radius, rotation, ears, metric, cut, up_from)


def _check_size(capture: Capture, metric: MetricScale, radius: float) -> None:
    radius_mm = metric.mm_per_unit * radius
    if not RADII_MM[0] <= radius_mm <= RADII_MM[1]:
        raise InputError(
            f"the head of {capture.path} is {2.0 * radius_mm:.3g} mm large, if one unit of its cameras is "
            f"{metric.mm_per_unit:.3g} mm, by {metric.source}: correct that (--mm-per-unit, --unit), or leave it out"
        )


def _ears(face: Face, rotation: Float[np.ndarray, "3 3"], mm_per_unit: float) -> Float[np.ndarray, " 3"]:
    """Middle between the ears: as far behind the nose as on the average adult, in true millimetres."""
    nose = list(POINTS).index("nose_tip")
    return face.points[nose] - np.array(LANDMARKS_MM["nose_tip"]) @ rotation / mm_per_unit


def _axes(
    capture: Capture, silhouettes: Sequence[Silhouette], face: Face | None
) -> tuple[Float[np.ndarray, "3 3"], str]:
    """Rotation from the file's world to upright axes, and its source in words."""
    given = capture.given
    up, ahead, source = given.up, given.ahead, "what comes with the cameras"
    if up is None or ahead is None:
        if face is not None:
            source = f"the face in {len(face.shots)} photos"
            up, ahead = (face.rotation[1], face.rotation[2]) if up is None else (up, face.rotation[2])
        else:
            shots = [one.shot for one in silhouettes]
            source = "the cameras, since no face was found: up as in the photos, ahead where most cameras stand"
            ups = [up_as_shown(shot.photo_path, shot.as_stored) @ shot.rotation for shot in shots]
            up = np.mean(ups, axis=0) if up is None else up
            middle, _ = where_they_look(silhouettes)
            ahead = np.mean([shot.centre - middle for shot in shots], axis=0) if ahead is None else ahead
    up = up / max(1e-12, float(np.linalg.norm(up)))
    ahead = ahead - (ahead @ up) * up
    if np.linalg.norm(up) < 0.5 or np.linalg.norm(ahead) < 1e-9:
        least = np.eye(3)[np.abs(up).argmin()]
        up = up if np.linalg.norm(up) > 0.5 else np.array([0.0, 1.0, 0.0])
        ahead = least - (least @ up) * up
    ahead = ahead / np.linalg.norm(ahead)
    return np.stack([np.cross(up, ahead), up, ahead]), source


def _hull(capture: Capture, silhouettes: Sequence[Silhouette], heads: Sequence[Silhouette], face: Face | None) -> Hull:
    if face is not None:
        middle_mm = np.array(HEAD_FRAME.centre_mm)
        centre, reach = face.from_average(middle_mm[None])[0], LARGEST_MM / face.mm_per_unit

        def allowed(points: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
            near = np.linalg.norm(points - centre, axis=1) < reach
            # A wall or gravel beside the shoulders, left open in all photos, would make the ball as large as it can be.
            doubtful = near & beside_neck(points, face)
            near[doubtful] = inside_all(heads, points[doubtful])
            return near

    elif len(silhouettes) == 1:
        raise InputError(
            f"one camera alone ({silhouettes[0].shot.name}) does not tell where the head is: add photos, or have the "
            "camera found by the face, with baseh3d capture --estimate-cameras"
        )
    else:
        centre, reach = where_they_look(silhouettes)
        reach *= BALL_MARGIN

        def allowed(points: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
            return np.ones(len(points), dtype=bool)

    hull = carve(silhouettes, centre, reach, allowed)
    if hull is None:
        raise InputError(
            f"the masks of {capture.path} agree on no head that {min(2, len(silhouettes))} photos see: check that the "
            "masks are white on the head and that the cameras belong to their photos"
        )
    return hull


def _leaves_photos(silhouettes: Sequence[Silhouette], cut: Cut, chin: Float[np.ndarray, " 3"]) -> bool:
    """Whether a silhouette runs out of its photo below the cut."""
    for silhouette in silhouettes:
        mask, shot = silhouette.mask, silhouette.shot
        outline = np.zeros_like(mask)
        outline[[0, -1]] = outline[:, [0, -1]] = True
        rows, columns = np.nonzero(outline & mask)
        if len(rows) <= BORDER * outline.sum():
            continue
        flat = silhouette.lens.normalised(np.column_stack([columns, rows]).astype(float))
        rays = np.column_stack([flat, np.ones(len(flat))]) @ shot.rotation
        depth = float(shot.in_camera(chin[None])[0, 2])
        below = (shot.centre + depth * rays - cut.point) @ cut.normal < 0.0
        if below.sum() > BORDER * outline.sum():
            return True
    return False


def _leaves_head(hull: Hull, cut: Cut, face: Face) -> bool:
    """Whether the silhouettes go on below the cut to where no head reaches."""
    below = hull.points[(hull.points - cut.point) @ cut.normal < 0.0]
    distances_mm = np.linalg.norm(face.in_average(below) - np.array(HEAD_FRAME.centre_mm), axis=1)
    return bool((distances_mm > LARGEST_MM - 1.5 * hull.spacing * face.mm_per_unit).any())


def _ball(
    capture: Capture, hull: Hull, rotation: Float[np.ndarray, "3 3"], cut: Cut | None
) -> tuple[Float[np.ndarray, " 3"], float]:
    points = hull.points if cut is None else hull.points[(hull.points - cut.point) @ cut.normal > 0.0]
    if not len(points):
        raise InputError(f"the masks of {capture.path} show no head above the neck: check the masks, or --neck-mm")
    centre, radius = ball_round(points @ rotation.T)
    return centre @ rotation, BALL_MARGIN * radius
