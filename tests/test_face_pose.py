"""Photos and worlds may lie any way: landmarks of the face say how the head stands in the world."""

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
from baseh3d_ns.errors import InputError
from baseh3d_ns.evaluation.score_run import score_run
from baseh3d_ns.fields.placement import Placement
from baseh3d_ns.frames import HEAD_FRAME, SceneFrame
from baseh3d_ns.heads.head_file import HEAD_FILE, save_head
from baseh3d_ns.heads.networks import field_of_head
from baseh3d_ns.heads.opened import OpenedHead
from baseh3d_ns.heads.readers import BUILTIN, open_head
from baseh3d_ns.placing import photo_faces, registration
from baseh3d_ns.placing.config import LandmarkConfig, PlacingConfig
from baseh3d_ns.placing.correspondences import correspondences
from baseh3d_ns.placing.face_pose import FacePose, find_face_pose
from baseh3d_ns.placing.photo_faces import PhotoFaces, find_photo_faces
from baseh3d_ns.placing.prior_face import face_of_head, face_of_space
from baseh3d_ns.placing.registration import Registration, register_prior
from baseh3d_ns.pretrained.landmark_model import FACE_CENTRE_MM, LandmarkModel, load_landmark_model
from baseh3d_ns.rendering.sdf_grid import GridTracer
from baseh3d_ns.similarity import Similarity

CONFIG = LandmarkConfig()
Z_UP = Rotation.from_euler("x", 90, degrees=True)
QUICK = PlacingConfig(steps=(1, 1), rays=64, grid_cells=12)


def angle_deg(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.degrees(Rotation.from_matrix(one @ other.T).magnitude()))


def made_up_faces(
    to_head: Similarity,
    yaws_deg: tuple[float, ...],
    shape: np.ndarray,
    stranger: int = -1,
    model: LandmarkModel | None = None,
) -> PhotoFaces:
    """Landmarks of one head as cameras half a metre away see them; another person's face in one of the photos."""
    model, back = model or load_landmark_model(), to_head.inverse()
    origins, directions = [], []
    for number, yaw in enumerate(np.radians(yaws_deg)):
        centre_mm = np.array([500.0 * np.sin(yaw), 40.0 * number, 90.0 + 500.0 * np.cos(yaw)])
        seen_mm = model.seen(model.head(shape), centre_mm, np.zeros(len(model.errors_mm)))
        seen_mm = seen_mm + (np.array([180.0, 60.0, 0.0]) if number == stranger else 0.0)
        away = (seen_mm - centre_mm) @ back.rotation.T
        origins.append(back.points(centre_mm))
        directions.append(away / np.linalg.norm(away, axis=1, keepdims=True))
    return PhotoFaces(tuple(range(len(origins))), np.array(origins), np.array(directions))


TO_HEAD = Similarity(
    240.0, Rotation.from_rotvec([100.0, -70.0, 40.0], degrees=True).as_matrix(), np.array([9.0, -20, 15])
)
BALL = SceneFrame(HEAD_FRAME.centre_mm, TO_HEAD.scale)


@pytest.mark.parametrize(("yaws_deg", "stranger"), [((0, 40, -35), -1), ((20,), -1), ((0, 30, -30, 15), 3)])
def test_landmarks_say_where_a_head_is_in_a_world_of_any_axes(yaws_deg, stranger):
    model = load_landmark_model()
    shape = np.random.default_rng(2).normal(0.0, 0.7, len(model.shapes_mm))
    faces = made_up_faces(TO_HEAD, yaws_deg, shape, stranger)
    pose = find_face_pose(faces, model, BALL, CONFIG)
    assert pose is not None
    assert pose.faces.views == tuple(view for view in range(len(yaws_deg)) if view != stranger)
    assert angle_deg(pose.to_head.rotation, TO_HEAD.rotation) < 3.0
    nose = TO_HEAD.inverse().points(model.head(shape)[1:2])
    off_mm = pose.to_head.points(nose) - TO_HEAD.points(nose)
    # By one photo alone the size of a face, and so its distance, is not known.
    assert np.linalg.norm(off_mm) < (6.0 if len(yaws_deg) > 1 else 20.0)
    assert find_face_pose(faces.of(np.zeros(len(yaws_deg), dtype=bool)), model, BALL, CONFIG) is None


