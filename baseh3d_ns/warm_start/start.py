"""Warm start: a prior placed on a new head, its colours and latent learned, written into the networks of a method."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nerfstudio.utils.rich_utils import CONSOLE

from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.data.ray_pool import RayPool
from baseh3d_ns.fields.head_field import HeadField
from baseh3d_ns.heads.head_file import LATENT, Head
from baseh3d_ns.heads.networks import architecture, field_of_head, summary
from baseh3d_ns.heads.transfer import transfer
from baseh3d_ns.placing.config import PlacingConfig
from baseh3d_ns.placing.registration import Registration, register_prior
from baseh3d_ns.warm_start.colours import learn_colours
from baseh3d_ns.warm_start.config import WarmStartConfig
from baseh3d_ns.warm_start.latent import fit_latent


@dataclass(frozen=True)
class WarmStart:
    """Outcome of a warm start."""

    placed: Registration | None
    """Outcome of the registration; None where the prior was left in its own frame."""
    from_shape_space: bool
    """Whether the prior is a shape space, whose latent the photos have chosen."""


def warm_start(
    prior: Head,
    source: Path,
    field: HeadField,
    dataset: HeadDataset,
    pool: RayPool,
    config: WarmStartConfig,
    placing: PlacingConfig | None,
) -> WarmStart:
    """Make `field` the prior's head, as the photos show it.

    1. Place the prior (with `placing`): a similarity, and a shape space's latent, from silhouettes and faces.
    2. Learn the colours on its surface; a field with a feature network of its own learns them in step 5.
    3. Fit a shape space's latent, placement and colours to the photos.
    4. Transfer: the same head, number for number, in the networks of `field`.
    5. Learn the colours of a feature network that the prior does not have.

    Args:
        prior: the prior, as read from `source`.
        field: networks of the method, on its device.
        dataset: training photos and masks.
        pool: their rays.
        config: steps and learning rates.
        placing: settings of the registration; None leaves the prior where its own unit frame had it.

    Raises:
        InputError: the prior holds no networks of a head.
    """
    start = field_of_head(prior, source).to(field.placement.similarity.device)
    placed = None
    if placing is not None:
        placed = register_prior(start, prior.frame, dataset, pool, placing, prior.latents, prior.camera_centres)
        CONSOLE.log(placed.summary(len(dataset)))
    fits_latent = config.latent.steps > 0 and placing is not None and prior.latents is not None
    own_features = field.feature_network is not None and not start.feature_network
    if config.colours.steps > 0 and (fits_latent or not own_features):
        learn_colours(start, pool, config.colours, config.grid_cells)
    if fits_latent:
        assert prior.latents is not None and placing is not None
        mean, face = prior.weights[LATENT], placed.face if placed else None
        fit_latent(start, mean, prior.latents, pool, config.latent, placing, face, config.grid_cells)
    elif config.latent.steps > 0:
        CONSOLE.log("The latent is not fitted: only a shape space with --register True has one to fit.")
    how = transfer(start, field)
    shape = summary(architecture(prior.weights))
    CONSOLE.log(f"Start from {source}: {len(prior.weights)} tensors ({shape}), {how}")
    if config.colours.steps > 0 and own_features:
        learn_colours(field, pool, config.colours, config.grid_cells)
    return WarmStart(placed, prior.latents is not None)
