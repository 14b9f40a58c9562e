"""Means over scenes and differences between rows of a benchmark, paired over the scenes both have."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 9999
SEED = 0
"""Seed of the bootstrap: the same results give the same interval."""


@dataclass(frozen=True)
class Summary:
    """A mean over scenes."""

    mean: float
    std: float
    """Standard deviation of the population (ddof 0), as in the published numbers."""
    scenes: int


@dataclass(frozen=True)
class Difference:
    """The mean over scenes of one row minus another."""

    mean: float
    interval: tuple[float, float] | None
    """Bootstrap confidence interval of the mean; None with a single pair."""
    pairs: int


def fits(frame: pd.DataFrame, row: str, views: str) -> pd.DataFrame:
    """Finished fits of a row with a view configuration."""
    wanted = (frame["kind"] == "fit") & (frame["status"] == "done") & (frame["row"] == row) & (frame["views"] == views)
    return frame[wanted]


def by_scene(measured: pd.DataFrame, metric: str) -> pd.Series:
    """One number a scene, the mean over seeds; scenes that lack it are left out."""
    return measured.dropna(subset=[metric]).groupby("scene", sort=False)[metric].mean()


def floor_by_scene(frame: pd.DataFrame, metric: str) -> pd.Series:
    """Score of the scan itself, scene by scene."""
    return by_scene(frame[(frame["kind"] == "floor") & (frame["status"] == "done")], metric)


def summary(values: pd.Series) -> Summary | None:
    """Mean and population standard deviation over scenes; None of no scene."""
    return Summary(float(values.mean()), float(values.std(ddof=0)), len(values)) if len(values) else None


def paired_difference(values: pd.Series, reference: pd.Series) -> Difference | None:
    """Mean of `values` minus `reference` over the scenes both have; None where they share none."""
    shared = values[values.index.isin(reference.index)]
    if shared.empty:
        return None
    differences = (shared - reference.reindex(shared.index)).to_numpy()
    interval = mean_interval(differences) if len(differences) > 1 else None
    return Difference(float(differences.mean()), interval, len(differences))


def mean_interval(values: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """Bootstrap confidence interval of the mean of at least two numbers.

    BCa; percentile where BCa does not exist, as for numbers that are all the same.
    """
    for method in ("BCa", "percentile"):
        with warnings.catch_warnings(), np.errstate(invalid="ignore"):
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)
            interval = stats.bootstrap(
                (values,),
                np.mean,
                confidence_level=CONFIDENCE,
                n_resamples=RESAMPLES,
                method=method,
                random_state=np.random.default_rng(SEED),
            ).confidence_interval
        if np.isfinite(interval).all():
            break
    return float(interval.low), float(interval.high)


def mean_curve(curves: pd.DataFrame) -> pd.DataFrame:
    """Mean of several fits (`results.curves_frame`) at the steps at which all of them were scored."""
    number = curves.groupby(["scene", "seed"]).ngroups
    steps = curves.groupby("step")
    return steps[["seconds", "face_mm", "head_mm"]].mean()[steps.size() == number].reset_index()
