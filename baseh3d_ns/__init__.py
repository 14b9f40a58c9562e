"""Three photos of a head in, a metric mesh out: IDR, BaseH3D-Net and the H3DS data as a nerfstudio plugin."""

__version__ = "0.3.5"
"""Version, kept here alone. Raised whenever a default changes: benchmarks know by it results of other defaults."""
