"""Synthetic heads, by property: what any H3DS-like set must satisfy, on one tiny subject with and without noise."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from h3ds.dataset import H3DS
from h3ds.numeric import load_K_Rt
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from baseh3d_ns.errors import InputError
from baseh3d_ns.evaluation.protocol import FACE_RADIUS_MM
from baseh3d_ns.frames import LANDMARKS_MM
from baseh3d_ns.synthetic import anatomy, camera_path, capture_noise, dataset
from baseh3d_ns.synthetic.anatomy import ATTRIBUTES, CANONICAL, HAIR
from baseh3d_ns.synthetic.dataset import scene_id, synthesize
from baseh3d_ns.synthetic.head import Head, make_head
from baseh3d_ns.synthetic.noise_parts import NOISE_PARTS, NoisePart
from baseh3d_ns.synthetic.rays import RayCaster
from baseh3d_ns.synthetic.render import Photo
from baseh3d_ns.synthetic.surface import Surface, refine

VIEWS, SIZE, SEED = 4, 64, 3


@pytest.fixture(scope="module")
def head() -> Head:
    return make_head(SEED, 0)


@pytest.fixture(scope="module")
def heads_made_once(head: Head) -> Iterator[None]:
    """`synthesize` takes the head above, made once for all sets of this module."""

    def made(seed: int, index: int) -> Head:
        assert (seed, index) == (SEED, 0)
        return head

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset, "make_head", made)
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, heads_made_once: None) -> Path:
    out = tmp_path_factory.mktemp("synthetic") / "clean"
    synthesize(out, subjects=1, views=VIEWS, size=SIZE, seed=SEED, contact_sheet=True)
    return out


@pytest.fixture(scope="module")
def noisy_root(tmp_path_factory: pytest.TempPathFactory, heads_made_once: None) -> Path:
    out = tmp_path_factory.mktemp("synthetic") / "noisy"
    synthesize(out, subjects=1, views=VIEWS, size=SIZE, seed=SEED, noise=NOISE_PARTS)
    return out


@pytest.fixture(scope="module")
def scene(root: Path) -> Path:
    return root / scene_id(SEED, 0)


@pytest.fixture(scope="module")
def vertices_mm(root: Path) -> np.ndarray:
    return _open(root).load_mesh(scene_id(SEED, 0)).vertices


def _open(root: Path) -> H3DS:
    return H3DS(str(root), config_path=str(root / "config.toml"))


def _region(scene: Path, name: str) -> np.ndarray:
    return np.loadtxt(scene / "regions" / f"{name}.txt", dtype=int)


def _pixels(scene: Path, view: int, vertices_mm: np.ndarray) -> np.ndarray:
    image = vertices_mm @ (matrix := np.load(scene / "cameras.npz")[f"world_mat_{view}"])[:3, :3].T + matrix[:3, 3]
    return image[:, :2] / image[:, 2:]


def _mask(scene: Path, view: int) -> np.ndarray:
    return np.asarray(Image.open(scene / "mask" / f"mask_{view:04d}.png"))


def _files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_h3ds_package_reads_the_set(root: Path):
    opened = _open(root)
    assert opened.is_available()
    assert opened.scenes() == [scene_id(SEED, 0)]
    assert opened.helper.scene_tags(scene_id(SEED, 0)) == {"synthetic", "anny-0000"}
    mesh, images, masks, cameras = opened.load_scene(scene_id(SEED, 0), views_config_id="3")
    assert len(images) == len(masks) == len(cameras) == 3
    assert images[0].size == masks[0].size == (SIZE, SIZE)
    assert 20_000 < len(mesh.vertices) < 60_000
    assert mesh.faces.min() == 0 and mesh.faces.max() == len(mesh.vertices) - 1
    assert set(opened.load_landmarks(scene_id(SEED, 0))) == set(LANDMARKS_MM)


def test_masks_are_binary_and_follow_the_head(scene: Path, vertices_mm: np.ndarray):
    for view in range(VIEWS):
        mask = _mask(scene, view)
        assert mask.dtype == np.uint8 and mask.shape == (SIZE, SIZE) and set(np.unique(mask)) == {0, 255}
        pixels = np.rint(_pixels(scene, view, vertices_mm)).astype(int)
        assert (pixels >= 0).all() and (pixels < SIZE).all()
        near_mask = binary_dilation(mask > 0, np.ones((3, 3)))
        assert near_mask[pixels[:, 1], pixels[:, 0]].mean() >= 0.995
        touched = np.zeros_like(near_mask)
        touched[pixels[:, 1], pixels[:, 0]] = True
        assert binary_dilation(touched)[mask > 0].mean() >= 0.995


def test_pixel_centres_are_at_integers(scene: Path, vertices_mm: np.ndarray):
    """A shift of half a pixel between mask and cameras would show up in the middle of the silhouette."""
    offsets = []
    for view in range(VIEWS):
        pixels = _pixels(scene, view, vertices_mm)
        rows, columns = np.nonzero(_mask(scene, view))
        offsets.append(
            [columns.min() + columns.max(), rows.min() + rows.max()] - (pixels.min(axis=0) + pixels.max(axis=0))
        )
    assert np.abs(np.mean(offsets, axis=0) / 2.0).max() < 0.3


def test_everything_lies_in_the_unit_ball(scene: Path, vertices_mm: np.ndarray):
    scale_mat = np.load(scene / "cameras.npz")["scale_mat_0"]
    unit = (vertices_mm - scale_mat[:3, 3]) / scale_mat[0, 0]
    assert 0.8 < np.linalg.norm(unit, axis=1).max() < 1.0


def test_cameras_look_at_the_head_with_square_pixels(root: Path, scene: Path):
    cameras = np.load(scene / "cameras.npz")
    for view in range(VIEWS):
        intrinsics, pose = load_K_Rt(cameras[f"world_mat_{view}"][:3])
        assert np.isclose(intrinsics[0, 0], intrinsics[1, 1]) and abs(intrinsics[0, 1]) < 1e-3
        assert 600.0 < np.linalg.norm(pose[:3, 3]) < 850.0
        assert np.isclose(np.linalg.det(pose[:3, :3]), 1.0, atol=1e-5)
        towards = cameras["scale_mat_0"][:3, 3] - pose[:3, 3]
        assert pose[:3, 2] @ towards / np.linalg.norm(towards) > 0.99


def test_three_views_are_frontal_and_two_half_profiles():
    azimuths = camera_path.azimuths_deg(24)
    box_mm = np.array([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]]) * 120.0
    cameras = camera_path.camera_path(box_mm, 24, 64, np.random.default_rng(0))
    configs = camera_path.views_configs(cameras, np.zeros(3))
    assert list(configs) == ["1", "3", "4", "8", "16"]
    assert all(len(set(chosen)) == int(count) for count, chosen in configs.items())
    frontal, left, right = configs["3"]
    assert abs(azimuths[frontal]) < 5.0 and 35.0 < azimuths[left] < 60.0 and -60.0 < azimuths[right] < -35.0


def test_landmarks_are_where_anatomy_has_them(root: Path, scene: Path, vertices_mm: np.ndarray):
    landmarks = {name: vertices_mm[i] for name, i in _open(root).load_landmarks(scene.name).items()}
    eyes = landmarks["left_eye"] - landmarks["right_eye"]
    lips = landmarks["left_lips"] - landmarks["right_lips"]
    assert 25.0 < eyes[0] < 50.0 and 30.0 < lips[0] < 70.0
    heights = [landmarks[name][1] for name in ("right_eye", "nose_tip", "nose_base", "right_lips")]
    assert heights == sorted(heights, reverse=True)
    nose = vertices_mm[_region(scene, "nose")]
    assert nose[:, 2].max() - landmarks["nose_tip"][2] < 1.5
    assert np.linalg.norm(nose - landmarks["nose_tip"], axis=1).max() < 60.0


def test_regions_are_what_their_names_say(root: Path, scene: Path, vertices_mm: np.ndarray):
    tip = vertices_mm[_open(root).load_landmarks(scene.name)["nose_tip"]]
    in_sphere = np.flatnonzero(np.linalg.norm(vertices_mm - tip, axis=1) <= FACE_RADIUS_MM)
    np.testing.assert_array_equal(_region(scene, "face_sphere"), in_sphere)
    assert set(_region(scene, "nose")) <= set(_region(scene, "face"))
    assert len(_region(scene, "nose")) > 300


def test_face_is_finely_sampled(scene: Path, vertices_mm: np.ndarray):
    face = vertices_mm[_region(scene, "face_sphere")]
    spacing_mm = cKDTree(face).query(face, k=2)[0][:, 1]
    assert np.median(spacing_mm) < 1.5 and np.quantile(spacing_mm, 0.99) < 2.6


def test_ground_truth_holds_nothing_hidden(head: Head):
    """From a dense sphere of far viewpoints, every ground-truth vertex is seen by at least one."""
    rng = np.random.default_rng(0)
    sample = rng.choice(len(head.scan.vertices_mm), 1500, replace=False)
    points = head.scan.vertices_mm[sample] + 0.3 * head.scan.normals[sample]
    directions = rng.normal(size=(400, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    caster = RayCaster(head.surface)
    unseen = np.ones(len(points), dtype=bool)
    for direction in directions[directions[:, 1] > -0.6]:
        left = np.flatnonzero(unseen)
        unseen[left[~caster.occluded(points[left], np.tile(direction, (len(left), 1)))]] = False
    assert unseen.mean() < 0.003
    assert len(head.scan.vertices_mm) < len(head.surface.vertices_mm)


def test_what_is_rendered_is_the_ground_truth(head: Head):
    """Rays from the front that meet the rendered surface meet it within the ground truth's own vertices."""
    grid = np.stack(np.meshgrid(np.linspace(-60, 60, 40), np.linspace(-40, 60, 40)), axis=-1).reshape(-1, 2)
    origins = np.column_stack([grid, np.full(len(grid), 700.0)])
    hits = RayCaster(head.surface).first_hits(origins, np.tile([0.0, 0.0, -1.0], (len(origins), 1)))
    distance_mm = cKDTree(head.scan.vertices_mm).query(hits.interpolate(head.surface.vertices_mm))[0]
    assert np.quantile(distance_mm, 0.98) < 2.5