def test_one_photo_does_not_take_a_small_face_for_one_that_is_far_away():
    """A face a tenth smaller than the average in one photo: without the ball it would stand far behind."""
    model = load_landmark_model()
    small = replace(model, mean_mm=FACE_CENTRE_MM + 0.9 * (model.mean_mm - FACE_CENTRE_MM))
    upright = Similarity(240.0, np.eye(3), np.array(HEAD_FRAME.centre_mm))
    faces = made_up_faces(upright, (0,), np.zeros(len(model.shapes_mm)), model=small)
    behind_mm = []
    for centre_sd_mm in (1e4, CONFIG.centre_sd_mm):
        pose = find_face_pose(faces, model, BALL, replace(CONFIG, centre_sd_mm=centre_sd_mm))
        assert pose is not None
        behind_mm.append(abs(pose.to_head.offset[2] - upright.offset[2]))
    assert behind_mm[0] > 50.0 and behind_mm[1] < 35.0


@pytest.mark.parametrize("ears_known", [False, True])
def test_a_ball_is_expected_where_the_ears_say(tiny_root, monkeypatch, ears_known):
    """A ball whose middle is far from the average's, as hair or a cut moves it."""
    parser = H3dsDataParserConfig(data=tiny_root, scene="scan0", views=("1",)).setup()
    dataset = HeadDataset(parser.get_dataparser_outputs("train"))
    frame = dataset.metadata["frame"]
    dataset.metadata["ears"] = np.array([0.0, 0.5, 0.3]) if ears_known else None
    asked = []
    monkeypatch.setattr(registration, "find_face_pose", lambda faces, model, ball, settings: asked.append(ball))
    monkeypatch.setattr(registration, "find_photo_faces", lambda *_: made_up_faces(TO_HEAD, (0,), np.zeros(30)))
    prior = open_head(BUILTIN)
    field = field_of_head(prior, Path(BUILTIN))
    pool = RayPool(dataset, "cpu", 64, one_view=True)
    placed = register_prior(field, prior.frame, dataset, pool, QUICK, prior.latents)
    assert placed.faces == 0 and placed.stands_known == ears_known
    expected = -frame.radius_mm * dataset.metadata["ears"] if ears_known else HEAD_FRAME.centre_mm
    np.testing.assert_allclose(asked[0].centre_mm, expected)
    assert asked[0].radius_mm == frame.radius_mm


def test_detectors_that_err_do_not_make_heads_small():
    """Errors in millimetres of a head that may shrink would be least for no head at all."""
    model = load_landmark_model()
    exact = made_up_faces(TO_HEAD, (0, 40, -35), np.zeros(len(model.shapes_mm)))
    noisy = exact.directions + np.random.default_rng(4).normal(0.0, 0.006, exact.directions.shape)
    faces = replace(exact, directions=noisy / np.linalg.norm(noisy, axis=2, keepdims=True))
    pose = find_face_pose(faces, model, BALL, replace(CONFIG, size_sd=0.1))
    assert pose is not None and abs(pose.to_head.scale / TO_HEAD.scale - 1.0) < 0.04


