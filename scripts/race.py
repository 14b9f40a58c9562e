"""idr against baseh3d-fast on the same heads: how both end, and how soon baseh3d-fast is as good as idr's end.

Each pair of fits runs in this process, on the same views, with networks of the same size; idr has its own tracer, 2048
rays a step and a falling learning rate. Errors are rigid, ground truth to surface; clocks stop while a fit is scored.
Writes race.json (with the loss of every step) and race.md; fits that race.json has already are not run again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import torch
import tyro
from in_process import check_same_options, configure, device_name, run, start

from baseh3d_ns.evaluation.quick_score import quick_score
from baseh3d_ns.heads.readers import BUILTIN

SCORED_AT = (0, 25, 50, 75, 100, 150, 200, 300, 400, 500)
"""Steps before which a fit of baseh3d-fast is scored, besides its end; idr only there."""


@dataclass
class Race:
    """Fit scenes with both and compare."""

    data: Path
    """Root in the H3DS layout."""
    out: Path
    """Folder for race.json and race.md."""
    scenes: tuple[str, ...] = ("scan1",)
    """Scenes to fit."""
    views: str = "3"
    """Training views."""
    prior: Path = BUILTIN
    """Where baseh3d-fast starts."""
    idr_steps: int = 1000
    """Steps of idr."""

    def main(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        decides = {"data": self.data.resolve(), "views": self.views, "prior": self.prior, "idr_steps": self.idr_steps}
        check_same_options(self.out, decides)
        file = self.out / "race.json"
        fits = json.loads(file.read_text()) if file.is_file() else {}
        for scene in self.scenes:
            for name, fit in (("baseh3d-fast", self.fast), ("idr", self.idr)):
                if f"{name} {scene}" not in fits:
                    fits[f"{name} {scene}"] = {"device": device_name(), **fit(scene)}
                    file.write_text(json.dumps(fits))
        table = _table({scene: (fits[f"idr {scene}"], fits[f"baseh3d-fast {scene}"]) for scene in self.scenes})
        (self.out / "race.md").write_text(table)
        print(table)

    def fast(self, scene: str) -> dict[str, Any]:
        """baseh3d-fast with its defaults."""
        return _fit(configure("baseh3d-fast", self.data, scene, self.views, self.prior), SCORED_AT)

    def idr(self, scene: str) -> dict[str, Any]:
        """idr with small networks."""
        changes = {"max_num_iterations": self.idr_steps, "lr_halvings": (), "lr_final": 0.05}
        return _fit(configure("idr", self.data, scene, self.views, None, **changes), ())


def _fit(config: Any, scored_at: tuple[int, ...]) -> dict[str, Any]:
    """`curve`: [step, seconds from the start, face mm, head mm]; `loss` of every step."""
    torch.manual_seed(0)
    trainer, seconds = start(config)
    step, losses, curve = 0, [], []
    for goal in (*(goal for goal in scored_at if goal < config.max_num_iterations), config.max_num_iterations):
        step, _, spent = run(trainer, step, goal - step, losses.append)
        seconds += spent
        curve.append((step, seconds, *quick_score(trainer)))
        face, head = curve[-1][2:]
        print(f"{config.method_name}: step {step}, {seconds:.1f} s, face {face:.2f}, head {head:.2f} mm", flush=True)
        if step >= trainer.total_steps:
            break
    return {"curve": curve, "loss": [float(loss) for loss in losses]}


def _table(pairs: dict[str, tuple[dict[str, Any], dict[str, Any]]]) -> str:
    """Markdown; the last row holds the means, and the ratios of the means."""
    names = ["scene", "idr: face / head mm", "after s", "baseh3d-fast: face / head mm", "after s"]
    names += ["face, head of idr's", "s until as good in the face", "of idr's time"]
    lines, numbers = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)], []
    for scene, fits in pairs.items():
        idr, fast = (fit["curve"][-1][1:] for fit in fits)
        soon = next((seconds for _, seconds, face, _ in fits[1]["curve"] if face <= idr[1]), float("nan"))
        numbers.append((*idr, *fast, soon))
        lines.append(_line(scene, numbers[-1]))
    return "\n".join([*lines, _line("mean", [mean(column) for column in zip(*numbers, strict=True)])]) + "\n"


def _line(scene: str, numbers: Any) -> str:
    idr_s, idr_face, idr_head, s, face, head, soon = numbers
    cells = [scene, f"{idr_face:.2f} / {idr_head:.2f}", f"{idr_s:.0f}", f"{face:.2f} / {head:.2f}", f"{s:.0f}"]
    cells += [f"{face / idr_face:.2f}, {head / idr_head:.2f}", f"{soon:.1f}", f"1/{idr_s / soon:.0f}"]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    tyro.cli(Race, description=__doc__).main()
