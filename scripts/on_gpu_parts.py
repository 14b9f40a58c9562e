"""The measured parts of `on_gpu.sh`, each in a process of its own.

Measurements go into the file --figures at once, since a part may be stopped at any time. Clocks are read, and peaks of
memory reset, once the GPU has finished what was queued.
"""

from __future__ import annotations

import platform
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import tyro
from on_gpu_job import SMALL, Figures, Job, Sizes, finite, forget_peak

from baseh3d_ns import __version__
from baseh3d_ns.benchmark.in_process import configure, curve, run, start
from baseh3d_ns.benchmark.machine import device_name, now_s, peak_memory_gb
from baseh3d_ns.benchmark.point import Point

VIEW = {"scene": "scan0", "views": "3"}
"""Scene and number of training views of every fit."""
STRETCH = 25
"""Steps between two notes of the speed."""
CLOSE = 1.05
"""A fit is as good as finished when its face error is at most this many times its final one."""


@dataclass
class Part:
    """One part, run in this process."""

    name: tyro.conf.Positional[str]
    """Which: a key of PARTS."""
    data: Path
    """H3DS root: three heads with photos of 512 pixels."""
    figures: Path
    """JSON file to write."""
    small: bool = False
    """Small sizes, to show on a CPU that every part runs."""

    def main(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            sizes = SMALL if self.small else Sizes()
            PARTS[self.name](Job(self.data, Path(scratch), sizes, Figures(self.figures)))


def machine(job: Job) -> None:
    """Versions of what everything else depends on."""
    packages = ("torch", "numpy", "nerfstudio", "h3ds", "trimesh")
    job.figures.add(
        device=device_name(),
        cuda=torch.version.cuda if torch.cuda.is_available() else None,
        python=platform.python_version(),
        **{name: version(name) for name in packages},
        baseh3d_ns=__version__,
    )


def idr(job: Job) -> None:
    """Speed of IDR with its own networks."""
    measure_steps(job, configure("idr", job.scratch, {"data": job.data, **job.sizes.head}, VIEW), job.sizes.steps)


def baseh3d(job: Job) -> None:
    """Speed of BaseH3D-Net with IDR's networks, from the built-in prior carried over to them."""
    options = {"data": job.data, "load-prior": "builtin", **job.sizes.head}
    measure_steps(job, configure("baseh3d", job.scratch, options, VIEW), job.sizes.steps)


def shape_space(job: Job) -> None:
    """Speed of H3D-Net's shape space, on the scans of the root."""
    steps = job.sizes.shape_space_steps
    options = {"data": job.data, "max-num-iterations": job.sizes.warm_up + steps, **job.sizes.shape_space}
    measure_steps(job, configure("h3dnet-prior", job.scratch, options, {}), steps)


def measure_steps(job: Job, config: Any, steps: int) -> None:
    """Steps a second, and the peak of memory, after a warm-up."""
    fit = start(config)
    warm = run(fit, job.sizes.warm_up)
    job.figures.add(start_s=fit.start_s, warm_up_s=warm.seconds, first_loss=finite(warm.loss))
    forget_peak()
    done, seconds = 0, 0.0
    while done < steps:
        stretch = run(fit, min(STRETCH, steps - done))
        done, seconds = done + stretch.steps, seconds + stretch.seconds
        job.figures.add(
            steps=done, steps_per_s=done / seconds, peak_memory_gb=peak_memory_gb(), last_loss=finite(stretch.loss)
        )


def fits(job: Job) -> None:
    """Fits of baseh3d-fast with its defaults, from the built-in prior, with a seed each, scored on the way."""
    for seed in job.sizes.seeds:
        measure_fit(job, f"seed {seed}", VIEW, seed)


def many_photos(job: Job) -> None:
    """One fit of baseh3d-fast from all photos of the head."""
    measure_fit(job, "all photos", VIEW | {"views": "all"}, 0)


def measure_fit(job: Job, name: str, view: dict[str, str], seed: int) -> None:
    """One fit of baseh3d-fast with its defaults from the built-in prior, scored on the way."""
    forget_peak()
    fit = start(configure("baseh3d-fast", job.scratch / name, job.fit_options, {**view, **job.sizes.view}, seed))
    # A shorter fit than the last of these steps is scored at its own end.
    points = curve(fit, job.sizes.scored_at)
    last = points[-1]
    result = {
        "start_s": fit.start_s,
        "seconds": last.seconds,
        "steps": last.step,
        "face_mm": finite(last.face_mm),
        "head_mm": finite(last.head_mm),
        "close_s": seconds_until_close(points),
        "peak_memory_gb": peak_memory_gb(),
        "curve": [{name: finite(value) for name, value in asdict(point).items()} for point in points],
    }
    job.figures.add(**{name: result})


def profile(job: Job) -> None:
    """Where the time of a step of baseh3d-fast goes: operations go to the log, the largest first."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    fit = start(configure("baseh3d-fast", job.scratch, job.fit_options, {**VIEW, **job.sizes.view}))
    run(fit, job.sizes.warm_up)
    there = torch.cuda.is_available()
    with profiler(activities=[ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * there]) as seen:
        stretch = run(fit, job.sizes.profiled)
    operations = seen.key_averages()
    for order in ("self_cpu_time_total", *["self_device_time_total"] * there):
        print(operations.table(sort_by=order, row_limit=40, max_name_column_width=70))
    calls = {operation.key: operation.count / stretch.steps for operation in operations}
    job.figures.add(
        steps=stretch.steps,
        steps_per_s=stretch.steps / stretch.seconds,
        device_ms_a_step=sum(operation.self_device_time_total for operation in operations) / 1e3 / stretch.steps,
        launches_a_step=calls.get("cudaLaunchKernel"),
        synchronisations_a_step=sum(count for key, count in calls.items() if "Synchronize" in key),
    )


def seconds_until_close(points: list[Point]) -> float:
    """Training time until the face error is `CLOSE` to the final one, at the first scored step where it is."""
    return next(point.seconds for point in points if point.face_mm <= CLOSE * points[-1].face_mm)


def meshing(job: Job) -> None:
    """Seconds and peak of memory of the built-in head as a mesh."""
    from baseh3d_ns.heads.networks import field_of_head
    from baseh3d_ns.heads.readers import BUILTIN, open_head
    from baseh3d_ns.mesh.extract import extract_mesh, usual_device
    from baseh3d_ns.rendering.denormals import flush_denormals

    flush_denormals()
    head, device = open_head(BUILTIN), usual_device()
    assert head.frame is not None
    field, frame = field_of_head(head, BUILTIN).to(device).eval(), head.frame
    # A small mesh first: kernels are loaded.
    for number, cells in enumerate((32, *job.sizes.cells)):
        forget_peak()
        begin = now_s()
        mesh = extract_mesh(field.sdf, frame, spacing_mm=2.0 * frame.radius_mm / cells, device=device, progress=False)
        result = {"seconds": now_s() - begin, "peak_memory_gb": peak_memory_gb(), "vertices": len(mesh.vertices)}
        if number:
            job.figures.add(**{f"{cells} cells": result})


PARTS: dict[str, Callable[[Job], None]] = {
    "machine": machine,
    "idr": idr,
    "baseh3d": baseh3d,
    "fits": fits,
    "many photos": many_photos,
    "profile": profile,
    "h3dnet-prior": shape_space,
    "meshing": meshing,
}

if __name__ == "__main__":
    sys.exit(tyro.cli(Part, description=__doc__).main())
