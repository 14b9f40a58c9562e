"""Every method trains, a killed run resumes, checkpoints are safe to load."""

from __future__ import annotations

import re
import time
from collections import Counter
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from nerfstudio.engine.callbacks import TrainingCallbackLocation
from processes import FEW_RAYS, Trained, begin, call, checkpoint, configured, train, training
from tiny_root import SCENE

from baseh3d_ns import methods
from baseh3d_ns.data import pictures, views
from baseh3d_ns.data.h3ds_dataparser import H3dsDataParser
from baseh3d_ns.heads.networks import named_parameters
from baseh3d_ns.heads.readers import open_head
from baseh3d_ns.models.photo_consistency import Photos
from baseh3d_ns.training.schedule import Schedule
from baseh3d_ns.training.trainer import SdfTrainer
from baseh3d_ns.warm_start.colours import learn_colours
from baseh3d_ns.warm_start.config import ColourConfig


def test_priors_are_written_at_the_epochs_asked_for_and_at_the_end(prior_run):
    names = sorted(path.name for path in prior_run.folder.glob("prior-*"))
    assert names == ["prior-000002.safetensors", "prior-000004.safetensors", "prior-000008.safetensors"]
    shown = call("baseh3d", "prior", prior_run.folder / names[1])
    assert "4 x 128" in shown and SCENE in shown and re.search(r"epochs\s+: 4", shown) and "steps" in shown


def test_epochs_times_views_are_the_steps(prior_run, fit_run):
    assert checkpoint(prior_run).name == "step-000000039.ckpt" and checkpoint(fit_run).name == "step-000000011.ckpt"


def test_the_learning_rate_rises_once_the_sdf_learns_and_falls_to_the_end():
    config = deepcopy(methods.h3dnet_fast.config)
    config.pipeline.model.decoder_frozen, config.lr_final, config.lr_warmup = 0.15, 0.05, 0.1
    factors = [config.lr_factor(progress) for progress in (0.05, 0.15, 0.2, 0.25, 1.0)]
    assert factors[0] == pytest.approx(0.05**0.05) and factors[1] == 0.0  # latent and colours first, at full speed
    assert factors[2] == pytest.approx(0.5 * 0.05**0.2) and factors[3] == pytest.approx(0.05**0.25)
    assert factors[4] == pytest.approx(0.05)
    assert [methods.idr.config.lr_factor(p) for p in (0.0, 0.49, 0.5, 0.75)] == [1.0, 1.0, 0.5, 0.25]


@pytest.mark.parametrize("views", ["3", "1,"])
def test_a_fit_held_by_the_prior_where_nothing_is_seen_goes_on_where_it_stopped(prior_run, tiny_root, tmp_path, views):
    held = ["--epochs", 4] if views == "3" else ["--load-prior", prior_run.folder, "--epochs", 12]
    text = train("baseh3d-fast", tiny_root, tmp_path, *held, "--max-num-iterations", 6, views=views)
    if views == "3":  # no prior of the user's is needed
        assert "Start from builtin" in text and "latent folded in" in text
    folder = tmp_path / "t" / "baseh3d-fast" / "t" / "nerfstudio_models"
    first = torch.load(next(folder.iterdir()), weights_only=True)["pipeline"]
    assert first["_model.anchor.confidence"] > 0
    # What all views share is left out: a single one is taken as it is.
    assert (first["_model.views.pose"].abs().max() > 0) == (views == "3")
    train("baseh3d-fast", tiny_root, tmp_path, *held, "--load-dir", folder, views=views)
    last = torch.load(folder / "step-000000011.ckpt", weights_only=True)["pipeline"]
    for name in ("points", "sdf", "gradient"):
        assert torch.equal(first[f"_model.anchor.{name}"], last[f"_model.anchor.{name}"])
    assert open_head(tmp_path / "t" / "baseh3d-fast" / "t").provenance["steps"] == 12


def test_with_several_views_the_prior_of_one_head_holds_nothing(fit_run):
    state = torch.load(checkpoint(fit_run), weights_only=True)["pipeline"]
    assert state["_model.anchor.confidence"] == 0 and not state["_model.anchor.points"].isnan().any()


def test_a_shape_space_that_is_not_placed_holds_nothing(tiny_root, tmp_path):
    text = train("baseh3d-fast", tiny_root, tmp_path, "--register", False, "--max-num-iterations", 1)
    state = torch.load(checkpoint(Trained(tmp_path, tiny_root, tmp_path / "t/baseh3d-fast/t")), weights_only=True)
    assert state["pipeline"]["_model.anchor.confidence"] == 0 and "holds nothing" in text


