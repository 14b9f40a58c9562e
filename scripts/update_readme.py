"""Write every table of the .md files from kept results; keep those of finished benchmarks and scripts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from baseh3d_ns.benchmark.kept import KEPT, keep
from baseh3d_ns.benchmark.tables_in_md import md_files, write_tables
from baseh3d_ns.errors import exit_on_input_error

REPO = Path(__file__).parents[1]
RESULTS = REPO / "configs" / KEPT


@dataclass
class UpdateReadme:
    """Fill the places between `<!-- table: NAME -->` and `<!-- end -->`."""

    keep: tuple[Path, ...] = ()
    """Folders of `baseh3d bench`, or of a script, whose numbers are kept first, in configs/results."""
    command: str = ""
    """Command that made them, where it is not `baseh3d bench configs/NAME.toml`."""

    def main(self) -> None:
        for run in self.keep:
            print("kept", *keep(run, RESULTS, self.command))
        for file in md_files(REPO):
            print(f"{file}: {'written' if write_tables(file, RESULTS) else 'as it was'}")


if __name__ == "__main__":
    with exit_on_input_error():
        tyro.cli(UpdateReadme, description=__doc__).main()
