"""Three photos of a head in, a metric mesh out: IDR, BaseH3D-Net and the H3DS data as a nerfstudio plugin."""

__version__ = "0.1.10"
"""Raised whenever a default changes: benchmarks know by it which results are of other defaults."""
