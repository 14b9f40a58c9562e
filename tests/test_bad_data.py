"""Every damaged or missing file gets one sentence that names it and the remedy."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_root import CENTRE_MM, SCENE

from baseh3d_ns.cameras import Pinhole, decompose
from baseh3d_ns.data.h3ds_dataparser import H3dsDataParserConfig
from baseh3d_ns.data.h3ds_root import open_h3ds
from baseh3d_ns.data.h3ds_scene import load_scene
from baseh3d_ns.errors import InputError


def complaint(root: Path, **options) -> str:
    with pytest.raises(InputError) as caught:
        H3dsDataParserConfig(data=root, scene=SCENE, **options).setup()
    message = str(caught.value)
    assert "\n" not in message and (".zip" in message or not re.search(r"\bunzip\b", message))
    return message


def rewrite_cameras(root: Path, change) -> None:
    path = root / SCENE / "cameras.npz"
    matrices = dict(np.load(path))
    change(matrices)
    np.savez(path, **matrices)


def drop(name):
    return lambda matrices: matrices.pop(name)


def put(name, value):
    return lambda matrices: matrices.update({name: matrices[name] * value})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (drop("world_mat_3"), "world_mat_3"),
        (drop("scale_mat_0"), "scale_mat_0"),
        (put("world_mat_1", np.nan), "world_mat_1"),
        (put("world_mat_1", 0.0), "world_mat_1"),
        (put("scale_mat_0", 0.0), "scale_mat_0"),
        (put("scale_mat_0", np.diag([1.0, 1.0, 0.0, 1.0])), "scale_mat_0"),
    ],
)
def test_cameras(own_root, change, named):
    rewrite_cameras(own_root, change)
    message = complaint(own_root)
    assert named in message and "cameras.npz" in message


def seen_from(centre_mm, turned=False):
    """View 1's camera at another place, with the same direction or the opposite one."""

    def change(matrices):
        camera = Pinhole(*decompose(matrices["world_mat_1"][:3]), 48, 48)
        rotation = np.diag([-1.0, 1.0, -1.0]) @ camera.rotation if turned else camera.rotation
        centre = camera.centre_mm if centre_mm is None else np.asarray(centre_mm)
        matrices["world_mat_1"] = Pinhole(camera.intrinsics, rotation, -rotation @ centre, 48, 48).world_mat

    return change


def multiplied(left=None, right=None):
    """View 1's P times other matrices."""

    def change(matrices):
        matrices["world_mat_1"] = (np.eye(4) if left is None else left) @ matrices["world_mat_1"]
        matrices["world_mat_1"] = matrices["world_mat_1"] @ (np.eye(4) if right is None else right)

    return change


def of_all(kind, left=None, right=None):
    """All matrices of a kind (world_mat, scale_mat) times others."""

    def change(matrices):
        for name in [name for name in matrices if name.startswith(kind)]:
            matrices[name] = (np.eye(4) if left is None else left) @ matrices[name]
            matrices[name] = matrices[name] @ (np.eye(4) if right is None else right)

    return change


def in_metres(matrices):
    """The same cameras and ball in another unit."""
    mm_per_metre = np.diag([1000.0, 1000.0, 1000.0, 1.0])
    of_all("world_mat", right=mm_per_metre)(matrices)
    of_all("scale_mat", left=np.linalg.inv(mm_per_metre))(matrices)


def all_like_view_2(matrices):
    matrices.update({f"world_mat_{view}": matrices["world_mat_2"] for view in range(5)})


MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])
SHIFTED = np.eye(4)
SHIFTED[0, 2] = 5000.0
BESIDE = np.eye(4)
BESIDE[0, 3] = 140.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (seen_from(CENTRE_MM), "'world_mat_1' puts its camera into the ball"),
        (seen_from(CENTRE_MM + [0.0, 0.0, 90.0]), "'world_mat_1' puts its camera into the ball"),
        (seen_from(None, turned=True), "'world_mat_1' has the head behind"),
        (multiplied(left=MIRROR), "'world_mat_1' has the head behind its camera, or is mirrored"),
        (multiplied(right=MIRROR), "'world_mat_1' has the head behind its camera, or is mirrored"),
        (multiplied(left=SHIFTED), "'world_mat_1' sees the head outside its photo"),
        (of_all("scale_mat", left=BESIDE), "sees the head outside its photo"),
        (multiplied(left=np.diag([1.0, 3.0, 1.0, 1.0])), "'world_mat_1' has focal lengths of 76.8 and 216 pixels"),
        (of_all("world_mat", left=np.diag([2.0, 2.0, 1.0, 1.0])), "is of photos 2 times as wide and high"),
        (in_metres, "it has a head's size in metres: multiply its coordinates by 1000"),
        (of_all("scale_mat", right=np.diag([1e3, 1e3, 1e3, 1.0])), "radius of 1.5e+05"),
        (put("world_mat_1", 1.0 + 1.0j), "is damaged"),
        (all_like_view_2, "views 0, 1, 2, 3, 4 all stand on one spot"),
    ],
)
def test_cameras_that_cannot_have_taken_their_photos(own_root, change, words):
    rewrite_cameras(own_root, change)
    message = complaint(own_root, views=("all",))
    assert words in message and "cameras.npz" in message


