"""Bytes changed at random in every file that we read: the right kind of result, or one sentence."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny_root import SCENE

from baseh3d_ns.benchmark.cells import Cell, FitSpec, SceneId
from baseh3d_ns.benchmark.read_definition import read_definition
from baseh3d_ns.benchmark.results import load_result
from baseh3d_ns.data.h3ds_root import open_h3ds
from baseh3d_ns.data.h3ds_scene import read_cameras
from baseh3d_ns.data.obj import read_obj
from baseh3d_ns.data.pictures import read_mask, read_photo
from baseh3d_ns.data.scan_files import read_landmarks, read_region
from baseh3d_ns.errors import InputError
from baseh3d_ns.evaluation.scan_file import read_scan
from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.heads.head_file import Head, save_head
from baseh3d_ns.heads.readers import open_head
from baseh3d_ns.shape_space import sources

EXAMPLES = settings(max_examples=int(os.environ.get("FUZZ_EXAMPLES", "200")))
"""More by hand: `FUZZ_EXAMPLES=2000 pytest tests/test_fuzz_readers.py tests/test_own_photos.py -k damaged`."""
WORDS = [b"\n", b"nan", b"-1", b"1e999", b"\x00", b"[", b"]", b'"', b"f ", b"v ", b"\xef\xbb\xbf", b"\xff\xff\xff\x7f"]


@st.composite
def damages(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """A few bytes overwritten, pieces cut out, words put in."""
    edits = draw(
        st.lists(
            st.tuples(
                st.floats(0.0, 1.0), st.integers(0, 12), st.one_of(st.binary(max_size=4), st.sampled_from(WORDS))
            ),
            min_size=1,
            max_size=4,
        )
    )

    def damage(content: bytes) -> bytes:
        for where, removed, put in edits:
            start = int(where * len(content))
            content = content[:start] + put + content[start + removed :]
        return content

    return damage


def readable(path: Path, content: bytes, damage: Callable[[bytes], bytes], read: Callable, check: Callable) -> None:
    """Read a file with damaged content: the result passes its check, or the sentence names the file."""
    path.write_bytes(damage(content))
    try:
        result = read(path)
    except InputError as error:
        assert "\n" not in str(error) and path.name in str(error)
    else:
        assert check(result)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


CONFIG = b"""version = "tiny-1"
[scenes.aa]
tags = ['tiny', "h3d-net"]
views = 5
default_views_configs = {1 = [2], 3 = [2, 0, 4]}
"""


@given(damages())
@EXAMPLES
def test_config(folder, damage):
    (folder / "version.txt").write_text("tiny-1")

    def read(path: Path):
        root = open_h3ds(path.parent)
        ids = root.scene_ids()
        return [(root.resolve_views(name, ("all",)), sorted(root.h3ds.helper.scene_tags(name))) for name in ids]

    try:
        readable(folder / "config.toml", CONFIG, damage, read, bool)
    finally:
        (folder / "config.toml").unlink()


@given(damages())
@EXAMPLES
def test_cameras(folder, tiny_root, damage):
    content = (tiny_root / SCENE / "cameras.npz").read_bytes()
    readable(
        folder / "cameras.npz",
        content,
        damage,
        lambda path: read_cameras(path, 5),
        lambda found: len(found[0]) == 5 and np.isfinite(found[0]).all(),
    )


@given(damages())
@EXAMPLES
def test_landmarks(folder, damage):
    readable(
        folder / "landmarks.txt",
        b"right_eye 12\r\nleft_eye 40\n# the nose\nnose_tip 7\n",
        damage,
        lambda path: read_landmarks(path, 50),
        lambda found: found and all(0 <= vertex < 50 for vertex in found.values()),
    )


BALL = trimesh.creation.icosphere(subdivisions=1)


@given(damages())
@EXAMPLES
def test_regions(folder, damage):
    readable(
        folder / "face.txt",
        "".join(f"{vertex}\n" for vertex in range(30)).encode(),
        damage,
        lambda path: read_region(path, 42, BALL.faces),
        lambda region: region.min() >= 0 and region.max() < 42,
    )


OBJ = trimesh.exchange.obj.export_obj(BALL, include_normals=True).encode()


def sound(vertices: np.ndarray, faces: np.ndarray) -> bool:
    return bool(np.isfinite(vertices).all() and faces.min() >= 0 and faces.max() < len(vertices))


@given(damages())
@EXAMPLES
def test_obj(folder, damage):
    readable(folder / "full_head.obj", OBJ, damage, read_obj, lambda found: sound(*found))


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".glb"])
@given(damage=damages())
@EXAMPLES
def test_meshes_of_a_shape_space(folder, suffix, damage):
    content = OBJ if suffix == ".obj" else BALL.export(file_type=suffix[1:])
    read = sources._read_mesh
    readable(folder / f"a{suffix}", content, damage, read, lambda found: isinstance(found[0], trimesh.Trimesh))


def scans() -> list[tuple[str, bytes]]:
    """The head of the user's scan in every format, in millimetres."""
    head = BALL.copy()
    head.apply_scale(120.0)
    made = {suffix: head.export(file_type=suffix[1:]) for suffix in (".ply", ".obj", ".stl", ".off", ".glb")}
    return [(suffix, content.encode() if isinstance(content, str) else content) for suffix, content in made.items()]


