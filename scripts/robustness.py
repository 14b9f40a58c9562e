"""Does a prior ever hurt? Fits of the same heads as they are, cropped at the neck, in other unit balls, badly captured.

Each from the built-in shape space and from nothing, with the same networks and steps (`ablation.py`). Errors are rigid,
ground truth to surface; of cropped heads, the head is what is left. Writes robustness.json and robustness.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

import tyro
from ablation import Ablation
from in_process import check_same_options
from perturb_heads import CHANGES, perturb

STARTS = {"baseh3d-fast": "from `builtin`", "no prior": "from nothing"}


@dataclass
class Robustness:
    """Fit changed copies of scenes."""

    data: Path
    """Root in the H3DS layout."""
    out: Path
    """Folder for the copies, robustness.json and robustness.md; fits that robustness.json has are not run again."""
    scenes: tuple[str, ...] = ("scan1",)
    """Scenes to fit."""
    changes: tuple[str, ...] = tuple(CHANGES)
    """Which copies."""
    starts: tuple[str, ...] = tuple(STARTS)
    """Where fits start."""
    downscale: int = 1
    """Photos are made that many times smaller."""
    views: str = "3"
    """Training views."""
    epochs: int = 100
    """Epochs of each fit."""
    seeds: tuple[int, ...] = (0,)
    """A fit for each; single ones scatter by 0.1 to 0.2 mm."""

    def main(self) -> None:
        for name, given, known in (("change", self.changes, CHANGES), ("start", self.starts, STARTS)):
            if set(given) - set(known):
                raise SystemExit(f"Error: no {name} {sorted(set(given) - set(known))}: choose of {sorted(known)}")
        self.out.mkdir(parents=True, exist_ok=True)
        decides = {"data": self.data.resolve(), "downscale": self.downscale, "views": self.views}
        check_same_options(self.out, decides)
        file = self.out / "robustness.json"
        rows: list[dict[str, Any]] = json.loads(file.read_text()) if file.is_file() else []
        for scene in self.scenes:
            for change in self.changes:
                copy = self.out / f"{change} {scene}".replace(" ", "-").replace("%", "percent")
                perturb(self.data, scene, copy, CHANGES[change])
                fits = Ablation((copy,), self.out, downscale=self.downscale, views=self.views, epochs=self.epochs)
                for start, seed in product(self.starts, self.seeds):
                    key = {"scene": scene, "change": change, "start": start, "epochs": self.epochs, "seed": seed}
                    if any(key.items() <= row.items() for row in rows):
                        continue
                    face, head, seconds = fits.fit(copy, None, scene, start, seed)
                    rows.append({**key, "face": face, "head": head, "seconds": seconds})
                    print(rows[-1], flush=True)
                    file.write_text(json.dumps(rows, indent=1))
        asked = {"scene": self.scenes, "epochs": (self.epochs,), "seed": self.seeds}
        table = self.table([row for row in rows if all(row[name] in values for name, values in asked.items())])
        (self.out / "robustness.md").write_text(table)
        print(table)

    def table(self, rows: list[dict[str, Any]]) -> str:
        """Mean over scenes and seeds."""
        names = ["head", *(f"{STARTS[start]}: face / head mm" for start in self.starts)]
        lines = ["| " + " | ".join([*names, "face of the unchanged head's"]) + " |", "|" + " --- |" * (len(names) + 1)]
        unchanged = float("nan")
        for change in self.changes:
            means = [
                [mean(row[part] for row in rows if row["change"] == change and row["start"] == start)
                 for part in ("face", "head")]
                for start in self.starts
            ]  # fmt: skip
            unchanged = means[0][0] if change == "as it is" else unchanged
            cells = [change, *(f"{face:.2f} / {head:.2f}" for face, head in means), f"{means[0][0] / unchanged:.2f}"]
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines) + "\n"


if __name__ == "__main__":
    tyro.cli(Robustness, description=__doc__).main()