def test_rays_pull_the_prior_to_the_pose():
    shape = np.zeros(len(load_landmark_model().shapes_mm))
    faces, space = made_up_faces(TO_HEAD, (0, 40, -35), shape), face_of_space()
    pairs = correspondences(FacePose(TO_HEAD, space.model.mean_mm, faces), space, torch.device("cpu"))
    placed, off = Placement(), Placement()
    to_prior = space.to_head.inverse().after(TO_HEAD)
    turn = Rotation.from_matrix(to_prior.rotation).as_rotvec()
    with torch.no_grad():
        placed.similarity.copy_(torch.tensor([np.log(to_prior.scale), *turn, *to_prior.offset]))
        off.similarity.copy_(placed.similarity + torch.tensor([0.0, 0, 0, 0, 0.05, 0, 0]))
    assert float(pairs.ray_loss(placed)) < 1e-4 < 0.1 < float(pairs.ray_loss(off))


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


def pose_of(dataset: HeadDataset) -> FacePose:
    """Pose of the face that the photos show."""
    faces = find_photo_faces(dataset, CONFIG.longest_px, CONFIG.most_faces)
    ball = SceneFrame(HEAD_FRAME.centre_mm, dataset.metadata["frame"].radius_mm)
    pose = find_face_pose(faces, load_landmark_model(), ball, CONFIG)
    assert pose is not None
    return pose


TURNED = [({0: 3, 2: 1}, Rotation.identity()), (dict.fromkeys(range(5), 2), Z_UP), ({0: 1, 1: 2, 2: 3}, Z_UP)]


@pytest.mark.parametrize(("turns", "world"), TURNED)
def test_turned_photos_and_worlds_show_the_same_head(person_root, person, tmp_path, turns, world):
    upright, turned = pose_of(person), pose_of(turned_copy(person_root, tmp_path / "heads", turns, world))
    assert turned.faces.views == upright.faces.views and len(upright.faces.views) >= 2
    # Synthetic heads stand upright and look along +z.
    assert angle_deg(upright.to_head.rotation, np.eye(3)) < 8.0
    assert angle_deg(turned.to_head.rotation @ world.as_matrix(), upright.to_head.rotation) < 2.0
    assert np.linalg.norm(turned.to_head.offset - upright.to_head.offset) < 4.0


def test_a_prior_is_placed_from_where_the_faces_say(person_root, tmp_path):
    """In a world with +z up and photos on their sides, it starts upright: descent alone would not turn it."""
    dataset = turned_copy(person_root, tmp_path / "heads", dict.fromkeys(range(5), 1), Z_UP)
    space = open_head(BUILTIN)
    found = registration._candidate(field_of_head(space, BUILTIN), space.frame, dataset, QUICK, space.latents)
    face, stands_known = registration._find_face(found, dataset, None)
    assert face is not None and stands_known
    assert angle_deg(found.expected.rotation.double().numpy() @ Z_UP.as_matrix(), np.eye(3)) < 8.0


def test_the_face_of_a_prior_is_found_on_its_surface(tmp_path):
    """The mean head of the shape space, taken for the prior of one head that lies on its side."""
    space = open_head(BUILTIN)
    field, grid = field_of_head(space, BUILTIN), GridTracer(32)
    grid.refresh(field.sdf, torch.device("cpu"))
    found = face_of_head(field, grid, torch.tensor([[0.0, -0.2, 3.0]]), 160)
    assert found is not None and len(found.model.shapes_mm) == 0
    off_mm = found.to_head.inverse().points(found.model.mean_mm) - face_of_space().to_head.inverse().points(
        load_landmark_model().mean_mm
    )
    assert np.median(np.linalg.norm(HEAD_FRAME.radius_mm * off_mm, axis=1)) < 8.0
    assert angle_deg(found.to_head.rotation, np.eye(3)) < 5.0
    assert face_of_head(field, grid, torch.tensor([[0.0, 0.0, -3.0]]), 160) is None  # the back of a head


