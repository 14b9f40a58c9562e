"""A shape space learns heads from open surfaces, mirrors them, is placed on photos, and starts fits."""

from __future__ import annotations

import shutil
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from nerfstudio.viewer.utils import parse_object
from nerfstudio.viewer.viewer_elements import ViewerControl, ViewerElement
from processes import COARSE, call, train
from test_surface_sources import egg
from tiny_root import CENTRE_MM, SEMI_AXES_MM, UNIT_RADIUS_MM
from torch import nn

from baseh3d_ns import methods
from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.data.h3ds_dataparser import H3dsDataParserConfig
from baseh3d_ns.data.ray_pool import RayPool
from baseh3d_ns.fields.head_field import HeadFieldConfig
from baseh3d_ns.fields.networks import ColourNetworkConfig, SdfNetworkConfig
from baseh3d_ns.frames import HEAD_FRAME, LANDMARKS_MM, SceneFrame
from baseh3d_ns.heads.latent_pca import LatentPca, mean_latent, principal_components
from baseh3d_ns.heads.networks import field_of_head
from baseh3d_ns.heads.readers import BUILTIN, BUILTIN_FILE, open_head
from baseh3d_ns.mesh.extract import extract_mesh
from baseh3d_ns.placing.config import PlacingConfig
from baseh3d_ns.placing.correspondences import FaceCorrespondences
from baseh3d_ns.placing.registration import register_prior
from baseh3d_ns.shape_space.datamanager import _splat, orbit_cameras
from baseh3d_ns.shape_space.surface_samples import HeadSamples
from baseh3d_ns.synthetic.head_samples import VERSION
from baseh3d_ns.warm_start.config import LatentFitConfig, WarmStartConfig
from baseh3d_ns.warm_start.frozen_hits import trace_frozen
from baseh3d_ns.warm_start.latent import fit_latent, newton_step

SPACE = [*COARSE, "--vis", "tensorboard", "--steps-per-eval-image", 100000, "--steps-per-eval-batch", 5]
TINY = HeadFieldConfig(
    sdf=SdfNetworkConfig(layers=3, width=48, skip_layer=0, octaves=2, features=8, latent=4),
    colour=ColourNetworkConfig(layers=1, width=16),
)


@pytest.fixture(scope="session")
def eggs(tmp_path_factory) -> Path:
    """Six open eggs, each leaning to its own side."""
    folder = tmp_path_factory.mktemp("eggs")
    for number, lean in enumerate(np.linspace(-1.0, 1.0, 6)):
        egg((75.0 + 8.0 * lean, 110.0, 90.0), (20.0 * lean, -10.0, 10.0)).export(folder / f"{number}.ply")
    return folder


@pytest.fixture(scope="session")
def pipeline(eggs):
    """A shape space of the eggs after 800 steps."""
    torch.manual_seed(0)
    config = deepcopy(methods.h3dnet_fast_prior.config.pipeline)
    config.datamanager.data, config.datamanager.samples_per_head = eggs, 1000
    config.datamanager.heads_per_step, config.datamanager.points_per_head = 6, 64
    config.model.sdf_field, config.model.symmetric_latents = TINY, 1
    pipeline = config.setup(device="cpu", test_mode="val", world_size=1, local_rank=0)
    groups = pipeline.get_param_groups()
    adam = torch.optim.Adam([{"params": groups["fields"], "lr": 5e-3}, {"params": groups["latents"], "lr": 5e-3}])
    for step in range(800):
        for group in adam.param_groups:
            group["lr"] = 5e-3 * 0.02 ** (step / 800)
        _, losses, _ = pipeline.get_train_loss_dict(step)
        adam.zero_grad()
        sum(losses.values()).backward()
        adam.step()
    return pipeline


def sdf_mm(model, points_mm, latent):
    points = HEAD_FRAME.to_unit(torch.tensor(np.asarray(points_mm)).float())
    return model.field.sdf_network(points, latent[None])[:, 0].detach() * HEAD_FRAME.radius_mm


