"""Where the cells of a benchmark run: here, on a Ray cluster, or under Slurm."""

from __future__ import annotations

import importlib
import logging
import os
import shutil
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol, runtime_checkable

import torch

from baseh3d_ns.errors import InputError

AT_ONCE = 256
"""Cells handed to a cluster at once; it decides itself how many run."""


@runtime_checkable
class Executor(Protocol):
    """Runs commands; `run` is called from as many threads as there are `jobs`."""

    jobs: int

    def run(self, command: list[str], log: Path) -> int:
        """Run a command to its end, its output appended to `log`; the exit status."""
        ...


@dataclass
class LocalExecutor:
    """Processes of this machine: one for each GPU, or `jobs` that share the CPU's cores."""

    jobs: int = 0
    """0: as many as there are GPUs, or one."""
    gpus: int = field(default_factory=torch.cuda.device_count)

    def __post_init__(self) -> None:
        self.jobs = self.jobs or max(1, self.gpus)
        self.free: SimpleQueue[int] = SimpleQueue()
        for slot in range(self.jobs):
            self.free.put(slot)

    def run(self, command: list[str], log: Path) -> int:
        slot = self.free.get()
        threads = str(max(1, (os.cpu_count() or 1) // self.jobs))
        # Threads that spin while they wait take the cores of the cells beside them.
        surroundings = {"OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "passive", **os.environ}
        if self.gpus:
            allowed = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(self.gpus)))
            surroundings["CUDA_VISIBLE_DEVICES"] = allowed.split(",")[slot % self.gpus]
        try:
            return run_logged([*command, "--parent", str(os.getpid())], log, surroundings)
        finally:
            self.free.put(slot)


@dataclass
class RayExecutor:
    """Tasks of a Ray cluster whose machines see the same folders."""

    address: str | None = None
    """Of the cluster; None: one that is found, or started on this machine."""
    cpus: int = 2
    gpus: float = 0.0
    """What one cell takes."""
    jobs: int = AT_ONCE

    def __post_init__(self) -> None:
        ray = _extra("ray", "ray")
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

    def run(self, command: list[str], log: Path) -> int:
        import ray

        try:
            return ray.get(self.task.remote(command, log, None, self.cpus))
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
        submitit = _extra("submitit", "slurm")
        if self.cluster == "slurm" and shutil.which("srun") is None:
            raise InputError("--executor slurm: there is no srun on this machine; log in to the cluster")
        self.executor = submitit.AutoExecutor(folder=self.folder, cluster=self.cluster)
        slurm = {"slurm_partition": self.partition} if self.partition else {}
        self.executor.update_parameters(
            timeout_min=int(60 * self.hours), cpus_per_task=self.cpus, gpus_per_node=int(self.gpus), **slurm
        )

    def run(self, command: list[str], log: Path) -> int:
        job = self.executor.submit(run_logged, command, log, None, self.cpus)
        try:
            return job.result()
        except Exception as error:  # submitit has no base class for what a scheduler may do to a job
            _append(log, f"Slurm job {job.job_id}: {error}")
            return 1


def run_logged(command: list[str], log: Path, surroundings: dict[str, str] | None, threads: int = 0) -> int:
    """Run a command, its output appended to a log.

    Args:
        surroundings: environment variables; None: those of this process.
        threads: for numerical libraries; 0: as the environment says.
    """
    environment = dict(surroundings or os.environ)
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
    with log.open("ab") as output:
        return subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, env=environment, check=False).returncode


def _extra(module: str, name: str) -> Any:
    """A library that only one executor needs."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(f"--executor {name} needs {module}: pip install 'baseh3d_ns[{name}]'") from error


def _check_listens(address: str) -> None:
    """Ray itself would try for minutes, and then end the process."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=10.0).close()
    except (OSError, ValueError) as error:
        raise InputError(f"no Ray cluster at {address} ({error}): start it, or leave out --ray-address") from error


def _append(log: Path, text: str) -> None:
    with log.open("a", encoding="utf-8") as file:
        file.write(text + "\n")
