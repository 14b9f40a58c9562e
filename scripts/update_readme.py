"""Put a table that `scripts/compare.py` wrote into the README, with the command that made it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass
class UpdateReadme:
    """Replace what stands between `<!-- table: NAME -->` and `<!-- end -->`."""

    name: str
    """Name of the table in the README."""
    table: Path
    """The table.md to put there."""
    command: str
    """The command that made it, shown above the table."""
    readme: Path = Path("README.md")
    """File to change."""

    def main(self) -> None:
        text = self.readme.read_text(encoding="utf-8")
        pattern = rf"(<!-- table: {re.escape(self.name)} -->\n).*?(<!-- end -->)"
        filled = f"`{self.command}`\n\n{self.table.read_text(encoding='utf-8').strip()}\n"
        text, places = re.subn(pattern, lambda match: match.group(1) + filled + match.group(2), text, flags=re.DOTALL)
        if places != 1:
            raise SystemExit(f"Error: {self.readme} has {places} places '<!-- table: {self.name} -->', expected one")
        self.readme.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    tyro.cli(UpdateReadme, description=__doc__).main()
