"""A prior or a head file in words."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from baseh3d_ns.heads.networks import architecture, summary
from baseh3d_ns.heads.readers import find_head_file, open_head


def describe_head(path: Path) -> str:
    """Table of a head's content: architecture, frame, optimiser, shape space, provenance.

    Args:
        path: whatever `open_head` reads.

    Raises:
        InputError: it cannot be read.
    """
    head, file = open_head(path), find_head_file(path)
    without = "in the checkpoint, for --load-dir" if file.suffix == ".ckpt" else "not kept"
    numbers = sum(tensor.numel() for tensor in head.weights.values())
    said = {
        "networks": f"{summary(architecture(head.weights))}; {len(head.weights)} tensors, {numbers} numbers",
        "frame (mm)": asdict(head.frame) if head.frame else "not recorded",
        "optimiser": f"Adam after {head.adam_steps} steps" if head.moments else without,
    }
    if head.latents is not None:
        heads, size = head.latents.shape
        said["shape space"] = f"{heads} heads, latents of {size} numbers"
    lines = [f"  {name:<15}: {value}" for name, value in {**said, **head.provenance}.items()]
    return "\n".join([str(file), *lines])
