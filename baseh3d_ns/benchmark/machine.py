"""The machine a measurement ran on: its name, its clock, its memory."""

from __future__ import annotations

import resource
import sys
import time

import torch


def device_name() -> str:
    """The GPU, or the CPU with its number of threads."""
    threads = torch.get_num_threads()
    cpu = f"CPU, {threads} thread{'' if threads == 1 else 's'}"
    return torch.cuda.get_device_name() if torch.cuda.is_available() else cpu


def now_s() -> float:
    """Monotonic time in seconds, read once the GPU has finished what was queued."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.monotonic()


def peak_memory_gb() -> float:
    """Largest memory so far in GB: allocated by torch on a GPU, else resident in this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    # Bytes on macOS, kilobytes elsewhere.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