@pytest.mark.parametrize(("suffix", "content"), scans(), ids=lambda part: part if isinstance(part, str) else "")
@given(damage=damages())
@EXAMPLES
def test_scans_of_the_user(folder, suffix, content, damage):
    def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
        mesh = read_scan(path, "mm")
        return mesh.vertices, mesh.faces

    readable(folder / f"scan{suffix}", content, damage, read, lambda found: sound(*found))


RESULT = Cell(FitSpec("idr", {}, SceneId("scan1"), "3", 0, 8, 1.0, 2.0, ()), "row").no_result("")


@given(damages())
@EXAMPLES
def test_results_of_a_benchmark(folder, damage):
    content = json.dumps(asdict(replace(RESULT, status="done", face_mm=1.25))).encode()
    readable(folder / "result.json", content, damage, lambda path: load_result(path.parent), lambda found: found.row)


@given(damages())
@EXAMPLES
def test_definitions_of_a_benchmark(folder, damage):
    content = (Path(__file__).parent.parent / "configs" / "synthetic_small.toml").read_bytes()
    readable(folder / "bench.toml", content, damage, read_definition, lambda found: found.rows)


@pytest.mark.parametrize(("read", "name"), [(read_photo, "a.jpg"), (read_photo, "a.png"), (read_mask, "a.png")])
@given(damage=damages())
@EXAMPLES
def test_pictures(folder, read, name, damage):
    pixels = np.zeros((24, 20), np.uint8)
    pixels[5:20, 4:15] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).convert("RGB").save(folder / name, exif=exif)
    readable(folder / name, (folder / name).read_bytes(), damage, read, lambda found: found.size > 0)


def head() -> Head:
    weights = {"sdf.lin0.weight": torch.ones(3, 3), "colour.lin0.bias": torch.zeros(3)}
    return Head(weights, {"steps": 3, "scene": "aa"}, SceneFrame((1.0, 2.0, 3.0), 100.0), torch.ones(2, 3))


def is_head(found: Head) -> bool:
    return isinstance(found.provenance, dict) and all(isinstance(one, torch.Tensor) for one in found.weights.values())


@given(damages())
@EXAMPLES
def test_head_files(folder, damage):
    save_head(folder / "made.safetensors", head())
    content = (folder / "made.safetensors").read_bytes()
    readable(folder / "head.safetensors", content, damage, open_head, is_head)


@given(damages())
@EXAMPLES
def test_checkpoints(folder, damage):
    tensors = {"_model.field.sdf_network.lin0.bias": torch.ones(3), "_model.frame_mm": torch.tensor([1.0, 2, 3, 100])}
    torch.save({"step": 7, "pipeline": tensors, "optimizers": {}}, folder / "made.ckpt")
    content = (folder / "made.ckpt").read_bytes()
    readable(folder / "step-000000007.ckpt", content, damage, open_head, is_head)
