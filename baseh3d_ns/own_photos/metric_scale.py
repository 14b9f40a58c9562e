"""Millimetres in the unit of the cameras' world: which source decides, and how far it can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from baseh3d_ns.data.head_size import TYPICAL_MM, UNITS_MM, Unit
from baseh3d_ns.errors import InputError
from baseh3d_ns.own_photos.faces import Face
from baseh3d_ns.own_photos.shots import Capture

METRES_PERCENT = 2.0
"""Assumed uncertainty of a phone's metres, in per cent."""
PUPILS_PERCENT = 3.0
"""Uncertainty of a scale by the distance between the pupils: landmarks of the eyes' corners, a gaze that is not into
the distance."""
FACE_PERCENT = 6.0
"""Spread (standard deviation) of adults' faces in size: 6.0 % of the distance between the pupils (Dodgson, "Variation
and extrema of human interpupillary distance", SPIE 5291, 2004: 63.4 +- 3.8 mm)."""
PUPILS_MM = (15.0, 300.0)
"""Distances between the pupils of heads, those of dolls and statues among them; others are in another unit."""
IRIS_MM, IRIS_PERCENT = 11.7, 5.0
"""Width of irises, and the uncertainty of a scale by it in per cent: people differ by 4.3 % (11.7 +- 0.5 mm, Vakunov
and Lagun, "MediaPipe Iris", Google Research 2020; of children from 5 to 18 years, whatever their age, 11.2 +- 0.5 mm,
Driessen et al., Int. J. Pediatric Otorhinolaryngology 75, 2011), and the edge is found to some per cent."""
HULL_PERCENT = 25.0
"""Uncertainty of a scale by the extent of the silhouettes, which hold hair, neck and shoulders."""
BY_FACE = "the face, taken to be as large as the average adult's"
"""Words for the source of a scale that nobody measured."""
BY_FACE_AND_IRISES = "the face and its irises, taken to be as large as the average adult's"
"""Words for the source of a scale where irises were seen as well."""
FACES = (0.6, 1.2)
"""Sizes of people's faces in average adults', from infants on. The more irises tell another, the likelier they were
seen too narrow, as of eyes that look aside, or are a doll's."""
IMPOSSIBLE = 3.0
"""Factor on the average adult's size beyond which a unit is another."""
UNLIKELY = 0.3
"""Relative difference between a face and the average adult's from which a scale is doubted."""
OF_ANOTHER_SIZE = 0.07
"""Relative difference between a face, its irises considered, and the average adult's that is worth saying."""


@dataclass(frozen=True)
class MetricScale:
    """Millimetres in a unit of the cameras' world."""

    mm_per_unit: float
    source: str
    """Source in words, for log and files."""
    uncertainty_percent: float
    """Standard deviation in per cent, as far as it is known; 0 where the user vouches for the scale."""
    face_size: float = 1.0
    """Size of the face in average adults', where its irises told it; else 1."""

    def summary(self) -> str:
        """Line for the log."""
        about = f" (+- {self.uncertainty_percent:g} %)" if self.uncertainty_percent else ""
        return f"Scale: one unit of the cameras is {self.mm_per_unit:.6g} mm, by {self.source}{about}."


@dataclass(frozen=True)
class ScaleOptions:
    """Knowledge of the user about the scale; 0 or None where there is none."""

    mm_per_unit: float = 0.0
    pupils_mm: float = 0.0
    unit: Unit | None = None

    def check(self) -> None:
        """Raise `InputError` where two of the options are given, or pupils that no head has."""
        given = [
            name
            for name, value in (
                ("--mm-per-unit", self.mm_per_unit),
                ("--pupils-mm", self.pupils_mm),
                ("--unit", self.unit),
            )
            if value
        ]
        if len(given) > 1:
            raise InputError(f"{' and '.join(given)} both say how large the head is: give one of them")
        least, most = PUPILS_MM
        if self.pupils_mm and not least <= self.pupils_mm <= most:
            raise InputError(
                f"--pupils-mm {self.pupils_mm:g}: the pupils of a head are {least:g} to {most:g} mm apart, of most "
                "people 55 to 70: give millimetres"
            )

    def check_without_cameras(self) -> None:
        """Raise `InputError` where the unit of cameras is given that are yet to be found."""
        if self.unit or self.mm_per_unit:
            name = "--unit" if self.unit else "--mm-per-unit"
            raise InputError(
                f"{name} is for cameras of another program, and these photos have none: leave it out; --pupils-mm says "
                "how large the head is"
            )


def only_head_tells_size(options: ScaleOptions, capture: Capture) -> bool:
    """Whether nothing but the head itself says how large it is."""
    told = (options.mm_per_unit, options.pupils_mm, options.unit, capture.given.mm_per_unit)
    return not any(told) and not capture.metres_by


