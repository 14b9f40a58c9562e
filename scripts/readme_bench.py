"""Put the tables of a benchmark into the README, and its numbers beside the definition for the staleness test."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import tyro
from update_readme import UpdateReadme

from baseh3d_ns.benchmark.definition import read_definition
from baseh3d_ns.benchmark.results import read_csv
from baseh3d_ns.benchmark.tables import summary_markdown


@dataclass
class ReadmeBench:
    """Replace what stands between `<!-- table: NAME -->` and `<!-- end -->`, NAME being the definition's."""

    run: tyro.conf.Positional[Path]
    """Results folder of `baseh3d bench`."""

    def main(self) -> None:
        definition = read_definition(self.run / "definition.toml")
        kept = Path("configs/results") / f"{definition.name}.csv"
        kept.parent.mkdir(exist_ok=True)
        shutil.copy(self.run / "results.csv", kept)
        tables = self.run / "readme.md"
        tables.write_text(summary_markdown(definition, read_csv(kept)), encoding="utf-8")
        UpdateReadme(definition.name, tables, f"baseh3d bench configs/{definition.name}.toml").main()


if __name__ == "__main__":
    tyro.cli(ReadmeBench, description=__doc__).main()