def test_the_head_file_is_the_checkpoints_head(fit_run):
    head, kept = open_head(fit_run.folder), open_head(checkpoint(fit_run))
    assert head.weights.keys() == kept.weights.keys() and head.frame == kept.frame
    assert all(torch.equal(tensor, kept.weights[name]) for name, tensor in head.weights.items())
    assert all(torch.equal(tensor, kept.view_corrections[name]) for name, tensor in head.view_corrections.items())
    assert torch.equal(head.camera_centres, kept.camera_centres) and head.view_corrections.keys() == {
        "pose",
        "focal",
        "colour",
    }


def test_a_training_flushes_denormal_numbers(fit_run, tiny_root, tmp_path):
    """A step of a fit takes far longer with them."""
    if not torch.set_flush_denormal(False):
        pytest.skip("this processor always keeps them")
    small = torch.full((4,), 1e-39)
    assert bool((small * 1.0 > 0.0).all())
    configured("idr", tiny_root, tmp_path).pipeline.setup(device="cpu", test_mode="val", world_size=1, local_rank=0)
    assert bool((small * 1.0 == 0.0).all())


def test_checkpoints_load_with_torchs_safe_default(fit_run):
    state = torch.load(checkpoint(fit_run), weights_only=True)
    assert state["step"] == 11 and isinstance(state["schedulers"]["fields"]["_last_lr"][0], float)


@pytest.mark.parametrize("method", ["idr", "baseh3d-prior"])
def test_ten_steps_of_the_full_size_methods(method, tiny_root, tmp_path):
    few = ["--max-num-iterations", 10]
    few += [word for name in FEW_RAYS for word in (f"--pipeline.datamanager.{name}", 8)]
    # Photos of 16 px: the silhouettes that close a training ask large networks at every pixel.
    train(method, tiny_root, tmp_path, *few, downscale=3)
    assert (tmp_path / "t" / method / "t" / "nerfstudio_models" / "step-000000009.ckpt").is_file()
    if method == "baseh3d-prior":
        prior = next((tmp_path / "t" / method / "t").glob("prior-*.safetensors"))
        carried = ["--load-prior", prior, "--carry-optimizer", True]
        train("baseh3d", tiny_root, tmp_path, *few, *carried, downscale=3)
        assert (tmp_path / "t" / "baseh3d" / "t" / "nerfstudio_models" / "step-000000009.ckpt").is_file()


@pytest.mark.parametrize("spec", [methods.idr, methods.baseh3d_prior, methods.baseh3d, methods.h3dnet])
def test_the_losses_of_the_full_size_methods_are_idrs(spec):
    """IDR's supplement B: mask 100, eikonal 0.1, alpha 50; what fast fits weigh otherwise stays theirs."""
    model = spec.config.pipeline.model
    assert (model.mask_weight, model.late_mask_factor) == (100.0, 1.0)
    assert (model.eikonal_weight, model.mask_alpha) == (0.1, 50.0)
    assert (model.photos.weight, model.refine_cameras, model.refine_colours) == (0.0, False, False)


@pytest.mark.parametrize("spec", [methods.baseh3d_fast, methods.h3dnet_fast])
def test_silhouettes_of_fast_fits_weigh_as_idrs_and_later_four_times_as_much(spec):
    """As README says."""
    fast, published = spec.config.pipeline.model, methods.idr.config.pipeline.model
    assert (fast.mask_weight, fast.late_mask_factor) == (published.mask_weight, 4.0)
    assert published.late_mask_factor == 1.0


def test_colours_first_teaches_the_colours_and_leaves_the_priors_shape_alone(tiny_root, prior_run, tmp_path, capsys):
    config = deepcopy(methods.baseh3d_fast.config)
    config.pipeline.datamanager.data, config.pipeline.datamanager.dataparser.scene = tiny_root, "scan0"
    config.pipeline.datamanager.dataparser.views = ("3",)
    config.pipeline.datamanager.train_num_rays_per_batch = 64
    config.vis, config.output_dir, config.timestamp, config.machine.device_type = "tensorboard", tmp_path, "t", "cpu"
    config.load_prior, config.register, config.epochs = prior_run.folder, False, 1
    coarse(config)
    losses, changed = {}, {}
    for steps in (0, 200):
        torch.manual_seed(0)
        config.warm_start.colours.steps = steps
        config.save_config()
        trainer = config.setup(local_rank=0, world_size=1)
        trainer.setup()
        trainer.pipeline.train()
        prior, field = open_head(prior_run.folder), trainer.pipeline.model.field
        # Detail that the prior does not have is tested by itself.
        now = {name: parameter.detach() for name, parameter in named_parameters(field) if "detail" not in name}
        changed[steps] = {name.split(".")[0] for name in now if not torch.equal(prior.weights[name], now[name])}
        torch.manual_seed(1)
        losses[steps] = float(trainer.pipeline.get_train_loss_dict(0)[1]["colour"].detach())
    assert changed == {0: set(), 200: {"colour"}} and losses[200] < 0.8 * losses[0]
    # A prior that lies elsewhere.
    field.placement.similarity[4:] += 5.0
    learn_colours(field, trainer.ray_pool, ColourConfig(steps=5), config.warm_start.grid_cells)
    assert "its colours stay" in capsys.readouterr().out


