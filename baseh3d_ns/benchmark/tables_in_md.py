"""Every table of a .md file, written from kept results: what stands between its markers, and nothing else.

```
<!-- table: main brief -->           a kept result, and the table of it (`kept.VIEWS`; left out: all)
<!-- end -->
```

Where nothing is kept, the sentence that says so.
"""

from __future__ import annotations

import re
from pathlib import Path

from baseh3d_ns import __version__
from baseh3d_ns.benchmark.kept import is_kept, kept_markdown, read_origin, same_minor
from baseh3d_ns.errors import InputError
from baseh3d_ns.files import write_text

TABLE = re.compile(r"<!-- table: (?P<name>\w+)(?: (?P<view>\w+))? -->\n(?P<content>.*?)<!-- end -->", re.DOTALL)
MD_FOLDERS = ("configs", "scripts")
"""Folders that may hold more of them."""


def md_files(repo: Path) -> list[Path]:
    """The .md files of the repository that people read."""
    return [*sorted(repo.glob("*.md")), *(file for name in MD_FOLDERS for file in sorted((repo / name).rglob("*.md")))]


def with_tables(text: str, results: Path) -> str:
    """A text with every table written anew.

    Args:
        text: of the .md file.
        results: folder of kept results.

    Raises:
        InputError: a kept result is of another version than this one (but for its last number), or damaged.
    """

    def write(match: re.Match[str]) -> str:
        name, view = match["name"], match["view"]
        marker = f"{name} {view}" if view else name
        return f"<!-- table: {marker} -->\n{_content(results, name, view or 'all')}<!-- end -->"

    return TABLE.sub(write, text)


def _content(results: Path, name: str, view: str) -> str:
    if not is_kept(results, name):
        return f"Not measured yet: `bash scripts/paper.sh --only {name}`.\n"
    version = read_origin(results, name).version
    if not same_minor(version):
        raise InputError(f"the table '{name}' was made with {version}, not {__version__}: measure it again")
    return kept_markdown(results, name, view)


def write_tables(file: Path, results: Path) -> bool:
    """Write the tables of a file; whether that changed it.

    Raises:
        InputError: see `with_tables`.
    """
    before = file.read_text(encoding="utf-8")
    after = with_tables(before, results)
    if after != before:
        write_text(file, after)
    return after != before


def tables_by_hand(text: str) -> list[str]:
    """Headings of the tables with measurements (mm, seconds) that stand outside of markers."""
    outside = TABLE.sub("", text)
    headings = re.findall(r"^(\|.*\|)\n\|[ :|-]+\|$", outside, re.MULTILINE)
    return [heading for heading in headings if re.search(r"\b(mm|s|seconds|ms)\b", heading)]