def test_every_head_is_learned_from_its_open_surface(pipeline):
    model = pipeline.model
    for latent, lean in zip(model.latents.detach(), np.linspace(-1.0, 1.0, 6), strict=True):
        surface = egg((75.0 + 8.0 * lean, 110.0, 90.0), (20.0 * lean, -10.0, 10.0))
        assert sdf_mm(model, surface.vertices, latent).abs().mean() < 2.5
        inside, outside = sdf_mm(model, [[20.0 * lean, -10.0, 10.0], [20.0 * lean, 160.0, 10.0]], latent)
        assert inside < -40.0 and outside > 25.0


def test_what_changes_sign_mirrors_the_head(pipeline):
    model, code = pipeline.model, pipeline.model.latents[5].detach()
    surface = egg((83.0, 110.0, 90.0), (20.0, -10.0, 10.0)).vertices * [-1.0, 1.0, 1.0]
    mirrored = code * torch.tensor([1.0, -1.0, -1.0, -1.0])
    assert sdf_mm(model, surface, mirrored).abs().mean() < 2.5
    assert sdf_mm(model, surface, code).abs().mean() > 8.0


def test_a_weight_of_0_leaves_its_loss_out(pipeline):
    batch, _ = pipeline.datamanager.next_train(0)
    batch = replace(batch, colours=torch.rand_like(batch.points))
    model, names = pipeline.model, {"surface", "normal", "eikonal", "latent", "colour"}
    assert set(model.get_loss_dict(model.get_outputs(batch), batch)) == names
    for name in names:
        before = getattr(model.config, f"{name}_weight")
        setattr(model.config, f"{name}_weight", 0.0)
        assert set(model.get_loss_dict(model.get_outputs(batch), batch)) == names - {name}
        setattr(model.config, f"{name}_weight", before)


def test_no_latent_is_a_symmetric_mean_head(pipeline):
    here = torch.tensor([[60.0, 20.0, 30.0], [90.0, -30.0, 0.0], [30.0, 0.0, 100.0]])
    there = here * torch.tensor([-1.0, 1.0, 1.0])
    nobody = mean_latent(pipeline.model.latents.detach(), 1)
    np.testing.assert_allclose(sdf_mm(pipeline.model, here, nobody), sdf_mm(pipeline.model, there, nobody), atol=6.0)
    assert sdf_mm(pipeline.model, egg().vertices, nobody).abs().mean() < 6.0


def test_the_sliders_show_other_heads(pipeline):
    found = parse_object(pipeline, ViewerElement, "Custom Elements")
    assert parse_object(pipeline, ViewerControl, "Custom Elements")  # the first look
    assert {element.name for _, element in found} >= {f"Component {number}" for number in (1, 2, 3, 4)}
    model = pipeline.model.eval()
    camera = pipeline.datamanager.train_dataset.cameras[0:1]
    pictures = []
    for value in (0.0, 2.0, 0.0):
        model.sliders[0].value = value
        model.show_sliders()
        pictures.append(model.get_outputs_for_camera(camera)["accumulation"])
    model.train()
    assert pictures[0].mean() > 0.05 and torch.equal(pictures[0], pictures[2])
    assert (pictures[0] != pictures[1]).float().mean() > 0.01


def test_main_directions_are_those_that_vary_most():
    codes = torch.zeros(40, 3)
    codes[:, 1], codes[:, 2] = 2.0 * torch.randn(40).sign(), 0.5 * torch.randn(40).sign()
    codes[:, 0] = 3.0
    directions = principal_components(codes, torch.tensor([3.0, 0.0, 0.0]), 2)
    assert directions.shape == (2, 3)
    torch.testing.assert_close(directions.norm(dim=1), torch.tensor([2.0, 0.5]), rtol=0.2, atol=0.0)


def test_the_viewers_pictures_are_the_heads(pipeline):
    dataset = pipeline.datamanager.train_dataset
    assert len(dataset) == 5
    front = dataset[0]["image"]
    assert front.shape == (192, 192, 3) and 0.03 < (front < 1.0).float().mean() < 0.6


