"""Means over scenes and differences between rows of a benchmark, paired over the scenes both have."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

from baseh3d_ns.benchmark.results import Point, Result

CONFIDENCE = 0.95
RESAMPLES = 9999
SEED = 0
"""Of the bootstrap: the same results give the same interval."""


@dataclass(frozen=True)
class Summary:
    """A mean over scenes."""

    mean: float
    std: float
    """Of the population (ddof 0), as the published numbers have it."""
    scenes: int


@dataclass(frozen=True)
class Difference:
    """The mean over scenes of one row minus another."""

    mean: float
    interval: tuple[float, float] | None
    """Bootstrap confidence interval of the mean; None with a single pair."""
    pairs: int


def by_scene(results: Sequence[Result], row: str, views: str, metric: str) -> dict[str, float]:
    """One number for each scene that a row has finished, the mean over its seeds.

    Args:
        metric: a numeric field of `Result`, like `face_mm`.
    """
    found: dict[str, list[float]] = {}
    for result in results:
        value = getattr(result, metric)
        if result.done and (result.row, result.views) == (row, views) and value is not None:
            found.setdefault(result.scene, []).append(value)
    return {scene: float(np.mean(values)) for scene, values in found.items()}


def summary(values: Mapping[str, float]) -> Summary | None:
    """Mean and population standard deviation over scenes; None of no scene."""
    if not values:
        return None
    numbers = np.array(list(values.values()))
    return Summary(float(numbers.mean()), float(numbers.std()), len(numbers))


def paired_difference(values: Mapping[str, float], reference: Mapping[str, float]) -> Difference | None:
    """Mean of `values` minus `reference` over the scenes both have; None where they share none."""
    shared = [scene for scene in values if scene in reference]
    if not shared:
        return None
    differences = np.array([values[scene] - reference[scene] for scene in shared])
    interval = mean_interval(differences) if len(shared) > 1 else None
    return Difference(float(differences.mean()), interval, len(shared))


def mean_interval(values: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """Bootstrap confidence interval of the mean of at least two numbers.

    BCa; percentile where BCa does not exist, as for numbers that are all the same.
    """
    for method in ("BCa", "percentile"):
        with warnings.catch_warnings(), np.errstate(invalid="ignore"):
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)
            interval = stats.bootstrap(
                (values,), np.mean, confidence_level=CONFIDENCE, n_resamples=RESAMPLES, method=method,
                random_state=np.random.default_rng(SEED),
            ).confidence_interval  # fmt: skip
        if np.isfinite(interval).all():
            break
    return float(interval.low), float(interval.high)


def mean_curve(curves: Sequence[Sequence[Point]]) -> list[Point]:
    """The mean of several fits, at the steps at which all of them were scored."""
    by_step = [{point.step: point for point in curve} for curve in curves]
    shared = sorted(set.intersection(*(set(points) for points in by_step))) if by_step else []
    return [_mean_point([points[step] for points in by_step]) for step in shared]


def _mean_point(points: Sequence[Point]) -> Point:
    numbers = np.mean([(point.seconds, point.face_mm, point.head_mm) for point in points], axis=0)
    return Point(points[0].step, *map(float, numbers))
