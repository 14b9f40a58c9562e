"""Photos and worlds may lie any way: which way up a photo is, and how the head stands in the world."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.data.h3ds_dataparser import H3dsDataParserConfig
from baseh3d_ns.data.ray_pool import RayPool
from baseh3d_ns.evaluation.score_run import score_run
from baseh3d_ns.fields.placement import Placement
from baseh3d_ns.heads.head_file import HEAD_FILE, save_head
from baseh3d_ns.heads.networks import field_of_head
from baseh3d_ns.heads.readers import BUILTIN, open_head
from baseh3d_ns.placing.config import FaceMatchConfig, PlacingConfig
from baseh3d_ns.placing.correspondences import match_boxes
from baseh3d_ns.placing.orientation import rotation_to_upright, up_from_horizons
from baseh3d_ns.placing.photos import small_photo, turns_to_upright, upright_photos
from baseh3d_ns.placing.registration import register_prior
from baseh3d_ns.rendering.sdf_grid import GridTracer

FACES = FaceMatchConfig()
Z_UP = Rotation.from_euler("x", 90, degrees=True)


def rotation_of(dataset: HeadDataset) -> Rotation:
    """Rotation that the photos say."""
    found = rotation_to_upright(upright_photos(dataset, FACES), PlacingConfig())
    assert found is not None
    return Rotation.from_rotvec(found.numpy())


def turned_copy(root: Path, to: Path, turns: dict[int, int], world: Rotation) -> HeadDataset:
    """The photos, masks and cameras of some views turned counter-clockwise by quarter turns, in another world."""
    shutil.copytree(root, to)
    scene = next(to.glob("*/cameras.npz")).parent
    cameras = dict(np.load(scene / "cameras.npz"))
    back = np.eye(4)
    back[:3, :3] = world.inv().as_matrix()
    for name in [name for name in cameras if name.startswith("world_mat_") and "inv" not in name]:
        cameras[name] = cameras[name] @ back
        cameras[name.replace("world", "scale")][:3, 3] = world.apply(cameras[name.replace("world", "scale")][:3, 3])
    for view, times in turns.items():
        for _ in range(times):
            for path in (*scene.glob(f"image/img_{view:04}.*"), *scene.glob(f"mask/mask_{view:04}.*")):
                picture = Image.open(path)
                picture.transpose(Image.Transpose.ROTATE_90).save(path, quality=98)
            # (x, y) -> (y, width - 1 - x)
            move = np.array([[0, 1, 0, 0], [-1, 0, picture.width - 1, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
            cameras[f"world_mat_{view}"] = move @ cameras[f"world_mat_{view}"]
    np.savez(scene / "cameras.npz", **cameras)
    parser = H3dsDataParserConfig(data=to, scene="scan0", views=("all",)).setup()
    return HeadDataset(parser.get_dataparser_outputs("train"))


TURNED = [
    ({1: 1}, Rotation.identity()),
    ({1: 2}, Rotation.identity()),
    ({0: 3, 2: 1}, Rotation.identity()),
    (dict.fromkeys(range(5), 1), Rotation.identity()),
    (dict.fromkeys(range(5), 2), Z_UP),
    ({0: 1, 1: 2, 2: 3}, Z_UP),
]


@pytest.mark.parametrize(("turns", "world"), TURNED)
def test_turned_photos_are_turned_back_and_say_how_the_head_stands(person_root, person, tmp_path, turns, world):
    dataset = turned_copy(person_root, tmp_path / "heads", turns, world)
    small = [small_photo(dataset, view, FACES.render_size) for view in range(5)]
    assert turns_to_upright(small, FACES) == [-turns.get(view, 0) % 4 for view in range(5)]
    for photo, upright in zip(upright_photos(dataset, FACES), upright_photos(person, FACES), strict=True):
        assert np.abs(photo.picture.astype(int) - upright.picture).mean() < 2.0
        away = torch.from_numpy(world.as_matrix()).float()
        torch.testing.assert_close(photo.directions, upright.directions @ away.T, rtol=0, atol=2e-3)
        torch.testing.assert_close(photo.pose, away @ upright.pose, rtol=0, atol=1e-3)
    assert np.degrees((rotation_of(dataset) * world).magnitude()) < 5.0


def test_faces_of_turned_photos_meet_the_prior_where_those_of_upright_ones_do(person_root, person, tmp_path):
    """The render is turned as the photo is: one detector looks at both."""
    turned = turned_copy(person_root, tmp_path / "heads", dict.fromkeys(range(5), 1), Rotation.identity())
    prior, grid, small = field_of_head(open_head(BUILTIN), BUILTIN), GridTracer(16), FaceMatchConfig(render_size=112)
    grid.refresh(prior.sdf, torch.device("cpu"))
    upright, lying = (
        match_boxes(prior, grid, Placement(), upright_photos(dataset, small)[1:3], small)
        for dataset in (person, turned)
    )
    assert upright is not None and lying is not None and lying.views == upright.views
    assert (lying.points - upright.points).norm(dim=-1).max() < 0.05


@pytest.mark.parametrize("turn_deg", [(0, 0, 0), (0, 15, 0), (-90, 0, 0), (0, 180, 0), (40, -100, 30)])
def test_photos_say_how_a_head_stands_in_a_world_of_any_axes(person: HeadDataset, monkeypatch, turn_deg):
    turn = Rotation.from_rotvec(turn_deg, degrees=True)
    poses = torch.from_numpy(turn.as_matrix()).float() @ person.cameras.camera_to_worlds
    monkeypatch.setattr(person.cameras, "camera_to_worlds", poses)
    found = rotation_of(person)
    if turn.magnitude() < 0.5:
        assert found.magnitude() == 0.0  # near enough: the frame is right
    else:
        assert np.degrees((found * turn).magnitude()) < 20.0


@pytest.mark.parametrize("turn_deg", [(8, 0, 0), (0, 0, -12), (8, 10, 8)])
def test_photos_from_several_sides_say_what_is_up(person: HeadDataset, monkeypatch, turn_deg):
    """To a few degrees, also where a face says nothing about a turn that small."""
    turn = Rotation.from_rotvec(turn_deg, degrees=True)
    monkeypatch.setattr(
        person.cameras,
        "camera_to_worlds",
        torch.from_numpy(turn.as_matrix()).float() @ person.cameras.camera_to_worlds,
    )
    found = rotation_of(person)
    up = (found * turn).apply([0.0, 1.0, 0.0])
    assert found.magnitude() > 0.1 and np.degrees(np.arccos(up[1])) < 3.0
    assert found.as_rotvec()[1] == pytest.approx(0.0, abs=1e-6)  # up says nothing about where a face looks
    # One side says it less well, so that the frame is believed.
    poses = person.cameras.camera_to_worlds.clone()
    assert up_from_horizons(poses[:1]) is None
    poses[0, :, :2] = torch.stack([poses[0, :, 1], -poses[0, :, 0]], dim=1)  # a phone on its side
    assert up_from_horizons(poses) is None


def test_a_head_whose_up_is_not_found_is_said_to_be_doubtful(tiny_root: Path):
    """An egg shows no face: the log and the head file say that +y was taken for up."""
    parser = H3dsDataParserConfig(data=tiny_root, scene="scan0").setup()
    dataset = HeadDataset(parser.get_dataparser_outputs("train"))
    quick = PlacingConfig(steps=(1, 1, 1), rays=64, grid_cells=12, faces=FaceMatchConfig(render_size=32))
    assert rotation_to_upright(upright_photos(dataset, quick.faces), quick) is None
    space = open_head(BUILTIN)
    pool = RayPool(dataset, "cpu", 64, one_view=False)
    placed = register_prior(field_of_head(space, BUILTIN), space.frame, dataset, pool, quick, space.latents)
    assert "up was not found" in placed.warnings[0] and placed.warnings[0] in placed.summary(3)


def test_doubts_about_a_placement_reach_the_evaluation(fit_run, tmp_path: Path):
    head = open_head(fit_run.config)
    assert head.provenance["warnings"] == []
    doubtful = replace(head, provenance={**head.provenance, "warnings": ["The head's up was not found."]})
    save_head(tmp_path / HEAD_FILE, doubtful)
    scored = score_run(tmp_path / HEAD_FILE, None, None, None, spacing_mm=4.0)
    assert "The head's up was not found." in json.loads((scored.folder / "evaluation.json").read_text())["warnings"]
