"""Settings of how a prior is placed on a new head; lengths in units of the unit ball unless their name says mm."""

from __future__ import annotations

from dataclasses import dataclass, field

from baseh3d_ns.bounds import (
    Count,
    CountOrNone,
    Degrees,
    Fraction,
    GridCells,
    HeightMm,
    LearningRate,
    Pixels,
    Positive,
    Share,
    SignedFraction,
    Weight,
)


@dataclass
class FaceMatchConfig:
    """Settings of the face correspondences between photos and renders of the prior."""

    render_size: Pixels = 160
    """Longer side in pixels of the pictures that faces are looked for in."""
    min_width: Share = 1 / 8
    """Width of the smallest face looked for, as a fraction of the picture's width."""
    min_votes: Count = 25
    """Number of overlapping detections, over all photos, without which no photo is turned before it is looked at: faces
    get dozens, an ear upside down some."""
    box_weight: Weight = 0.1
    """Number of overlapping detections, over all photos, without which no photo is turned before it is looked at: faces
    get dozens, an ear upside down some."""
    box_weight: Weight = 0.1
    """Loss weight of the correspondence between the centres of the face boxes."""
    box_tolerance: Positive = 0.04
    """Distance of ray and point beyond which the box loss grows linearly, in units of the unit ball."""
    patch_weight: Weight = 0.5
    """Loss weight of the correspondences between face patches (priors of one head only)."""
    patch_tolerance: Positive = 0.02
    """Distance between ray and point beyond which the patch loss grows linearly, in units of the unit ball."""
    patch_width: Share = 0.3
    """Width of a patch, in widths of the face box."""
    patch_offset: Fraction = 0.25
    """Distance between the centres of neighbouring patches (3 x 3), in widths of the face box."""
    patch_search: Fraction = 0.15
    """Distance within which a patch is searched for, in widths of the face box."""
    min_correlation: SignedFraction = 0.5
    """Normalised cross-correlation below which a patch counts as not found, in [-1, 1]."""


@dataclass
class PlacingConfig:
    """Settings of the registration of a prior: a similarity, and a shape space's latent, fitted to masks and faces."""

    steps: tuple[CountOrNone, CountOrNone, CountOrNone] = (80, 80, 80)
    """Adam steps with silhouettes alone, then with face boxes, then with face patches or a shape space's latent."""
    rays: Count = 1024
    """Rays a step."""
    samples: Count = 32
    """Samples along a ray."""
    grid_cells: GridCells = 48
    """Cells along an axis of the SDF grid that the prior is cached on."""
    learning_rate: LearningRate = 0.02
    """Adam's learning rate of the similarity at the start of each stage; falls linearly to 0."""
    sharpness: tuple[Positive, Positive] = (20.0, 100.0)
    """Sharpness of the soft silhouettes at the first and last step: a wide basin first, then the contour."""
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
    min_iou: Fraction = 0.6
    """Silhouette IoU below which the placement counts as poor: two heads with other hair still agree to 0.7. Confidence
    in the prior falls from 1 there to 0 at half of it."""
    frontal_deg: Degrees = 40.0
    """Rotation from the unit frame to the head within which the frame's own axes are trusted, in degrees: face
    detectors take a face that is turned by thirty degrees for frontal."""
    level_deg: Degrees = 4.0
    """Tilt between the photos' horizon and the frame within which the frame's up is trusted, in degrees."""
    faces: FaceMatchConfig = field(default_factory=FaceMatchConfig)
    """Correspondences between the faces in photos and renders."""