def test_same_arguments_same_bytes(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dataset, "make_head", make_head)  # made anew, so that a head drawn otherwise is seen
    synthesize(tmp_path / "again", subjects=1, views=VIEWS, size=SIZE, seed=SEED, contact_sheet=True)
    assert _files(tmp_path / "again") == _files(root)


def test_noise_leaves_the_subject_alone(root: Path, noisy_root: Path, scene: Path):
    noisy_scene = noisy_root / scene.name
    for name in ("full_head.obj", "landmarks.txt", "regions/face.txt"):
        assert (scene / name).read_bytes() == (noisy_scene / name).read_bytes()
    assert _open(noisy_root).is_available()


def test_noise_moves_cameras_light_and_masks_within_bounds(scene: Path, noisy_root: Path):
    noisy_scene = noisy_root / scene.name
    clean, noisy = np.load(scene / "cameras.npz"), np.load(noisy_scene / "cameras.npz")
    for view in range(VIEWS):
        (k, pose), (k_off, pose_off) = (load_K_Rt(set_[f"world_mat_{view}"][:3]) for set_ in (clean, noisy))
        translation_mm = np.linalg.norm(pose[:3, 3] - pose_off[:3, 3])
        rotation_deg = np.degrees(Rotation.from_matrix(pose[:3, :3].T @ pose_off[:3, :3]).magnitude())
        assert 0.0 < translation_mm <= 1.51 and 0.0 < rotation_deg <= 0.31
        assert 0.0 < abs(k_off[0, 0] / k[0, 0] - 1.0) <= 0.0061
        clean_mask, noisy_mask = _mask(scene, view) > 0, _mask(noisy_scene, view) > 0
        wide = np.ones((5, 5), bool)
        assert not (noisy_mask & ~binary_dilation(clean_mask, wide)).any()
        assert not (binary_erosion(clean_mask, wide) & ~noisy_mask).any()
        assert 0.0 < (noisy_mask ^ clean_mask).mean() < 0.1
    photos = [np.asarray(Image.open(folder / "image" / "img_0003.jpg"), float) for folder in (scene, noisy_scene)]
    assert np.abs(photos[0] - photos[1]).mean() > 2.0


