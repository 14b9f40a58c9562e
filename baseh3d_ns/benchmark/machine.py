"""The machine a measurement ran on: its name, its clock, its memory."""

from __future__ import annotations

import os
import platform
import re
import resource
import sys
import time
from pathlib import Path

import torch

CPU_INFO = Path("/proc/cpuinfo")


def device_name() -> str:
    """The GPU; else torch's threads, and in parentheses the CPU's model and its number of cores."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'' if threads == 1 else 's'} ({cpu_name()}, {os.cpu_count()} cores)"


def cpu_name() -> str:
    """Model of the CPU, as far as the system tells."""
    text = CPU_INFO.read_text(encoding="utf-8") if CPU_INFO.is_file() else ""
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return " ".join(model[1].split()) if model else platform.processor() or platform.machine()


def same_kind(device: str) -> str:
    """A device without the CPU's model: machines of a kind share a table, and the table names every model."""
    return device.split(" (")[0]


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