def test_other_arrays_beside_the_cameras_do_not_matter(own_root):
    rewrite_cameras(own_root, lambda matrices: matrices.update(notes=np.array("taken in the garden")))
    H3dsDataParserConfig(data=own_root, scene=SCENE).setup()


def test_training_views_on_one_spot(own_root):
    rewrite_cameras(own_root, lambda matrices: matrices.update(world_mat_1=matrices["world_mat_0"]))
    assert "views 0, 1 all stand on one spot" in complaint(own_root, views=("0,1",))
    H3dsDataParserConfig(data=own_root, scene=SCENE, views=("0,2",)).setup()


@pytest.mark.parametrize("factor", [1e-6, 1e-300, -1.0, 1e300])
def test_a_multiple_of_p_is_the_same_camera(tiny_root, own_root, factor):
    rewrite_cameras(own_root, put("world_mat_1", factor))
    before, after = (
        H3dsDataParserConfig(data=root, scene=SCENE).setup().scene.views[1].camera for root in (tiny_root, own_root)
    )
    np.testing.assert_allclose(after.world_mat, before.world_mat, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"not an archive"])
def test_cameras_file_cut_off(own_root, content):
    (own_root / SCENE / "cameras.npz").write_bytes(content)
    assert "cameras.npz" in complaint(own_root)


def test_cameras_that_would_execute_code(own_root, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/pwned",)

    np.savez(own_root / SCENE / "cameras.npz", world_mat_0=np.array([Evil()], dtype=object))
    assert "cameras.npz" in complaint(own_root)
    assert not (tmp_path / "pwned").exists()


def mask_path(root):
    return root / SCENE / "mask" / "mask_0001.png"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "all black"),
        (255, "all white"),
        ("inverted", "inverted"),
        ("wide", "50x48"),
        ("text", "not a readable image"),
    ],
)
def test_masks(own_root, value, words):
    path = mask_path(own_root)
    mask = np.asarray(Image.open(path))
    if value == "text":
        path.write_text("not an image")
    elif value == "inverted":
        Image.fromarray(255 - mask).save(path)
    elif value == "wide":
        Image.fromarray(np.pad(mask, ((0, 0), (1, 1)))).save(path)
    else:
        Image.fromarray(np.full_like(mask, value)).save(path)
    message = complaint(own_root, views=("all",))
    assert words in message and "mask_0001.png" in message


def test_an_odd_view_that_is_not_trained_on_is_left_out_and_told(own_root, capsys):
    """One of a hundred photos of a real scene must not cost the other ninety-nine."""

    def look_away(matrices: dict, *views: int) -> None:
        for view in views:
            matrices[f"world_mat_{view}"] = np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrices[f"world_mat_{view}"]

    rewrite_cameras(own_root, lambda matrices: look_away(matrices, 1))
    parser = H3dsDataParserConfig(data=own_root, scene=SCENE, views=("0,2",)).setup()
    train, others = (parser.get_dataparser_outputs(split).metadata["view_indices"] for split in ("train", "val"))
    assert (train, others) == ([0, 2], [3, 4])
    said = " ".join(capsys.readouterr().out.split())
    assert "Left out 1 of 5 photos" in said and "world_mat_1" in said
    assert "world_mat_1" in complaint(own_root, views=("0,1",))
    rewrite_cameras(own_root, lambda matrices: look_away(matrices, 0, 2, 3, 4))
    with pytest.raises(InputError, match="world_mat_0"):
        load_scene(open_h3ds(own_root), SCENE, needed=())


def test_a_missing_mask_and_one_too_many(own_root):
    mask_path(own_root).rename(own_root / SCENE / "mask" / "mask_0099.png")
    assert "mask_0001.png is missing" in complaint(own_root)
    (own_root / SCENE / "mask" / "mask_0099.png").rename(mask_path(own_root))
    (own_root / SCENE / "image" / "img_0099.jpg").write_bytes(b"")
    assert "6 files but the scene has 5 views" in complaint(own_root)


def test_a_scene_that_is_not_unzipped(own_root):
    (own_root / SCENE).rename(own_root / "elsewhere")
    message = complaint(own_root)
    assert SCENE in message and "00000000000000bb" in message