def coarse(config) -> None:
    """Set coarse grids of the SDF: most of the time of a few steps is theirs."""
    config.pipeline.model.grid_cells = config.pipeline.model.anchor.grid_cells = 24
    config.placing.grid_cells = config.warm_start.grid_cells = 24
    config.finish_colours.steps = 0
    config.placing.rays = 256


def started(config) -> SdfTrainer:
    """A trainer at step 0."""
    coarse(config)
    config.vis = "tensorboard"
    config.pipeline.datamanager.train_num_rays_per_batch = 256
    config.save_config()
    trainer = config.setup(local_rank=0, world_size=1)
    trainer.setup()
    trainer.pipeline.train()
    return trainer


def before_step(trainer: SdfTrainer, step: int) -> None:
    """All that happens before a step's batch goes through the model."""
    for callback in trainer.callbacks:
        callback.run_callback_at_location(step, TrainingCallbackLocation.BEFORE_TRAIN_ITERATION)
    trainer.pipeline.model.keep_grid_fresh()


def test_photos_are_decoded_once_for_the_check_and_once_for_the_fit(tiny_root, tmp_path, monkeypatch):
    """Placing, colours, strata, rays and both sizes of patches had each decoded them again."""
    decoded = Counter()
    read = pictures.read_photo
    monkeypatch.setattr(views, "read_photo", lambda path: decoded.update([path]) or read(path))
    config = configured("baseh3d-fast", tiny_root, tmp_path, "--epochs", 2)
    config.placing.steps, config.warm_start.colours.steps, config.warm_start.latent.steps = (2, 2), 2, 2
    trainer = started(config)
    before_step(trainer, 0)
    trainer.pipeline.get_train_loss_dict(0)
    assert len(decoded) == 5 and [decoded[path] for path in trainer.dataset.image_filenames] == [2, 2, 2]


def test_an_anchor_leaves_the_eikonal_loss_alone(tiny_root, tmp_path):
    """The loss had also been asked for at the points that the prior holds."""
    config = configured("baseh3d-fast", tiny_root, tmp_path, "--epochs", 2)
    config.placing.steps, config.warm_start.colours.steps, config.warm_start.latent.steps = (2, 2), 0, 0
    trainer = started(config)
    model, asked = trainer.pipeline.model, {}
    model.anchor.sdf += 0.1  # as if the head had left the prior
    for confidence in (1.0, 0.0):
        model.anchor.confidence.fill_(confidence)
        before_step(trainer, 0)
        model.anchor.unseen = torch.arange(100)
        torch.manual_seed(0)
        bundle, _ = trainer.ray_pool.draw()
        asked[confidence] = model.training_pass(model.training_rays(bundle))
    assert asked[1.0].anchor > 0 and asked[0.0].anchor == 0
    assert len(asked[1.0].gradients) == 256 + 128
    assert torch.equal(asked[1.0].gradients, asked[0.0].gradients)


@pytest.mark.parametrize(
    ("photo_weight", "guessed", "factor"), [(0.3, False, 3.0), (0.0, False, 1.0), (0.3, True, 1.0)]
)
def test_given_masks_weigh_more_once_small_patches_are_compared(
    tiny_root, tmp_path, monkeypatch, photo_weight, guessed, factor
):
    outputs_of = H3dsDataParser._generate_dataparser_outputs

    def with_guesses(self, *given, **named):
        outputs = outputs_of(self, *given, **named)
        outputs.metadata["guessed_masks"] = guessed
        return outputs

    monkeypatch.setattr(H3dsDataParser, "_generate_dataparser_outputs", with_guesses)
    options = ["--pipeline.model.late-mask-factor", 3, "--pipeline.model.photos.weight", photo_weight]
    config = configured("baseh3d-fast", tiny_root, tmp_path, "--epochs", 2, *options)
    config.placing.steps, config.warm_start.colours.steps, config.warm_start.latent.steps = (2, 2), 0, 0
    trainer = started(config)
    before_step(trainer, 0)
    model, (bundle, batch) = trainer.pipeline.model, trainer.ray_pool.draw()
    outputs, losses = {"training_pass": model.training_pass(model.training_rays(bundle))}, {}
    small_from = config.pipeline.model.photos.small_from
    for model.progress in (small_from - 0.01, small_from):
        losses[model.progress] = model.get_loss_dict(outputs, batch)["mask"].item()
    large, small = losses.values()
    assert large > 0.0 and small == pytest.approx(factor * large)


