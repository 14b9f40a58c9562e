"""Phone photos of synthetic heads to millimetres: with their true cameras and masks, and with what `capture` finds.

Writes own_photos.csv and own_photos.json (kept results, see scripts/update_readme.py). A head with a score is not
fitted again; the table counts the heads that `capture` found cameras for.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import tyro

from baseh3d_ns import __version__
from baseh3d_ns.benchmark.kept import Origin, keep_table, kept_markdown
from baseh3d_ns.benchmark.machine import device_name
from baseh3d_ns.errors import InputError, exit_on_input_error
from baseh3d_ns.evaluation.any_scan import ScaleAligned
from baseh3d_ns.evaluation.scan_run import score_with_scan
from baseh3d_ns.files import check_writable, write_text
from baseh3d_ns.heads.opened import OpenedHead
from baseh3d_ns.synthetic.camera_path import VIEW_TARGETS_DEG, nearest_views
from baseh3d_ns.synthetic.phone_photos import synthesize_photos

GIVEN, FOUND = "given, with masks", "found by capture"
METRIC = (
    "Both ways, to the surface, aligned on the face: rigid, and with the head's size fitted, since capture estimates "
    "it. Means over heads"
)
DIGITS = {"face mm": 2, "head mm": 2, "worst face mm": 2, "size fitted: face mm": 2, "size fitted: head mm": 2}


class NoCamerasError(InputError):
    """`capture` found no cameras for some photos: a result, not a failure."""


@dataclass(frozen=True)
class Case:
    """Some photos of one head, with or without their cameras."""

    person: Path
    """Folder of `baseh3d synth --photos`."""
    count: int
    """Number of photos; of three, one from the front and one from each side."""
    cameras: str
    folder: Path
    """Folder of its photos, run and score."""

    def truth(self) -> dict:
        """Content of the true transforms.json with the chosen photos alone."""
        content = json.loads((self.person / "truth" / "transforms.json").read_text())
        frames = content["frames"]
        if self.count < len(frames):
            positions = np.array([np.array(frame["transform_matrix"])[:3, 3] for frame in frames])
            chosen = nearest_views(positions - content["head"]["centre"], self.count)
            frames = [frames[view] for view in sorted(chosen)]
        return {**content, "frames": frames}

    def prepare(self) -> Path:
        """Make the folder that `head-data` reads; an `InputError` where `capture` finds no cameras."""
        content, photos = self.truth(), self.folder / "photos"
        shutil.rmtree(photos, ignore_errors=True)
        photos.mkdir(parents=True)
        truth = self.person / "truth"
        if self.cameras == GIVEN:
            for frame in content["frames"]:
                for name in ("file_path", "mask_path"):
                    frame[name] = os.path.relpath(truth / frame[name], photos)
            write_text(photos / "transforms.json", json.dumps(content))
            return photos
        for frame in content["frames"]:
            shutil.copy(truth / frame["file_path"], photos)
        try:
            run([sys.executable, "-m", "baseh3d_ns.cli", "capture", photos], self.folder / "capture.log")
        except InputError as error:
            print(f"{self.count} photos, cameras {self.cameras}, {self.person.name}: no score: {error}", flush=True)
            raise NoCamerasError from error
        return photos / "head"

    def score(self, options: list[str], spacing_mm: float) -> dict[str, float | str | int]:
        """Prepare, fit, score: errors in mm, seconds of preparation and fit."""
        begin = time.monotonic()
        head = self.prepare()
        prepared = time.monotonic()
        shutil.rmtree(self.folder / "train", ignore_errors=True)
        names = ["--output-dir", self.folder, "--experiment-name", "train", "--timestamp", "run"]
        command = ["ns-train", "baseh3d-fast", "--data", head, "--vis", "tensorboard", *names, *options, "head-data"]
        run(command, self.folder / "training.log")
        fitted = time.monotonic()
        found = self.folder / "train" / "baseh3d-fast" / "run"
        scan = self.person / "truth" / "scan.ply"
        scores = score_with_scan(OpenedHead.read(found), scan, "mm", self.folder / "evaluation", spacing_mm).scores
        rigid, unsized = scores.rigid, ScaleAligned(1.0, scores.rigid.face.mean_mm, scores.rigid.head.mean_mm)
        sized = scores.scale_aligned or unsized
        return {
            **{"photos": self.count, "cameras": self.cameras, "person": self.person.name},
            **{"face_mm": rigid.face.mean_mm, "head_mm": rigid.head.mean_mm},
            **{"sized_face_mm": sized.face_mm, "sized_head_mm": sized.head_mm, "size": sized.scale},
            **{"prepare_s": prepared - begin, "train_s": fitted - prepared},
        }


def run(command: list, log: Path) -> None:
    """Run a command with its output in a log; an `InputError` where it fails."""
    with log.open("w") as output:
        ended = subprocess.run(list(map(str, command)), stdout=output, stderr=subprocess.STDOUT, check=False)
    if ended.returncode:
        raise InputError(f"{command[0]} ended with {ended.returncode}: see {log}")


def table(scores: pd.DataFrame, counts: tuple[int, ...], subjects: int) -> pd.DataFrame:
    """One line for each number of photos and source of the cameras."""
    lines = []
    for photos, cameras in product(counts, (GIVEN, FOUND)):
        these = scores[(scores["photos"] == photos) & (scores["cameras"] == cameras)]
        errors = {"face mm": these["face_mm"].mean(), "head mm": these["head_mm"].mean()}
        sized = {f"size fitted: {part} mm": these[f"sized_{part}_mm"].mean() for part in ("face", "head")}
        seconds = {"s before the fit": these["prepare_s"].mean(), "s of the fit": these["train_s"].mean()}
        heads = f"{len(these)} of {subjects}"
        worst = these["face_mm"].max()
        lines.append(
            {"photos": photos, "cameras": cameras, "heads": heads, **errors, "worst face mm": worst, **sized, **seconds}
        )
    return pd.DataFrame(lines)


@dataclass
class ScoreOwnPhotos:
    """Make heads, take their cameras away, fit, score."""

    out: Path
    """Folder to write to; what is there is not made again."""
    subjects: int = 2
    """Number of heads."""
    views: int = 24
    """Photos of each head that are taken."""
    size: int = 512
    """Width and height of the photos in pixels."""
    counts: tuple[int, ...] = (3, 24)
    """Numbers of photos that heads are fitted to."""
    seed: int = 31
    """Seed of the heads."""
    spacing_mm: float = 1.0
    """Half the distance between the vertices that are scored."""
    train: str = ""
    """Options of `ns-train baseh3d-fast`, as on its command line: --train="--epochs 4"."""

    def main(self) -> None:
        check_writable(self.out)
        synthesize_photos(self.out / "heads", self.subjects, self.views, self.size, seed=self.seed)
        people = sorted(path for path in (self.out / "heads").iterdir() if path.is_dir())
        if not set(self.counts) <= {*VIEW_TARGETS_DEG, self.views}:
            raise InputError(f"--counts: take {', '.join(map(str, VIEW_TARGETS_DEG))} or all {self.views} photos")
        scores = []
        for count in self.counts:
            for cameras in (GIVEN, FOUND):
                for number, person in enumerate(people):
                    folder = self.out / "fits" / f"{count}-{cameras.split()[0].strip(',')}-head{number}"
                    with suppress(NoCamerasError):
                        scores.append(self.scored(Case(person, count, cameras, folder)))
        if not scores:
            raise InputError(f"no head has a score: see the logs in {self.out / 'fits'}")
        origin = Origin("python " + " ".join(sys.argv), __version__, (42,), device_name(), METRIC, digits=DIGITS)
        keep_table(self.out / "own_photos.csv", table(pd.DataFrame(scores), self.counts, self.subjects), origin)
        print(kept_markdown(self.out, "own_photos"))

    def scored(self, case: Case) -> dict:
        """Score of a case, read or made; of the same version and options, or it is made anew."""
        options = hashlib.sha256(f"{self.train} {self.spacing_mm}".encode()).hexdigest()[:8]
        file = case.folder / f"score-{__version__}-{options}.json"
        if not file.is_file():
            write_text(file, json.dumps(case.score(self.train.split(), self.spacing_mm)))
        return json.loads(file.read_text())


if __name__ == "__main__":
    with exit_on_input_error():
        tyro.cli(ScoreOwnPhotos, description=__doc__).main()