def test_roots(tmp_path):
    assert "no such data folder" in complaint(tmp_path / "nowhere")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "version.txt" in complaint(empty) and "baseh3d synth" in complaint(empty)
    (empty / "h3ds_0.2.zip").write_bytes(b"")
    assert "not unzipped" in complaint(empty)
    assert "unzip it" in complaint(empty / "h3ds_0.2.zip")
    (empty / "version.txt").write_text("0.3\n")
    assert "0.3" in complaint(empty) and "0.2 and 0.4" in complaint(empty)


def test_a_folder_near_a_root_names_the_root(own_root):
    for folder in (own_root / SCENE, own_root / SCENE / "image", own_root.parent):
        assert f"its root is {own_root}: pass that" in complaint(folder)


def test_a_number_that_no_scene_has_says_which_there_are(own_root):
    with pytest.raises(InputError, match=f"scan0 to scan1 .{SCENE}, 00000000000000bb."):
        H3dsDataParserConfig(data=own_root, scene="scan7").setup()


def test_the_first_line_of_a_version_file_counts(own_root):
    path = own_root / "version.txt"
    path.write_text(path.read_text().strip() + "\r\nsee the README\n", newline="")
    assert H3dsDataParserConfig(data=own_root, scene=SCENE).setup().scene.views


def test_a_version_file_of_anything_is_one_short_sentence(own_root):
    (own_root / "version.txt").write_bytes(bytes(range(1, 256)) * 40)
    assert len(complaint(own_root)) < 600


def test_root_with_a_config_of_another_version(own_root):
    (own_root / "version.txt").write_text("0.4\n")
    message = complaint(own_root)
    assert "0.4" in message and "tiny-1" in message


@pytest.mark.parametrize(
    "content",
    [
        "version = ",
        "version",
        "scenes = 3",
        'version = "tiny-1"',
        'version = "tiny-1"\nscenes = 3',
        'version = "tiny-1"\n[scenes]\naa = 3',
        'version = "tiny-1"\n[scenes.aa]\nviews = 0',
        'version = "tiny-1"\n[scenes.aa]\nviews = 2',
        'version = "tiny-1"\n[scenes.aa]\nviews = 2\ndefault_views_configs = 3',
        'version = "tiny-1"\n[scenes.aa]\nviews = 2\n[scenes.aa.default_views_configs]\n1 = [2]',
        'version = "tiny-1"\n[scenes.aa]\nviews = 2\n[scenes.aa.default_views_configs]\n1 = ["a"]',
        'version = "tiny-1"\n[scenes.aa]\nviews = 2\n[scenes.aa.default_views_configs]\n1 = []',
        'version = "tiny-1"\n[scenes.aa]\nviews = 2\n[scenes.aa.default_views_configs]\n1 = [0.0]',
        'version = "tiny-1"\n[scenes.aa]\nviews = 2\n[scenes.aa.default_views_configs]\n1 = [[0]]',
        'version = "tiny-1"\n[scenes.aa]\nviews = 2\n[scenes.aa.default_views_configs]\n1 = [true]',
        'version = "tiny-1"\n[scenes.aa]\nviews = 2\n[scenes.aa.default_views_configs]\n1 = 0',
        'version = "tiny-1"\n[scenes.aa]\nviews = 2\ntags = [["a"]]\n[scenes.aa.default_views_configs]',
        'version = "tiny-1"\n[scenes.aa]\nviews = 2\ntags = [1.5]\n[scenes.aa.default_views_configs]',
        'version = "tiny-1"\n[scenes.aa]\nviews = 2\ntags = "a"\n[scenes.aa.default_views_configs]',
        'version = "tiny-1"\n[scenes.aa]\nviews = true\n[scenes.aa.default_views_configs]',
        'version = "tiny-1"\n[scenes.aa]\nviews = 2.0\n[scenes.aa.default_views_configs]',
        'version = "tiny-1"\n[scenes.aa]\nviews = 1000000\n[scenes.aa.default_views_configs]',
        'version = "tiny-1"\n[scenes."../aa"]\nviews = 2\n[scenes."../aa".default_views_configs]',
        'version = "tiny-1"\n[scenes.""]\nviews = 2\n[scenes."".default_views_configs]',
        'version = "tiny-1"\nscenes = ["aa"]',
        'version = ["tiny-1"]\n[scenes]',
        "version = " + 5000 * "[",
    ],
)
def test_a_broken_config(own_root, content):
    (own_root / "config.toml").write_text(content)
    assert "config.toml is not an h3ds configuration" in complaint(own_root)


@pytest.mark.parametrize("factor", [0.5, 0.0, float("nan")])
def test_downscale(tiny_root, factor):
    assert "--downscale" in complaint(tiny_root, downscale=factor)


def test_other_dataparsers_are_refused_with_the_remedy():
    from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs

    from baseh3d_ns.data.dataset import HeadDataset

    with pytest.raises(InputError, match="h3ds-data"):
        HeadDataset(DataparserOutputs(image_filenames=[], cameras=None))