def test_the_nearest_point_is_on_top():
    points = np.array([[0.0, 0.0, 0.5], [-0.012, 0.0, -0.5]], dtype=np.float32)
    ahead = np.tile(np.float32([0.0, 0.0, 1.0]), (2, 1))
    head = HeadSamples(points, ahead, np.array([[255, 0, 0], [0, 0, 255]], dtype=np.uint8))
    picture = _splat(head, orbit_cameras(0.0).camera_to_worlds[0].numpy())
    red, blue = ((picture == colour).all(axis=-1).sum() for colour in head.colours)
    assert (red, blue) == (9, 3)


class EggSpace(nn.Module):
    """Stands for an SDF network: the egg of `tiny_root` where the latent's first number is `width`."""

    def __init__(self, width: float) -> None:
        super().__init__()
        self.width = width

    def forward(self, points, latent):
        axes = torch.tensor(SEMI_AXES_MM / UNIT_RADIUS_MM).float().repeat(len(latent), 1)
        axes = axes * torch.cat([torch.exp(0.2 * (latent[:, :1] - self.width)), torch.ones(len(latent), 2)], dim=1)
        x = points / axes
        length = x.norm(dim=-1).clamp(min=1e-6)
        value = length * (length - 1.0) / (x / axes).norm(dim=-1).clamp(min=1e-6)
        return torch.cat([value[:, None], torch.zeros(len(points), 8)], dim=1)


@pytest.mark.parametrize("width", [-0.8, 0.8])
def test_latent_and_placement_are_fitted_together(tiny_root: Path, width: float):
    """The prior's mean head is too narrow or too wide for the masks: no placement makes up for it, the latent does."""
    torch.manual_seed(0)
    parser = H3dsDataParserConfig(data=tiny_root, scene="scan0", views=("all",)).setup()
    dataset = HeadDataset(parser.get_dataparser_outputs("train"))
    field = TINY.setup()
    field.sdf_network = EggSpace(width)
    latents = torch.randn(60, 4) * torch.tensor([1.0, 0.05, 0.05, 0.05])
    frame = SceneFrame(centre_mm=tuple(CENTRE_MM.tolist()), radius_mm=UNIT_RADIUS_MM)
    pool = RayPool(dataset, "cpu", 64, one_view=True)
    result = register_prior(field, frame, dataset, pool, PlacingConfig(), latents)
    assert result.iou_after > 0.95 and result.iou_after >= result.iou_before
    assert float(field.latent[0]) * np.sign(width) > 0.3


def egg_and_photos(tiny_root: Path, width: float, views: str = "3"):
    """A field that decodes eggs, and the rays of three photos of one."""
    torch.manual_seed(0)
    parser = H3dsDataParserConfig(data=tiny_root, scene="scan0", views=(views,)).setup()
    pool = RayPool(HeadDataset(parser.get_dataparser_outputs("train")), "cpu", 256, one_view=False)
    field = TINY.setup()
    field.sdf_network = EggSpace(width)
    return field, pool


def fit(field, latents, pool, face=None):
    """The latent fitted in 120 steps."""
    config = LatentFitConfig(steps=120)
    fit_latent(field, torch.zeros(4), latents, pool, config, PlacingConfig(), face, WarmStartConfig().grid_cells)


@pytest.mark.parametrize("width", [-0.8, 0.8])
def test_the_photos_change_the_latent(tiny_root: Path, width: float):
    field, pool = egg_and_photos(tiny_root, width)
    colours = field.colour_network.lin0.bias.detach().clone()
    latents = torch.randn(60, 4) * torch.tensor([1.0, 0.05, 0.05, 0.05])
    fit(field, latents, pool)
    assert float(field.latent.detach()[0]) == pytest.approx(width, abs=0.25)
    # Coloured by its normals, an egg of 48 pixels may turn a little about y.
    assert field.placement.similarity.abs().max() < 0.06 and not field.placement.similarity.requires_grad
    assert not torch.equal(field.colour_network.lin0.bias, colours)


def test_the_photos_say_how_the_head_is_turned(tiny_root: Path):
    """Placed ten degrees askew, an egg comes to stand as the masks show: it is not held where it was placed."""
    field, pool = egg_and_photos(tiny_root, 0.0)
    with torch.no_grad():
        field.placement.similarity[3] = 0.17
    fit(field, torch.randn(60, 4) * 0.05, pool)
    assert field.placement.similarity[3].abs() < 0.09


