"""H3DS roots through the real h3ds package: names, views, cameras to 0.01 px, silhouettes."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nerfstudio.cameras.cameras import Cameras
from PIL import Image
from tiny_root import CENTRE_MM, SCENE, UNIT_RADIUS_MM, write_root

from baseh3d_ns.data import datamanager, h3ds_dataparser, h3ds_scene
from baseh3d_ns.data.datamanager import HeadDataManagerConfig
from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.data.h3ds_dataparser import H3dsDataParserConfig
from baseh3d_ns.data.h3ds_root import PACKAGED_CONFIGS, H3dsRoot, _packaged_config, choose_views, open_h3ds
from baseh3d_ns.data.pictures import read_mask
from baseh3d_ns.data.ray_pool import RayPool, find_strata
from baseh3d_ns.data.views import Picture, view_outputs
from baseh3d_ns.errors import InputError
from baseh3d_ns.frames import SceneFrame


def outputs_of(root: Path, split: str = "train", views=("3",), **options):
    parser = H3dsDataParserConfig(data=root, scene=SCENE, views=views, **options).setup()
    return parser.get_dataparser_outputs(split)


def pixel_of(cameras, index: int, point_unit: torch.Tensor) -> np.ndarray:
    """Where a point lands, found by inverting nerfstudio's own ray generation (its pixel centres at +0.5)."""
    rays = cameras.generate_rays(camera_indices=index, keep_shape=True)
    to_point = torch.nn.functional.normalize(point_unit - rays.origins, dim=-1)
    closest = int((rays.directions * to_point).sum(-1).argmax())
    height, width = rays.directions.shape[:2]
    start = np.array([closest % width + 0.5, closest // width + 0.5])
    coords = torch.tensor(
        [[start[1], start[0]], [start[1], start[0] + 1e-2], [start[1] + 1e-2, start[0]]], dtype=torch.float64
    )
    cameras = cameras.to("cpu")
    for _ in range(20):  # Newton on the angle between the ray and the point
        directions = cameras.generate_rays(camera_indices=index, coords=coords.float()).directions.double()
        target = torch.nn.functional.normalize((point_unit - cameras.camera_to_worlds[index, :, 3]).double(), dim=-1)
        jacobian = torch.stack([(directions[1] - directions[0]) / 1e-2, (directions[2] - directions[0]) / 1e-2], dim=-1)
        step = torch.linalg.lstsq(jacobian, (target - directions[0])[:, None]).solution[:, 0]
        coords = coords + torch.tensor([float(step[1]), float(step[0])], dtype=torch.float64)
    return np.array([float(coords[0, 1]), float(coords[0, 0])])


@pytest.mark.parametrize("skew", [0.0, 1.7])
def test_a_known_point_lands_on_its_known_pixel(tmp_path, skew):
    root = write_root(tmp_path / "h3ds", size=256, views=5, skew=skew)
    outputs = outputs_of(root)
    frame = outputs.metadata["frame"]
    archive = np.load(root / SCENE / "cameras.npz")
    for index, view in enumerate(outputs.metadata["view_indices"]):
        for point_mm in (CENTRE_MM, CENTRE_MM + [40.0, -55.0, 30.0], CENTRE_MM + [-30.0, 60.0, 70.0]):
            u, v, w = archive[f"world_mat_{view}"][:3] @ np.append(point_mm, 1.0)
            expected = np.array([u / w, v / w]) + 0.5
            point_unit = torch.from_numpy(frame.to_unit(point_mm)).float()
            assert np.abs(pixel_of(outputs.cameras, index, point_unit) - expected).max() < 0.01


def test_the_frame_travels_with_the_data(tiny_root):
    outputs = outputs_of(tiny_root)
    assert outputs.metadata["frame"].radius_mm == pytest.approx(UNIT_RADIUS_MM)
    assert outputs.dataparser_scale == pytest.approx(1 / UNIT_RADIUS_MM)
    world = outputs.transform_poses_to_original_space(outputs.cameras.camera_to_worlds)
    # The first training view is view 2, straight in front of the face.
    np.testing.assert_allclose(world[0, :3, 3].numpy(), CENTRE_MM + [0.0, 60.0, 450.0], atol=1e-2)


def test_splits_do_not_overlap_and_eval_is_never_empty(tiny_root):
    train, rest = outputs_of(tiny_root), outputs_of(tiny_root, "val")
    assert train.metadata["view_indices"] == [2, 0, 4] and rest.metadata["view_indices"] == [1, 3]
    assert outputs_of(tiny_root, "val", views=("all",)).metadata["view_indices"] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("1",), [2]),
        (("all",), [0, 1, 2, 3, 4]),
        (("4,0,1",), [4, 0, 1]),
        (("4", "0"), [4, 0]),
        (("[3]",), None),
        (("3,",), [3]),
    ],
)
def test_view_selections(tiny_root, words, expected):
    root = open_h3ds(tiny_root)
    if expected is None:
        with pytest.raises(InputError):
            root.resolve_views(SCENE, words)
    else:
        assert root.resolve_views(SCENE, words) == expected


