"""Tables as text: one record for Markdown and for the page, and how numbers are written in them."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from baseh3d_ns.benchmark.published import Score
from baseh3d_ns.benchmark.statistics import Difference, Summary

EMPTY = "-"


@dataclass(frozen=True)
class Table:
    """A table of texts."""

    title: str
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    """A line below it."""


def to_markdown(table: Table) -> str:
    """Title, caption, pipe table, note."""
    heading = " ".join(filter(None, [f"**{table.title}.**" if table.title else "", table.caption]))
    parts = [heading, pipe_table(table.header, table.rows), table.note]
    return "\n\n".join(part for part in parts if part)


def pipe_table(header: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> str:
    """Header and rows as a Markdown table."""
    lines = [
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in (header, *rows)
    ]
    lines.insert(1, "| " + " | ".join("---" for _ in header) + " |")
    return "\n".join(lines)


def views_in_words(views: str) -> str:
    """`3 views`, `1 view`, `all views`, `views 0,4,9`."""
    if views.isdigit():
        return counted(int(views), "view")
    return "all views" if views == "all" else f"views {views}"


def counted(number: int, noun: str) -> str:
    """`1 view`, `3 views`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def number(value: float | None, digits: int = 2) -> str:
    """A number, or the mark of a missing one."""
    return EMPTY if value is None or pd.isna(value) else f"{value:.{digits}f}"


def pair(face: float | None, head: float | None) -> str:
    """Face and head error."""
    return f"{number(face)} / {number(head)}"


def spread(one: Summary | None) -> str:
    """Mean and standard deviation; a single scene has none."""
    if one is None:
        return EMPTY
    return f"{one.mean:.2f} ± {one.std:.2f}" if one.scenes > 1 else f"{one.mean:.2f}"


def interval(one: Difference | None) -> str:
    """Mean difference with its confidence interval."""
    if one is None:
        return EMPTY
    return f"{one.mean:+.2f}" + (f" [{one.interval[0]:+.2f}, {one.interval[1]:+.2f}]" if one.interval else "")


def published_score(score: Score) -> str:
    """Face / head of a publication."""
    pairs = ((score.face_mm, score.face_std_mm), (score.head_mm, score.head_std_mm))
    return " / ".join(f"{mean:.2f}" + (f" ± {std:.2f}" if std is not None else "") for mean, std in pairs)