def test_rays_through_landmarks_hold_the_pose_while_the_latent_is_fitted(tiny_root: Path):
    """The silhouette of an egg does not say how it is turned about its axis; landmarks on its surface do."""
    field, pool = egg_and_photos(tiny_root, 0.0, views="1")
    origin, points = pool.rays.origins[:1], torch.nn.functional.normalize(torch.randn(40, 3), dim=1) * 0.5
    directions = torch.nn.functional.normalize(points - origin, dim=1)
    none = torch.zeros(40)
    face = FaceCorrespondences(origin.expand(40, 3), directions, points, none + 0.005, views=1)
    with torch.no_grad():
        field.placement.similarity[2] = 0.1
    fit(field, torch.randn(60, 4) * 0.05, pool, face)
    assert float(face.ray_loss(field.placement)) < 0.3
    assert field.placement.similarity[2].abs() < 0.02


def test_one_photo_does_not_change_the_size(tiny_root: Path):
    """An egg that is a tenth too large moves away instead: a single photo says nothing of size and distance."""
    field, pool = egg_and_photos(tiny_root, 0.0, "1")
    with torch.no_grad():
        field.placement.similarity[0] = -0.1
    fit(field, torch.randn(60, 4) * 0.05, pool)
    assert field.placement.similarity[0] == pytest.approx(-0.1, abs=0.02)


def test_directions_in_which_no_head_differs_are_left_out():
    same = torch.zeros(5, 4)
    same[:, 0], same[:, 1] = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0]), 3.0
    pca = LatentPca.fit(same, torch.tensor([0.0, 3.0, 0.0, 0.0]), 3)
    assert pca.components.shape == (1, 4) and torch.equal(pca.decode(pca.encode(same)), same)
    assert LatentPca.fit(same[:1], same[0], 3).encode(same).shape == (5, 0)


def test_a_surface_that_moves_is_met_where_it_is_now(tiny_root: Path):
    field, pool = egg_and_photos(tiny_root, 0.0)
    rays = trace_frozen(field, pool, 4, WarmStartConfig().grid_cells)
    rays = rays[rays.hit & (rays.cos_incidence > 0.4)]
    assert len(rays) > 100 and field.sdf(rays.points).abs().max() < 2e-3
    field.latent.data[0] = 0.2
    before = field.sdf(rays.points)
    after = field.sdf(newton_step(rays, before, LatentFitConfig().max_move))
    assert before.abs().mean() > 5e-3 and after.abs().mean() < 0.15 * before.abs().mean()


@pytest.fixture(scope="session")
def space_run(eggs, tmp_path_factory) -> Path:
    return train_space(eggs, tmp_path_factory.mktemp("space"))


def train_space(eggs: Path, out: Path, *more: object, steps: int = 6) -> Path:
    """`ns-train h3dnet-fast-prior` on the folder of eggs."""
    names = ["--output-dir", out, "--experiment-name", "t", "--timestamp", "t", "--data", eggs]
    options = ["--machine.device-type", "cpu", "--pipeline.datamanager.samples-per-head", 200]
    # Learns so little that there is still a surface for rays to meet.
    options += ["--optimizers.fields.optimizer.lr", 1e-5, "--max-num-iterations", steps, *more]
    call("ns-train", "h3dnet-fast-prior", *SPACE, *names, *options)
    return out / "t" / "h3dnet-fast-prior" / "t"


def test_the_same_seed_learns_the_same_space(space_run, eggs, tmp_path):
    again = train_space(eggs, tmp_path)
    ours, theirs = open_head(space_run), open_head(again)
    assert torch.equal(ours.latents, theirs.latents)
    assert all(torch.equal(weight, theirs.weights[name]) for name, weight in ours.weights.items())


def test_a_shape_space_is_written_and_described(space_run):
    prior = open_head(space_run)
    assert prior.latents.shape == (6, 64) and prior.frame == HEAD_FRAME
    assert prior.provenance["heads"] == 6 and prior.provenance["steps"] == 6
    shown = call("baseh3d", "prior", space_run)
    assert "6 heads" in shown and "64" in shown and "4 x 128" in shown