@pytest.mark.parametrize("words", [("2",), ("9,1",), ("1,1",), ("one,two",), ()])
def test_wrong_view_selections_are_explained(tiny_root, words):
    with pytest.raises(InputError, match="view"):
        open_h3ds(tiny_root).resolve_views(SCENE, words)


@given(st.permutations(range(24)), st.integers(2, 24), st.sampled_from([",", " ", ", ", "] ["]), st.booleans())
def test_indices_are_taken_as_they_are_written(order, count, separator, brackets):
    wanted = list(order[:count])
    text = separator.join(map(str, wanted))
    choices = {"3": [1, 2, 3]}
    assert choose_views((f"[{text}]" if brackets else text,), 24, choices, SCENE) == wanted
    assert choose_views(tuple(map(str, wanted)), 24, choices, SCENE) == wanted


@given(st.lists(st.text("0123456789,.-[]a ²", max_size=5), max_size=4).map(tuple), st.integers(1, 30))
def test_any_words_name_views_that_there_are_or_are_refused(words, count):
    choices = {"1": [0]}
    try:
        views = choose_views(words, count, choices, SCENE)
    except InputError as error:
        assert "\n" not in str(error) and "view" in str(error)
    else:
        assert views and len(set(views)) == len(views) and all(0 <= view < count for view in views)


def test_scene_names(tiny_root):
    root = open_h3ds(tiny_root)
    assert root.resolve_scene("scan1") == root.resolve_scene("tiny-1") == "00000000000000bb"
    with pytest.raises(InputError, match="names 2 scenes"):
        root.resolve_scene("tiny")
    with pytest.raises(InputError, match="00000000000000aa"):
        root.resolve_scene("00000000000000ac")
    with pytest.raises(InputError, match="scan0 to scan1"):
        root.resolve_scene("scan2")


@pytest.mark.parametrize(("config", "version"), zip(PACKAGED_CONFIGS, ["0.2", "0.4"], strict=True))
def test_the_real_configurations(tmp_path, config, version):
    """version.txt decides; scanN counts config_v1's ids in both versions (design note: scan 3 is 1b2a8613401e42a8)."""
    (tmp_path / "version.txt").write_text(version + "\n")
    root = open_h3ds(tmp_path)
    assert root == H3dsRoot(path=tmp_path, config_path=_packaged_config(config))
    names = {
        "scan1": "1141a3328d7e9c4e",
        "scan2": "168f8ca5c2dce5bc",
        "scan3": "1b2a8613401e42a8",
        "scan10": "5cd49557ea450c89",
    }
    assert {name: root.resolve_scene(name) for name in names} == names
    assert len(root.resolve_views("1b2a8613401e42a8", ("3",))) == 3
    assert len(root.resolve_views("1b2a8613401e42a8", ("32",))) == 32


@pytest.mark.parametrize(("config", "version"), [("config_v1", "0.2"), ("config_v2", "0.4")])
def test_no_configuration_of_h3ds_trains_on_a_photo_twice(tmp_path, config, version):
    """H3DS names views twice in some of its configurations; the root may also hold its configuration itself."""
    (tmp_path / "version.txt").write_text(version)
    (tmp_path / "config.toml").write_bytes(_packaged_config(config).read_bytes())
    root, repeated = open_h3ds(tmp_path), 0
    for scene_id in root.scene_ids():
        for name in root.h3ds.default_views_configs(scene_id):
            named, chosen = root.h3ds._get_views_config(scene_id, name), root.resolve_views(scene_id, (name,))
            assert len(set(chosen)) == len(chosen) and set(chosen) == set(named)
            repeated += len(chosen) < len(named)
    assert repeated


def test_downscale_keeps_rays_on_the_same_points(tiny_root):
    full, half = outputs_of(tiny_root).cameras, outputs_of(tiny_root, downscale=2.0).cameras
    assert int(half.width[0]) == int(full.width[0]) // 2
    # The corner between four pixels at full size is the centre of one at half size.
    first = full.generate_rays(camera_indices=0, coords=torch.tensor([[21.0, 13.0]])).directions
    second = half.generate_rays(camera_indices=0, coords=torch.tensor([[10.5, 6.5]])).directions
    torch.testing.assert_close(first, second)
    dataset = HeadDataset(outputs_of(tiny_root, downscale=2.0))
    assert dataset[0]["image"].shape == (24, 24, 3) and dataset[0]["fg_mask"].shape == (24, 24, 1)