def test_typical_noise_is_about_a_millimetre_and_a_quarter_degree():
    rng = np.random.default_rng(0)
    draws = [capture_noise.draw_view_noise(rng, 0.0) for _ in range(500)]
    assert 0.8 < np.mean([np.linalg.norm(draw.translation_mm) for draw in draws]) < 1.1
    assert 0.15 < np.mean([np.linalg.norm(draw.rotation_deg) for draw in draws]) < 0.27
    assert np.ptp([draw.mask_px for draw in draws]) == pytest.approx(2.0, abs=0.1)
    assert np.std([np.log2(draw.gain).mean() for draw in draws]) == pytest.approx(0.15, abs=0.02)


@pytest.mark.parametrize("part", NOISE_PARTS)
def test_a_part_of_the_noise_changes_its_own_things_only(part: NoisePart):
    """Each kind of error alone, and the same as among all the others."""

    def drawn(*parts: NoisePart) -> dict[str, Any]:
        return asdict(capture_noise.draw_view_noise(np.random.default_rng(3), 1.0, parts))

    one, every, none = drawn(part), drawn(*NOISE_PARTS), drawn()
    changed = {name for name in one if not np.array_equal(one[name], none[name])}
    assert (
        changed
        == {
            "pose": {"rotation_deg", "translation_mm"},
            "focal": {"focal_factor"},
            "exposure": {"gain"},
            "white": {"gain"},
            "sensor": {"sensor"},
            "light": {"light_slope"},
            "mask": {"mask_px", "ragged_px"},
        }[part]
    )
    assert all(np.array_equal(one[name], every[name]) for name in changed - {"gain"})


