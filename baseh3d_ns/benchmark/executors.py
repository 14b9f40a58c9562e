"""Places where the cells of a benchmark run: this machine, a Ray cluster, or Slurm."""

from __future__ import annotations

import logging
import math
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol, runtime_checkable

from baseh3d_ns.errors import InputError
from baseh3d_ns.extras import require_extra

LOG = "log.txt"
"""Output of a cell, in its folder."""
AT_ONCE = 256
"""Cells handed to a cluster at once; the cluster decides how many run."""
COMMAND = [sys.executable, "-m", "baseh3d_ns.benchmark.cell"]
FORKSERVER = multiprocessing.get_context("forkserver")
"""A server that has imported nerfstudio, which takes as long as a short fit, and forks for every cell."""


@runtime_checkable
class Executor(Protocol):
    """Runs cells; `run` is called from as many threads as there are `jobs`."""

    jobs: int

    def run(self, arguments: list[str], log: Path) -> int:
        """Run a cell (arguments of `python -m baseh3d_ns.benchmark.cell`), its output appended to `log`; its exit
        status."""
        ...


def _gpus_here() -> int:
    # Every job on a cluster imports this module, and needs no torch itself.
    import torch

    return torch.cuda.device_count()


@dataclass
class LocalExecutor:
    """Processes of this machine: one for each GPU, or `jobs` that share the CPU's cores."""

    jobs: int = 0
    """Cells at a time; 0: as many as there are GPUs, or one."""
    gpus: int = field(default_factory=_gpus_here)

    def __post_init__(self) -> None:
        self.jobs = self.jobs or max(1, self.gpus)
        self.free: SimpleQueue[int] = SimpleQueue()
        for slot in range(self.jobs):
            self.free.put(slot)
        threads = str(max(1, (os.cpu_count() or 1) // self.jobs))
        # Threads that spin while they wait take the cores of the cells beside them.
        self.env = {"OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "passive", **os.environ}
        if not self.gpus:
            os.environ |= self.env  # for the fork server, which reads it once
            FORKSERVER.set_forkserver_preload(["nerfstudio.scripts.train", "baseh3d_ns.benchmark.cell"])

    def run(self, arguments: list[str], log: Path) -> int:
        slot = self.free.get()
        try:
            if not self.gpus:
                return _run_forked([*arguments, "--no-stay"], log)
            allowed = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(self.gpus)))
            env = {**self.env, "CUDA_VISIBLE_DEVICES": allowed.split(",")[slot % self.gpus]}
            return run_logged([*COMMAND, *arguments, "--no-stay"], log, env)
        finally:
            self.free.put(slot)


@dataclass
class RayExecutor:
    """Tasks of a Ray cluster whose machines see the same folders."""

    address: str | None = None
    """Address of the cluster; None: one that is found, or started on this machine."""
    cpus: int = 2
    """CPU cores of a cell."""
    gpus: float = 0.0
    """GPUs of a cell."""
    jobs: int = AT_ONCE

    def __post_init__(self) -> None:
        require_extra("ray")
        import ray

        if self.address and self.address != "auto":
            _check_listens(self.address)
        try:
            ray.init(address=self.address, ignore_reinit_error=True, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InputError(
                f"no Ray cluster at {self.address} ({error}): start it, or leave out --ray-address"
            ) from error
        available = ray.cluster_resources()
        if available.get("CPU", 0) < self.cpus or available.get("GPU", 0) < self.gpus:
            raise InputError(
                f"the Ray cluster has {available.get('CPU', 0):.0f} CPUs and {available.get('GPU', 0):.0f} "
                f"GPUs, a cell asks for {self.cpus} and {self.gpus:g}: change --cpus and --gpus"
            )
        self.task: Any = ray.remote(num_cpus=self.cpus, num_gpus=self.gpus, max_retries=0)(run_logged)

    def run(self, arguments: list[str], log: Path) -> int:
        import ray

        try:
            return ray.get(self.task.remote([*COMMAND, *arguments], log, None, self.cpus))
        except ray.exceptions.RayError as error:
            _append(log, f"Ray: {error}")
            return 1


@dataclass
class SlurmExecutor:
    """Jobs of Slurm, through submitit."""

    folder: Path
    """For submitit's own files; on a file system that the nodes share."""
    cluster: str = "slurm"
    """`local`: processes of this machine behind the same interface."""
    partition: str = ""
    hours: float = 24.0
    cpus: int = 2
    gpus: float = 0.0
    jobs: int = AT_ONCE

    def __post_init__(self) -> None:
        require_extra("slurm")
        import submitit

        if self.gpus % 1:
            raise InputError(f"--executor slurm: --gpus {self.gpus:g} is no whole number, and a job gets whole GPUs")
        if self.cluster == "slurm" and shutil.which("srun") is None:
            raise InputError("--executor slurm: there is no srun on this machine; log in to the cluster")
        self.executor = submitit.AutoExecutor(folder=self.folder, cluster=self.cluster)
        slurm = {"slurm_partition": self.partition} if self.partition else {}
        self.executor.update_parameters(
            timeout_min=math.ceil(60 * self.hours), cpus_per_task=self.cpus, gpus_per_node=int(self.gpus), **slurm
        )

    def run(self, arguments: list[str], log: Path) -> int:
        job = self.executor.submit(run_logged, [*COMMAND, *arguments], log, None, self.cpus)
        try:
            return job.result()
        except Exception as error:  # submitit has no base class for what a scheduler may do to a job
            _append(log, f"Slurm job {job.job_id}: {error}")
            return 1


def run_logged(command: list[str], log: Path, env: dict[str, str] | None, threads: int = 0) -> int:
    """Run a command, its output appended to a log; its exit status.

    Args:
        command: program and arguments.
        log: file for stdout and stderr.
        env: environment variables; None: those of this process.
        threads: for numerical libraries; 0: as the environment says.
    """
    env = dict(env or os.environ)
    if threads:
        env["OMP_NUM_THREADS"] = str(threads)
    with log.open("ab") as output:
        return subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, env=env, check=False).returncode


def _run_forked(arguments: list[str], log: Path) -> int:
    """Run a cell in a process of the fork server, its output appended to a log; its exit status."""
    process = FORKSERVER.Process(target=_enter_cell, args=(arguments, log))
    process.start()
    process.join()
    return process.exitcode or 0


def _enter_cell(arguments: list[str], log: Path) -> None:
    from baseh3d_ns.benchmark.cell import main

    with log.open("ab") as output:
        for descriptor in (1, 2):
            os.dup2(output.fileno(), descriptor)
    sys.exit(main(arguments))


def _check_listens(address: str) -> None:
    """Raise `InputError` unless something listens at HOST:PORT: Ray would try for minutes, then end the process."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=10.0).close()
    except (OSError, ValueError) as error:
        raise InputError(f"no Ray cluster at {address} ({error}): start it, or leave out --ray-address") from error


def _append(log: Path, text: str) -> None:
    with log.open("a", encoding="utf-8") as file:
        file.write(text + "\n")