def test_photos_of_several_sizes_stay_on_their_cameras_when_they_are_scaled():
    """Sizes are whole pixels: 190 x 282 and 95 x 90 times a third are not."""
    sizes, steep = torch.tensor([[282, 190], [90, 95]]), 4.0
    width, height = sizes[:, :1], sizes[:, 1:]
    c2w = torch.eye(4)[None, :3].repeat(2, 1, 1)
    cameras = Cameras(c2w, 400.0, 400.0, width / 2.0, height / 2.0, width, height)
    pictures = []
    for columns, rows in sizes.tolist():  # grey says how many pixels it is to the right, and to the lower, border
        across, down = ((steep * (length - np.arange(length) - 0.5)).clip(0.0, 255.0) for length in (columns, rows))
        photo = np.stack(np.broadcast_arrays(across[None], down[:, None], 0.0), axis=-1).round().astype(np.uint8)
        pictures.append(Picture(photo, np.ones((rows, columns), bool), np.ones((rows, columns), bool)))
    names, frame = [Path("a.png"), Path("b.png")], SceneFrame((0.0, 0.0, 0.0), 150.0)
    outputs = view_outputs(cameras, frame, "ramps", range(2), names, pictures, frame.world_to_unit_transform(), {})
    dataset = HeadDataset(outputs, torch.tensor([[1.0 / 3.0], [0.9]]))
    assert [dataset.photo(view).shape[:2] for view in range(2)] == [(63, 94), (86, 81)]
    for view, (columns, rows) in enumerate(sizes.tolist()):
        directions = dataset.cameras.generate_rays(camera_indices=view, keep_shape=True).directions
        seen = 400.0 * directions[..., :2] / -directions[..., 2:]  # pixels of the original photo, from its middle
        to_border = torch.stack([columns / 2.0 - seen[..., 0], rows / 2.0 + seen[..., 1]], dim=-1)
        shown = torch.from_numpy(dataset.photo(view)[-8:, -8:, :2].astype(np.float32)) / steep
        # Pillow's box filter takes whole pixels: a single one may be off by half of one.
        off = (to_border[-8:, -8:] - shown).mean(dim=(0, 1))
        torch.testing.assert_close(off, torch.zeros(2), atol=0.15, rtol=0.0)


def test_rays_inside_the_mask_meet_the_head_and_others_do_not(tiny_root):
    from tiny_root import SEMI_AXES_MM

    pool = RayPool(HeadDataset(outputs_of(tiny_root)), torch.device("cpu"), 5000, one_view=False)
    rays, batch = pool.draw()
    scale = torch.from_numpy(UNIT_RADIUS_MM / SEMI_AXES_MM).float()
    o, d = rays.origins * scale, rays.directions * scale
    discriminant = (o * d).sum(-1) ** 2 - d.square().sum(-1) * (o.square().sum(-1) - 1)
    inside = batch["fg_mask"][:, 0] > 0.5
    assert ((discriminant > 0) == inside).all()
    assert torch.equal(rays.metadata["fg_mask"], batch["fg_mask"]) and 0 < inside.float().mean() < 1


def test_one_view_a_step_and_every_view_once_an_epoch(tiny_root):
    pool = RayPool(HeadDataset(outputs_of(tiny_root)), torch.device("cpu"), 16, one_view=True)
    for _ in range(4):
        drawn = [set(pool.draw()[0].camera_indices.flatten().tolist()) for _ in range(3)]
        assert sorted(map(tuple, drawn)) == [(0,), (1,), (2,)]


def test_a_pooled_pixel_takes_sixteen_bytes(tiny_root):
    """Direction, colour, mask: of a hundred photos, every number more is half a gigabyte."""
    rays = RayPool(HeadDataset(outputs_of(tiny_root)), "cpu", 16, one_view=False).rays
    sizes = [part.nbytes for part in vars(rays).values() if isinstance(part, torch.Tensor) and part is not rays.origins]
    assert sum(sizes) == 16 * rays.starts[-1]


def pool_on_head(dataset: HeadDataset, count: int, skip_edge_px: float = 0.0) -> RayPool:
    """Rays mostly on the head, with the shares and the band of the data manager's defaults."""
    config = HeadDataManagerConfig()
    strata = partial(find_strata, dataset, "cpu", config.ray_shares, config.edge_band, skip_edge_px)
    return RayPool(dataset, "cpu", count, one_view=False, find_strata=strata)