def test_patches_lie_well_inside_the_masks_in_whatever_order_rays_come(tiny_root, tmp_path, monkeypatch):
    """They had been the first rays of a batch, which only the pool's own order made those inside."""
    config = configured("baseh3d-fast", tiny_root, tmp_path, "--epochs", 2, "--pipeline.model.photos.patches", 20)
    config.placing.steps, config.warm_start.colours.steps, config.warm_start.latent.steps = (2, 2), 0, 0
    trainer = started(config)
    before_step(trainer, 0)
    compared = []
    monkeypatch.setattr(Photos, "ncc_loss", lambda self, points, *_: compared.append(points))
    model, (bundle, _) = trainer.pipeline.model, trainer.ray_pool.draw()
    model.training_pass(model.training_rays(bundle[torch.arange(len(bundle) - 1, -1, -1)]))
    far = bundle.directions[bundle.metadata["far_from_edge"][:, 0]]
    origins = bundle.origins[bundle.metadata["far_from_edge"][:, 0]]
    off = (compared[0][:, None] - origins).cross(far.expand(20, -1, -1), dim=-1).norm(dim=-1)
    assert len(compared[0]) == 20 and off.amin(dim=1).max() < 0.02


def test_a_killed_run_resumes_to_the_same_last_step(tiny_root, tmp_path):
    options = ["--epochs", 12, "--steps-per-save", 5]
    models = tmp_path / "t" / "baseh3d-fast-prior" / "t" / "nerfstudio_models"
    process = begin("ns-train", *training("baseh3d-fast-prior", tiny_root, tmp_path, *options, views="all"))
    deadline = time.monotonic() + 300
    while not list(models.glob("step-*.ckpt")) and time.monotonic() < deadline and process.is_alive():
        time.sleep(0.01)
    process.kill()
    process.join()
    saved = sorted(models.glob("step-*.ckpt"))[-1]
    first_step = torch.load(saved, weights_only=True)["step"]
    assert first_step < 59
    train("baseh3d-fast-prior", tiny_root, tmp_path / "2", *options, "--load-dir", models, views="all")
    (last,) = (tmp_path / "2" / "t" / "baseh3d-fast-prior" / "t" / "nerfstudio_models").iterdir()
    assert last.name == "step-000000059.ckpt" and torch.load(last, weights_only=True)["step"] == 59
    again = train(
        "baseh3d-fast-prior", tiny_root, tmp_path / "3", *options, "--load-dir", last.parent, views="all", fails=True
    )
    assert "already reached its last step 59" in again and "Traceback" not in again


def test_a_kill_while_saving_leaves_the_last_good_checkpoint(fit_run, monkeypatch, tmp_path):
    """torch.save dies half way: the folder stock tools look into never holds the half file."""
    from types import SimpleNamespace

    good = checkpoint(fit_run).read_bytes()
    models = tmp_path / "nerfstudio_models"
    models.mkdir()
    (models / "step-000000011.ckpt").write_bytes(good)

    def dies(content, path):
        Path(path).write_bytes(good[:1000])
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", dies)
    trainer = SdfTrainer.__new__(SdfTrainer)
    trainer.config = SimpleNamespace(max_num_iterations=100, save_only_latest_checkpoint=True)
    trainer.base_dir, trainer.checkpoint_dir, trainer.local_rank = tmp_path, models, 0
    trainer.pipeline = torch.nn.Linear(1, 1)
    trainer.pipeline.schedule = Schedule()
    trainer.optimizers = SimpleNamespace(optimizers={}, schedulers={})
    trainer.grad_scaler = torch.amp.GradScaler("cpu", enabled=False)
    with pytest.raises(KeyboardInterrupt):
        trainer.save_checkpoint(20)
    assert [path.name for path in models.iterdir()] == ["step-000000011.ckpt"]
    assert (models / "step-000000011.ckpt").read_bytes() == good