def test_the_prior_of_one_head_is_placed_by_its_face(person: HeadDataset):
    """The mean head of the shape space as the prior of one head, which its own networks show."""
    space = open_head(BUILTIN)
    field, pool = field_of_head(space, BUILTIN), RayPool(person, "cpu", 64, one_view=False)
    config = PlacingConfig(steps=(1, 1), rays=64, grid_cells=32, face=LandmarkConfig(render_size=160))
    frame, centres = replace(HEAD_FRAME, radius_mm=240.0), torch.tensor([[0.0, -0.2, 3.0]])
    placed = register_prior(field, frame, person, pool, config, None, centres)
    assert placed.faces >= 2 and angle_deg(field.placement.rotation.detach().double().numpy(), np.eye(3)) < 10.0


def placed_on_an_egg(tiny_root: Path, ears: np.ndarray | None) -> Registration:
    """A shape space on photos that show no face."""
    parser = H3dsDataParserConfig(data=tiny_root, scene="scan0").setup()
    dataset = HeadDataset(parser.get_dataparser_outputs("train"))
    dataset.metadata["ears"] = ears
    space = open_head(BUILTIN)
    pool, field = RayPool(dataset, "cpu", 64, one_view=False), field_of_head(space, BUILTIN)
    placed = register_prior(field, space.frame, dataset, pool, QUICK, space.latents)
    if ears is not None:
        expected = (
            face_of_space()
            .to_head.inverse()
            .after(
                Similarity(dataset.metadata["frame"].radius_mm, np.eye(3), -dataset.metadata["frame"].radius_mm * ears)
            )
        )
        np.testing.assert_allclose(field.placement.translation.numpy(), expected.offset, atol=0.08)
    return placed


def test_a_head_whose_up_is_not_found_is_said_to_be_doubtful(tiny_root: Path):
    """An egg shows no face: the log and the head file say that +y was taken for up."""
    placed = placed_on_an_egg(tiny_root, None)
    assert "No face was found" in placed.warnings[0] and placed.warnings[0] in placed.summary(3)


def test_a_dataparser_that_knows_where_the_ears_are_places_a_head_whose_photos_show_no_face(tiny_root: Path):
    assert not any("No face" in warning for warning in placed_on_an_egg(tiny_root, np.array([0.1, 0.3, -0.2])).warnings)


def test_the_face_in_the_mask_is_found_beside_a_larger_one(person: HeadDataset, monkeypatch):
    """The detector stops at the window that shows a face: a small one beside another is looked for in its mask."""
    photo, mask = person.photo(0), person.mask(0)
    (height, width), factor = mask.shape, 4
    both = np.full((factor * height, (factor + 1) * width, 3), 128, np.uint8)
    both[:, width:] = np.asarray(Image.fromarray(photo).resize((factor * width, factor * height)))
    both[:height, :width], in_both = photo, np.zeros(both.shape[:2], bool)
    in_both[:height, :width] = mask
    monkeypatch.setattr(person, "photo", lambda view: both)
    monkeypatch.setattr(person, "mask", lambda view: in_both)
    points_px = photo_faces._landmarks(person, 0, 10_000)
    assert points_px is not None and points_px[:, 0].max() < width


def test_without_the_networks_the_log_says_so(person: HeadDataset, monkeypatch, capsys):
    def missing(photo, mask):
        raise InputError("no face_landmark.tflite: run `baseh3d models`")

    monkeypatch.setattr(photo_faces, "find_faces_at_mask", missing)
    assert find_photo_faces(person, CONFIG.longest_px, CONFIG.most_faces).views == ()
    assert "run `baseh3d models`" in capsys.readouterr().out


def test_doubts_about_a_placement_reach_the_evaluation(fit_run, tmp_path: Path):
    head = open_head(fit_run.config)
    assert head.provenance["warnings"] == []
    doubtful = replace(head, provenance={**head.provenance, "warnings": ["The head's up was not found."]})
    save_head(tmp_path / HEAD_FILE, doubtful)
    scored = score_run(OpenedHead.read(tmp_path / HEAD_FILE), None, spacing_mm=4.0)
    assert "The head's up was not found." in json.loads((scored.folder / "evaluation.json").read_text())["warnings"]