def test_a_shape_space_goes_on_where_it_stopped(space_run, eggs, tmp_path):
    models = tmp_path / "t" / "h3dnet-fast-prior" / "t" / "nerfstudio_models"
    shutil.copytree(space_run, models.parent)
    state = torch.load(next(models.iterdir()), weights_only=True)
    assert state["pipeline"]["_model.latents"].shape == (6, 64)
    folder = train_space(eggs, tmp_path, "--load-dir", models, steps=8)
    assert [path.name for path in models.iterdir()] == ["step-000000007.ckpt"]
    assert (folder / "prior-000008.safetensors").is_file()


def test_h3dnet_says_its_stages_and_frees_the_decoder_in_the_second(space_run, tiny_root, tmp_path):
    options = ["--load-prior", space_run, "--epochs", 4, "--pipeline.model.decoder-frozen", 0.5]
    text = train("h3dnet-fast", tiny_root, tmp_path, *options, "--max-num-iterations", 6)
    assert "stage 1 from step 0" in text and "stage 2 from step 3" in text
    folder = tmp_path / "t" / "h3dnet-fast" / "t"
    out = tmp_path / "head.ply"
    call("baseh3d", "export", "--load-config", folder / "config.yml", "--output", out, "--spacing-mm", 6.0)
    assert out.is_file()


def plain(weights):
    """Weight norm undone: its lengths and directions may differ where the weights are the same."""
    norms = {name[:-2] for name in weights if name.endswith("_g")}
    found = {name: tensor for name, tensor in weights.items() if name[:-2] not in norms}
    for name in norms:
        length, direction = weights[name + "_g"], weights[name + "_v"]
        found[name] = length * direction / direction.norm(dim=1, keepdim=True)
    return found


def test_stage_one_leaves_the_decoder_alone(space_run, tiny_root, tmp_path):
    options = ["--load-prior", space_run, "--epochs", 2, "--pipeline.model.decoder-frozen", 1.0, "--register", False]
    train("h3dnet-fast", tiny_root, tmp_path, *options)
    before, after = open_head(space_run).weights, open_head(tmp_path / "t" / "h3dnet-fast" / "t").weights
    moved = {
        name for name, tensor in plain(before).items() if not torch.allclose(tensor, plain(after)[name], atol=1e-6)
    }
    assert {"latent", "colour.lin0.weight"} <= moved and not any(name.startswith("sdf.") for name in moved)


def test_a_shape_space_starts_baseh3d_fast_with_its_latent_folded_in(space_run, tiny_root, tmp_path):
    text = train("baseh3d-fast", tiny_root, tmp_path, "--load-prior", space_run, "--epochs", 2)
    assert "latent folded in" in text and "Fitted the latent" in text
    state = torch.load(next((tmp_path / "t" / "baseh3d-fast" / "t" / "nerfstudio_models").iterdir()), weights_only=True)
    assert "_model.field.latent" not in state["pipeline"]


def test_h3dnet_refuses_the_prior_of_one_head(prior_run, tiny_root, tmp_path):
    text = train("h3dnet-fast", tiny_root, tmp_path, "--load-prior", prior_run.folder, fails=True)
    assert "prior of one head" in text and "Traceback" not in text


def test_no_meshes_is_said_before_anything_is_written(tmp_path):
    (tmp_path / "empty").mkdir()
    text = call(
        "ns-train", "h3dnet-fast-prior", "--output-dir", tmp_path / "o", "--data", tmp_path / "empty", fails=True
    )
    assert "holds no .ply" in text and "Traceback" not in text and not list(tmp_path.rglob("config.yml"))


def test_checkpoint_of_a_space_is_safe_to_load(space_run):
    state = torch.load(next((space_run / "nerfstudio_models").iterdir()), weights_only=True)
    assert state["step"] == 5


