"""`idr` stays the reference that the fast methods are measured against: its first losses, as they were at its birth."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from nerfstudio.engine.callbacks import TrainingCallbackLocation
from test_priors import SMALL

from baseh3d_ns import methods

LOSSES = {
    "colour": [0.387312, 0.311584, 0.502768, 0.408561],
    "eikonal": [0.00333177, 0.00349111, 0.00645215, 0.00536350],
    "mask": [1.642279, 2.424561, 1.394056, 1.472947],
}
"""Of four steps, measured at commit f53e6f9, before anything was made faster."""


@pytest.fixture
def trainer(tiny_root: Path, tmp_path: Path):
    """Of `idr` with small networks, before its first step."""
    torch.manual_seed(0)
    config = deepcopy(methods.idr.config)
    config.pipeline.model.sdf_field = SMALL
    config.pipeline.datamanager.train_num_rays_per_batch = 256
    config.pipeline.datamanager.data = tiny_root
    config.pipeline.datamanager.dataparser.scene = "scan0"
    config.vis, config.output_dir, config.epochs = "tensorboard", tmp_path, 10
    config.machine.device_type = "cpu"
    config.timestamp = "t"
    config.save_config()
    trainer = config.setup(local_rank=0, world_size=1)
    trainer.setup()
    trainer.pipeline.train()
    return trainer


def test_the_first_steps_of_idr_cost_what_they_did(trainer):
    losses: dict[str, list[float]] = {name: [] for name in LOSSES}
    for step in range(4):
        for callback in trainer.callbacks:
            callback.run_callback_at_location(step, TrainingCallbackLocation.BEFORE_TRAIN_ITERATION)
        _, parts, _ = trainer.train_iteration(step)
        for name in LOSSES:
            losses[name].append(float(parts[name].detach()))
    assert losses == {name: pytest.approx(values, rel=1e-3) for name, values in LOSSES.items()}
