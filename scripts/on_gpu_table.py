"""The results of `on_gpu.py` as one Markdown table."""

from __future__ import annotations

from statistics import mean, stdev
from typing import Any

COLUMNS = ("part", "result", "steps/s", "peak GB", "face mm", "head mm", "start s", "s to within 5 %", "s")
SCATTERS = 2.0
"""Two means agree when they differ by at most this many standard deviations of the seeds, the larger of the two."""


def table(results: dict[str, Any], reference: dict[str, Any]) -> str:
    """Heading, table and notes.

    Args:
        results: content of on_gpu.json.
        reference: the same of a CPU to compare the fits with; empty for none.
    """
    known = figures_of(results, "machine")
    about = [f"baseh3d_ns {results['baseh3d_ns']}", *(f"{name} {known[name]}" for name in ("python", "torch") if known)]
    title = f"{known.get('device', 'machine unknown')}; {', '.join(about)}{'; small sizes' * bool(results['small'])}"
    rows = [row for outcome in results["parts"] for row in part_rows(outcome)]
    rows += compared(fit_results(results), fit_results(reference), figures_of(reference, "machine").get("device", ""))
    lines = [
        cells(COLUMNS),
        cells(["---"] * len(COLUMNS)),
        *(cells(row.get(name, "") for name in COLUMNS) for row in rows),
    ]
    notes = "Errors: rigid, ground truth to surface. Peak GB: allocated on the GPU, or resident in the part's process."
    return "\n\n".join([f"**{title}**", "\n".join(lines), notes]) + "\n"


def cells(texts: Any) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(str(text).replace("|", "\\|") for text in texts) + " |"


def part_rows(outcome: dict[str, Any]) -> list[dict[str, str]]:
    """A line for the part, and one for each of the things that it measures."""
    figures, part = outcome["figures"], outcome["part"]
    nested = {name: value for name, value in figures.items() if isinstance(value, dict)}
    result = outcome["status"] + (f": {outcome['reason']}" if outcome["reason"] else "")
    if part == "cuda tests":
        result += "".join(
            f", {figures[name]} {name}" for name in ("collected", "passed", "failed", "skipped") if name in figures
        )
    if "steps" in figures:
        result += f", {figures['steps']} steps"
    own = {"part": part, "result": result, **numbers(figures), "s": f"{outcome['seconds']:.0f}"}
    return [own, *({"part": f"{part}: {name}", **measured(value)} for name, value in nested.items())]


def measured(figures: dict[str, Any]) -> dict[str, str]:
    """Cells of one fit or one mesh."""
    counts = [f"{figures[name]} {name}" for name in ("steps", "vertices") if name in figures]
    return {"result": ", ".join(counts), **numbers(figures)}


def numbers(figures: dict[str, Any]) -> dict[str, str]:
    """Cells that fits and speeds share, as far as they were measured."""
    names = {"steps/s": "steps_per_s", "peak GB": "peak_memory_gb", "face mm": "face_mm", "head mm": "head_mm"}
    names |= {"start s": "start_s", "s to within 5 %": "close_s", "s": "seconds"}
    return {column: number(figures[name]) for column, name in names.items() if figures.get(name) is not None}


def number(value: float) -> str:
    """A number with two digits behind the point."""
    return f"{value:.2f}"


def figures_of(results: dict[str, Any], part: str) -> dict[str, Any]:
    """Measurements of a part; none where it did not run."""
    return next((outcome["figures"] for outcome in results.get("parts", ()) if outcome["part"] == part), {})


def fit_results(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Fits of baseh3d-fast that ended with a surface."""
    fits = [value for name, value in figures_of(results, "fits").items() if name.startswith("seed")]
    return [fit for fit in fits if fit["face_mm"] is not None]


def compared(here: list[dict[str, Any]], there: list[dict[str, Any]], device: str) -> list[dict[str, str]]:
    """Mean and standard deviation over the seeds, here and in the reference, and whether they agree."""
    if len(here) < 2:
        return []
    rows = [{"part": f"fits: mean ± std of {len(here)} seeds", **spreads(here)}]
    if len(there) < 2:
        return [*rows, {"part": "fits: the same on a CPU", "result": "no results of the same version and sizes"}]
    verdicts = [f"{name.removesuffix('_mm')} {verdict(here, there, name)}" for name in ("face_mm", "head_mm")]
    return [*rows, {"part": f"fits: the same on {device}", "result": ", ".join(verdicts), **spreads(there)}]


def spreads(fits: list[dict[str, Any]]) -> dict[str, str]:
    """Mean ± standard deviation of the numbers of several fits."""
    columns = {
        "face mm": "face_mm",
        "head mm": "head_mm",
        "start s": "start_s",
        "s to within 5 %": "close_s",
        "s": "seconds",
    }
    values = {column: [fit[name] for fit in fits] for column, name in columns.items()}
    return {column: f"{number(mean(given))} ± {number(stdev(given))}" for column, given in values.items()}


def verdict(here: list[dict[str, Any]], there: list[dict[str, Any]], name: str) -> str:
    """Whether two sets of fits agree within the scatter of their seeds."""
    one, other = ([fit[name] for fit in fits] for fits in (here, there))
    within = abs(mean(one) - mean(other)) <= SCATTERS * max(stdev(one), stdev(other))
    return "within scatter" if within else "beyond scatter"