def test_light_and_sensor_noise_of_a_photo():
    grey = Photo(np.full((64, 64, 3), 128, np.uint8), np.full((64, 64), 255, np.uint8))

    def developed(part: NoisePart) -> np.ndarray:
        noise = capture_noise.draw_view_noise(np.random.default_rng(0), 0.0, (part,))
        return capture_noise.developed(grey, noise).rgb.astype(float)

    light, sensor = developed("light"), developed("sensor")
    assert light.std(axis=0).max() == 0.0 and light[0, -1, 0] - light[0, 0, 0] > 10.0  # grows to the right
    assert sensor.mean() == pytest.approx(128.0, abs=0.5) and sensor.std() == pytest.approx(5.1, abs=0.3)


def test_photos_have_fine_detail(scene: Path):
    """Skin and hair are textured: neighbouring pixels inside the mask differ, background pixels hardly do."""
    photo = np.asarray(Image.open(scene / "image" / "img_0001.jpg").convert("L"), float)
    mask = _mask(scene, 1) > 0
    steps = np.abs(np.diff(photo, axis=1))
    inside, outside = mask[:, 1:] & mask[:, :-1], ~mask[:, 1:] & ~mask[:, :-1]
    assert np.median(steps[inside]) > 2.0 * np.median(steps[outside])


def test_refined_surface_has_no_cracks_and_stays_round():
    """Refining a coarse ball unevenly keeps it closed, and closer to the sphere than flat faces are."""

    ball = trimesh.creation.icosphere(subdivisions=2, radius=50.0)
    surface = Surface(np.array(ball.vertices), np.array(ball.faces), np.zeros((len(ball.vertices), 1)))
    fine = refine(surface, lambda s: 5.0 + 4.0 * (s.vertices_mm[:, 0] > 0))
    assert fine.as_trimesh().is_watertight and fine.as_trimesh().is_winding_consistent
    assert len(fine.vertices_mm) > 2 * len(surface.vertices_mm)
    flat_error = 50.0 - np.linalg.norm(ball.triangles_center, axis=1).min()
    assert np.abs(np.linalg.norm(fine.vertices_mm, axis=1) - 50.0).max() < 0.2 * flat_error