def find_scale(options: ScaleOptions, capture: Capture, face: Face | None, hull_extent: float | None) -> MetricScale:
    """Scale by the first source there is: options, the capture's own, metres by contract, the face, the silhouettes.

    Args:
        options: what the user gives.
        capture: cameras, with what their file says of the scale.
        face: landmarks, where they were found.
        hull_extent: largest extent of the visual hull in the file's unit; None where there is none.

    Raises:
        InputError: the pupils' distance is given but no face was found, or there is no source at all.
    """
    given = capture.given
    if options.mm_per_unit:
        return MetricScale(options.mm_per_unit, "--mm-per-unit", 0.0)
    if options.pupils_mm:
        if face is None:
            raise InputError(
                f"--pupils-mm {options.pupils_mm:g} needs a face from the front in two photos of {capture.path}, and "
                "none was found: leave it out, or give --mm-per-unit where the cameras are there already"
            )
        return MetricScale(options.pupils_mm / face.pupil_distance, by_pupils(options.pupils_mm), PUPILS_PERCENT)
    if options.unit:
        _check_unit(options.unit, given.mm_per_unit, face)
        return MetricScale(UNITS_MM[options.unit], f"--unit {options.unit}", 0.0)
    if given.mm_per_unit is not None:
        return MetricScale(given.mm_per_unit, given.scale_source, given.scale_uncertainty_percent)
    if capture.metres_by:
        return MetricScale(UNITS_MM["m"], f"metres, as {capture.metres_by} writes them", METRES_PERCENT)
    if face is not None:
        return by_face(face.mm_per_unit, face.iris)
    if hull_extent:
        return MetricScale(TYPICAL_MM / hull_extent, "the silhouettes' extent, since no face was found", HULL_PERCENT)
    raise InputError(f"{capture.path} says nothing of the head's size: give --mm-per-unit, or --unit")


def _check_unit(unit: Unit, given_mm: float | None, face: Face | None) -> None:
    """Raise `InputError` where a unit is not what the face, or else the capture, says it is.

    A face that several photos agree on says it well. Who knows better gives --mm-per-unit.

    Args:
        given_mm: millimetres in the cameras' unit by the capture itself; None where it does not say it.
        face: landmarks, where they were found.
    """
    likely_mm = given_mm if face is None else face.mm_per_unit
    if likely_mm is None:
        return
    ratio = UNITS_MM[unit] / likely_mm
    likely = 1.0 / IMPOSSIBLE <= ratio <= IMPOSSIBLE if face is None else abs(ratio - 1.0) < UNLIKELY
    if not likely:
        raise InputError(
            f"--unit {unit} makes the head {ratio:.3g} times as large as a head is: leave it out (the unit of COLMAP "
            f"or Metashape is none), or give --mm-per-unit ({UNITS_MM[unit]:g} if the head is that large)"
        )


def by_face(mm_per_unit: float, iris: float | None) -> MetricScale:
    """Scale by a face and, where they were seen, its irises: their mean, weighted by what is known of either.

    Args:
        mm_per_unit: millimetres in a unit, if the face is as large as the average adult's.
        iris: diameter of the irises in that unit; None where they were not seen.
    """
    by_iris = 0.0 if iris is None else float(np.log(IRIS_MM / iris / mm_per_unit))
    counts = _redescending(by_iris, abs(float(np.log(FACES[by_iris > 0.0]))))
    if iris is None or (by_iris and not counts):
        return MetricScale(mm_per_unit, BY_FACE, FACE_PERCENT)
    variances = np.array([FACE_PERCENT, IRIS_PERCENT]) ** 2
    size = float(np.exp(counts * variances[0] / variances.sum()))
    # Where the two differ by more than they should, the mean is as uncertain as they differ (Birge ratio).
    differ = abs(100.0 * by_iris) / float(variances.sum() ** 0.5)
    percent = float((1.0 / variances).sum() ** -0.5) * max(1.0, differ)
    return MetricScale(size * mm_per_unit, BY_FACE_AND_IRISES, round(percent, 1), size)


def _redescending(deviation: float, limit: float) -> float:
    """A deviation where it is within a limit, falling to none at twice the limit, so that a little more or less never
    decides between all and nothing (Hampel, "The influence curve and its role in robust estimation", 1974)."""
    return float(np.sign(deviation)) * max(0.0, min(abs(deviation), 2.0 * limit - abs(deviation)))


def by_pupils(pupils_mm: float) -> str:
    """Words for the source of a scale by the distance between the pupils."""
    return f"pupils {pupils_mm:g} mm apart"


def doubt(scale: MetricScale, face: Face | None) -> str | None:
    """Sentence for the log where a scale makes a face of no person's size, or the irises one of another than usual."""
    if abs(scale.face_size - 1.0) >= OF_ANOTHER_SIZE:
        than = "smaller" if scale.face_size < 1.0 else "larger"
        child = " (a child's is 80 to 90 %)" if scale.face_size < 1.0 else ""
        return (
            f"By its irises the face is {than} than the average adult's: it is taken to be "
            f"{100.0 * scale.face_size:.0f} % of that{child}."
        )
    if face is None or abs(scale.mm_per_unit / face.mm_per_unit - 1.0) < UNLIKELY:
        return None
    percent = 100.0 * scale.mm_per_unit / face.mm_per_unit
    return f"With that scale the face is {percent:.0f} % of the average adult's: check it (a child's is 80 to 90 %)."