def test_a_checkpoint_of_a_space_is_a_prior_with_its_mean_head(space_run):
    """Whatever the sliders showed when it was saved, from several GPUs, and from 0.1.x, too."""
    whole, kept = (
        open_head(space_run),
        torch.load(next((space_run / "nerfstudio_models").iterdir()), weights_only=True),
    )
    renamed = {name.replace("_model.", "_model.module.", 1): tensor for name, tensor in kept["pipeline"].items()}
    names = {"_model.latents": "_model.codes", "_model.symmetric_latents": "_model.shared_latents"}
    of_0_1 = {names.get(name, name): tensor for name, tensor in kept["pipeline"].items()}
    for number, pipeline in enumerate((kept["pipeline"], renamed, of_0_1)):
        path = space_run / f"copy-{number}.ckpt"
        torch.save({**kept, "pipeline": pipeline}, path)
        prior = open_head(path)
        assert torch.equal(prior.latents, whole.latents) and torch.equal(
            prior.weights["latent"], whole.weights["latent"]
        )
        assert (prior.weights["latent"][48:] == 0.0).all() and (prior.weights["latent"][:48] != 0.0).any()
        path.unlink()


def test_going_on_with_other_heads_is_refused(space_run, eggs, tmp_path):
    (tmp_path / "fewer").mkdir()
    for name in ("0.ply", "1.ply"):
        (tmp_path / "fewer" / name).write_bytes((eggs / name).read_bytes())
    options = [
        "--output-dir",
        tmp_path / "o",
        "--data",
        tmp_path / "fewer",
        "--load-dir",
        space_run / "nerfstudio_models",
    ]
    text = call("ns-train", "h3dnet-fast-prior", *options, fails=True)
    assert "has learned 6 heads" in text and "Traceback" not in text and not list(tmp_path.rglob("config.yml"))


# ---- the shape space that comes with the plugin ----------------------------------------------------------------------


def test_the_builtin_space_is_small_synthetic_and_says_so():
    assert BUILTIN_FILE.stat().st_size < 12e6
    prior = open_head(BUILTIN)
    assert prior.frame == HEAD_FRAME and len(prior.latents) >= 500
    # Of the generator as it is: the script makes the same again.
    assert prior.provenance["data"] == f"anny-{VERSION}, seed 100" and prior.provenance["heads"] == len(prior.latents)
    assert str(len(prior.latents)) in call("baseh3d", "prior", "builtin")


def test_the_builtin_mean_head_is_a_head():
    """One closed surface of a head's size, nearly symmetric, with a nose where the landmarks say."""
    field = field_of_head(open_head(BUILTIN), BUILTIN)
    # Busts end at different depths: the rim of the mean bust is a fringe that 4 mm would tear off.
    mesh = extract_mesh(field.sdf, HEAD_FRAME, spacing_mm=3.0, device="cpu", progress=False, keep_all=True)
    pieces = mesh.split(only_watertight=False)
    assert max(len(piece.faces) for piece in pieces) > 0.99 * len(mesh.faces)
    width, height, depth = mesh.extents
    assert 180 < width < 330 and 280 < height < 420 and 180 < depth < 320
    nose, side = np.array(LANDMARKS_MM["nose_tip"]), np.array([[85.0, 0.0, 0.0], [-85.0, 0.0, 0.0]])
    tip = mesh.vertices[np.abs(mesh.vertices[:, 0]) < 15.0]
    tip = tip[(tip[:, 1] > -80.0) & (tip[:, 1] < 10.0)]
    assert np.abs(tip[tip[:, 2].argmax()] - nose).max() < 12.0
    left, right = (float(field.sdf(HEAD_FRAME.to_unit(torch.tensor(at[None]).float()))) for at in side)
    assert abs(left - right) * HEAD_FRAME.radius_mm < 3.0


@pytest.mark.parametrize("name", ["h3dnet-prior", "h3dnet-fast-prior"])
def test_no_look_at_photos_that_a_shape_space_does_not_have(name):
    """nerfstudio looks at all eval images every 25000 steps by default: that ended the training of h3dnet-prior."""
    from nerfstudio.configs.method_configs import all_methods

    config = all_methods[name]
    assert config.steps_per_eval_all_images > config.max_num_iterations