def test_half_a_set_never_looks_like_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise RuntimeError("disk on fire")

    monkeypatch.setattr("baseh3d_ns.synthetic.dataset.write_subject", fail)
    with pytest.raises(RuntimeError):
        synthesize(tmp_path / "set", subjects=1, views=VIEWS, size=SIZE)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_ends_a_set_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(folder: Path, *_: object) -> None:
        folder.mkdir()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / "img_0000.jpg"))

    monkeypatch.setattr("baseh3d_ns.synthetic.dataset.write_subject", full)
    with pytest.raises(InputError, match=f"set cannot be written .No space left.*: free some space in {tmp_path}"):
        synthesize(tmp_path / "set", subjects=1, views=VIEWS, size=SIZE)
    assert list(tmp_path.iterdir()) == []


def test_the_body_model_has_a_cache_before_its_libraries_look_for_one(monkeypatch: pytest.MonkeyPatch):
    """They read their environment once, at import, and end with a traceback in a home that cannot be written to."""
    moved: list[bool] = []
    monkeypatch.setattr(anatomy, "move_library_caches", lambda: moved.append(True))
    monkeypatch.setitem(sys.modules, "anny", None)  # an import of it fails
    with pytest.raises(ImportError):
        anatomy.load_body_model.__wrapped__()
    assert moved


def test_a_complete_set_is_reused_and_another_never_overwritten(root: Path, tmp_path: Path):
    before = _files(root)
    assert synthesize(root, subjects=1, views=VIEWS, size=SIZE, seed=SEED, contact_sheet=True) == [scene_id(SEED, 0)]
    with pytest.raises(InputError, match="other arguments .*seed 3"):
        synthesize(root, subjects=1, views=VIEWS, size=SIZE, seed=4, contact_sheet=True)
    assert _files(root) == before
    (tmp_path / "thesis.doc").write_text("years of work")
    with pytest.raises(InputError, match="holds something else"):
        synthesize(tmp_path, subjects=1, views=VIEWS, size=SIZE)
    with pytest.raises(InputError, match="is a file"):
        synthesize(tmp_path / "thesis.doc", subjects=1, views=VIEWS, size=SIZE)
    assert (tmp_path / "thesis.doc").read_text() == "years of work"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"subjects": 0}, "--subjects is 0, but a set needs at least 1 subject."),
        ({"views": 2}, "--views is 2, but a subject needs at least 3 views."),
        ({"views": 10001}, "--views is 10001, but a subject has at most 10000 views."),
        ({"size": 16}, "--size is 16, but photographs need at least 32 pixels a side."),
        ({"seed": -1}, "--seed is -1, but a seed is 0 or more."),
    ],
)
def test_bad_arguments_are_one_sentence(tmp_path: Path, arguments: dict[str, int], sentence: str):
    with pytest.raises(InputError) as error:
        synthesize(tmp_path / "set", **arguments)
    assert str(error.value) == sentence
    assert not (tmp_path / "set").exists()


def test_every_vertex_carries_its_place_on_the_average_head(head: Head):
    attributes = head.scan.attributes
    assert attributes.shape == (len(head.scan.vertices_mm), ATTRIBUTES)
    skin = attributes[:, HAIR] < 0.5
    assert np.abs(attributes[skin, CANONICAL]).max() < 300.0


def test_config_lists_existing_views(root: Path):
    scenes = tomllib.loads((root / "config.toml").read_text())["scenes"]
    for scene in scenes.values():
        assert list(scene["default_views_configs"]) == ["1", "3", "4"]
        assert all(0 <= view < scene["views"] for chosen in scene["default_views_configs"].values() for view in chosen)
