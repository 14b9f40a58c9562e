"""How a training takes over a prior at its first step, and how one leaves a prior behind."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nerfstudio.utils.rich_utils import CONSOLE

from baseh3d_ns import __version__
from baseh3d_ns.heads.head_file import LATENT, architecture, carry_optimizer, prior_of_field, save_prior, summary
from baseh3d_ns.heads.readers import load_prior
from baseh3d_ns.heads.transfer import field_of_prior, transfer
from baseh3d_ns.placing.registration import register_prior
from baseh3d_ns.warm_start.colours import learn_colours
from baseh3d_ns.warm_start.latent import fit_latent

if TYPE_CHECKING:
    from baseh3d_ns.training.trainer import FewShotTrainerConfig, HeadTrainer


def start_from_prior(config: FewShotTrainerConfig, trainer: HeadTrainer) -> None:
    """Load the prior that the config names, place it where photos and masks show the head, and begin there."""
    assert config.load_prior is not None
    prior = load_prior(config.load_prior)
    model = trainer.pipeline.model
    start = field_of_prior(prior, config.load_prior).to(model.device)
    trust = 1.0
    pool: Any = trainer.pipeline.datamanager.train_pixel_sampler
    if config.register:
        placed = register_prior(start, prior.frame, trainer.dataset, pool, prior.latents)
        CONSOLE.log(placed.summary(len(trainer.dataset)))
        trust = placed.trust
    fits_latent = config.latent_first > 0 and config.register and prior.latents is not None
    learns_own = model.field.feature_network is not None and not start.feature_network
    if config.colours_first > 0 and (fits_latent or not learns_own):
        learn_colours(start, pool, config.colours_first)
    if fits_latent:
        assert prior.latents is not None
        fit_latent(start, prior.weights[LATENT], prior.latents, pool, config.latent_first)
    how = transfer(start, model.field)
    used = sorted(prior.weights)
    shape = summary(architecture(prior.weights))
    CONSOLE.log(f"Start from {config.load_prior}: {len(used)} tensors, {used[0]} to {used[-1]} ({shape}), {how}")
    if model.anchor:
        # Of another person, or not placed, what the photos do not see is no better than what grows there by itself.
        holds = model.anchor.one_view or (config.register and prior.latents is not None)
        if not holds:
            CONSOLE.log("Where no photo sees, the prior holds nothing: only a shape space with --register True does.")
        model.anchor.hold(model.field, trust if holds else 0.0)
    if config.colours_first > 0 and learns_own:
        learn_colours(model.field, pool, config.colours_first)
    if config.carry_optimizer:
        carry_optimizer(prior, model.field, trainer.optimizers.optimizers["fields"])
        model.start_progress.fill_(float(prior.provenance["epochs"]) / config.epochs)
        CONSOLE.log(f"Carry on with its optimiser ({prior.adam_steps} steps) and schedule.")


def write_prior(trainer: HeadTrainer, epochs: int, step: int) -> Path:
    """Save the head as it is after `step`, in the run's folder; return where."""
    path = trainer.base_dir / f"prior-{epochs:06d}.safetensors"
    config, metadata = trainer.config, trainer.dataset.metadata
    provenance = {
        "scene": metadata["scene_id"],
        "data": str(config.pipeline.datamanager.data),
        "views": metadata["view_indices"],
        "epochs": epochs,
        "steps": step + 1,
        "seed": config.machine.seed,
        "method": config.method_name,
        "version": __version__,
        "date": datetime.now().isoformat(timespec="seconds"),
    }
    head = trainer.pipeline.model.field
    save_prior(path, prior_of_field(head, metadata["frame"], provenance, trainer.optimizers.optimizers["fields"]))
    return path
