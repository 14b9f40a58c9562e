"""Settings of how a prior is placed on a new head; lengths in units of the unit ball unless their name says mm."""

from __future__ import annotations

from dataclasses import dataclass, field

from baseh3d_ns.bounds import (
    Count,
    CountOrNone,
    GridCells,
    HeightMm,
    LearningRate,
    Pixels,
    Positive,
    Share,
    Weight,
)


@dataclass
class LandmarkConfig:
    """Settings of the face landmarks by which a prior is placed."""

    longest_px: Pixels = 640
    """Longer side in pixels of the photos that faces are looked for in."""
    most_faces: Count = 8
    """Number of photos with a face that are enough."""
    render_size: Pixels = 320
    """Width in pixels of the renders in which the face of a prior of one head is looked for."""
    ray_weight: Weight = 0.5
    """Loss weight of the landmarks that should lie on the rays through them, here and while a shape space's latent is
    fitted to the photos."""
    size_sd: Share = 0.02
    """Relative standard deviation of the scale: millimetres are known, and the landmark model holds heads of all
    sizes."""
    centre_sd_mm: Positive = 25.0
    """Standard deviation in mm of the place of the unit ball's centre on the head: hair and shoulders move it. It says
    how far a face is that one photo alone shows."""


@dataclass
class PlacingConfig:
    """Settings of the registration of a prior: a similarity, and a shape space's latent, fitted to masks and faces."""

    steps: tuple[CountOrNone, CountOrNone] = (120, 80)
    """Adam steps of the similarity alone, then of a shape space's latent as well; the prior of one head has none, so
    the second stage is one of the similarity again."""
    rays: Count = 1024
    """Rays a step."""
    samples: Count = 32
    """Samples along a ray."""
    grid_cells: GridCells = 48
    """Cells along an axis of the SDF grid that the prior is cached on."""
    learning_rate: LearningRate = 0.02
    """Adam's learning rate of the similarity at the start of each stage; falls linearly to 0."""
    sharpness: tuple[Positive, Positive] = (20.0, 100.0)
    """Sharpness of the soft silhouettes, per radius of the prior's unit ball, at the first and last step: a wide basin
    first, then the contour."""
    size_weight: Weight = 20.0
    """Weight of the squared log scale: two heads are about as large, in millimetres."""
    rotation_weights: tuple[Weight, Weight, Weight] = (1.0, 1.0, 1.0)
    """Weights of the rotation prior (squared sine, per axis) for the prior of one head."""
    upright_rotation_weights: tuple[Weight, Weight, Weight] = (1.0, 0.1, 1.0)
    """Weights of the rotation prior for a shape space, whose y axis is up: yaw is well observed; pitch and roll are
    not, since hair seen from three sides can be explained by tilting the head."""
    latent_components: Count = 24
    """Principal components of a shape space's latents that are fitted."""
    latent_weight: Weight = 1e-3
    """Weight of the squared latent, in standard deviations from the mean head."""
    latent_learning_rate: LearningRate = 0.1
    """Adam's learning rate of the PCA coefficients; falls linearly to 0."""
    latent_refresh_steps: Count = 20
    """Steps between two refreshes of the cached SDF grid while the latent changes."""
    neck_mm: HeightMm = -125.0
    """Height below which silhouettes are ignored for a shape space, in mm from the ears (negative: below them)."""
    min_iou: Share = 0.6
    """Silhouette IoU below which the placement counts as poor: two heads with other hair still agree to 0.7. Confidence
    in the prior falls from 1 there to 0 at half of it."""
    face: LandmarkConfig = field(default_factory=LandmarkConfig)
    """Landmarks of the face in photos and prior."""