def test_rays_on_the_head_are_weighted_back_to_the_photos(tiny_root):
    torch.manual_seed(0)
    pool = pool_on_head(HeadDataset(outputs_of(tiny_root)), 20_000)
    rays, batch = pool.draw()
    in_mask = batch["fg_mask"][:, 0] > 0.5
    share = pool.rays.in_mask.float().mean()
    assert in_mask.float().mean() > 0.6 > share
    assert (batch["weight"] * in_mask).sum() / len(in_mask) == pytest.approx(float(share), rel=0.02)
    assert batch["weight"].mean() == pytest.approx(1.0, rel=1e-3)
    # Any mean over the photos: here of the red channel.
    red = (batch["weight"] * batch["image"][:, 0]).mean()
    assert red == pytest.approx(float(pool.rays.colours[:, 0].float().mean()) / 255.0, rel=0.02)
    far = rays.metadata["far_from_edge"][:, 0]
    assert far.float().mean() == pytest.approx(HeadDataManagerConfig().ray_shares[0], abs=0.01)
    assert in_mask[far].all() and not in_mask[~far].all()


def test_nothing_is_drawn_from_photos_that_are_only_looked_at(tiny_root, monkeypatch):
    """As `ns-eval`, `ns-render` and `ns-viewer` do: where the head's edge lies is found with the first rays."""
    asked = []
    found = datamanager.find_strata
    monkeypatch.setattr(datamanager, "find_strata", lambda *options: asked.append(options) or found(*options))
    parser = H3dsDataParserConfig(data=tiny_root, scene="scan0", views=("3",))
    config = HeadDataManagerConfig(data=tiny_root, dataparser=parser, rays_on_head=True, train_num_rays_per_batch=16)
    manager = config.setup(device="cpu", test_mode="test", world_size=1, local_rank=0)
    manager.next_eval(0)
    assert not asked and "rays" not in vars(manager.ray_pool)
    for step in range(3):
        manager.next_train(step)
    assert len(asked) == 1


def test_a_scene_is_read_once_and_says_so_once(own_root, monkeypatch, capsys):
    read = []
    h3ds_dataparser._say_once.cache_clear()
    monkeypatch.setattr(h3ds_scene, "read_mask", lambda path: read.append(path) or read_mask(path))
    for _ in range(3):
        outputs_of(own_root, "val", views=("all",))
    assert len(read) == len(set(read)) and read
    assert capsys.readouterr().out.count("No other view") == 1
    read[0].write_bytes(read[0].read_bytes())
    count = len(read)
    outputs_of(own_root, "val", views=("all",))
    assert len(read) == 2 * count


def test_pixels_at_the_masks_edge_can_be_left_out(tiny_root):
    dataset = HeadDataset(outputs_of(tiny_root))
    every, sure = (pool_on_head(dataset, 64, skip_edge_px) for skip_edge_px in (0.0, 1.0))
    in_mask = every.rays.in_mask.view(-1, 48, 48).bool()
    edge = torch.zeros_like(in_mask)
    for axis in (1, 2):
        change = in_mask.diff(dim=axis)
        edge.narrow(axis, 0, 47)[change] = True
        edge.narrow(axis, 1, 47)[change] = True
    drawn = [torch.zeros(edge.numel(), dtype=torch.bool) for _ in range(2)]
    for which, pool in zip(drawn, (every, sure), strict=True):
        which[torch.cat(pool.strata.indices)] = True
    assert drawn[0].all() and torch.equal(drawn[1], ~edge.flatten())
    with pytest.raises(InputError, match="skip-edge-px 99.0 leaves no pixel"):
        pool_on_head(dataset, 64, 99.0).draw()


def test_rays_on_a_head_that_fills_its_photos(own_root):
    for mask in (own_root / SCENE / "mask").iterdir():
        pixels = np.full((48, 48), 255, np.uint8)
        pixels[0, 0] = 0
        Image.fromarray(pixels).save(mask)
    _, batch = pool_on_head(HeadDataset(outputs_of(own_root)), 1000).draw()
    assert batch["weight"].mean() == pytest.approx(1.0, rel=0.01)


def test_a_dataparser_that_gives_less_is_told_what_is_missing(tiny_root):
    outputs = H3dsDataParserConfig(data=tiny_root, scene="scan0").setup().get_dataparser_outputs("train")
    del outputs.metadata["camera_axes"], outputs.metadata["scene_id"]
    with pytest.raises(InputError, match="gave no camera_axes, scene_id"):
        HeadDataset(outputs)
