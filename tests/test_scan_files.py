"""The scan's side of a scene: odd files are read for what they say, damaged ones named before anything is meshed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_root import SCENE

from baseh3d_ns.data.h3ds_root import open_h3ds
from baseh3d_ns.data.obj import read_obj
from baseh3d_ns.errors import InputError
from baseh3d_ns.evaluation.scores import check_scene, mesh_and_score


def change(root: Path, name: str, edit) -> None:
    path = root / SCENE / name
    path.write_bytes(edit(path.read_bytes()))


def content(new: bytes):
    return lambda _: new


def first(old: bytes, new: bytes):
    return lambda text: text.replace(old, new, 1)


def without(start: bytes):
    return lambda text: b"\n".join(line for line in text.splitlines() if not line.startswith(start))


def added(line: bytes):
    return lambda text: text + line + b"\n"


def complaint(root: Path) -> str:
    def mesher(_: float):
        raise AssertionError("meshed before the scan was checked")

    with pytest.raises(InputError) as caught:
        mesh_and_score(open_h3ds(root).h3ds, SCENE, mesher, 1.0)
    message = str(caught.value)
    assert "\n" not in message and "unzip" not in message
    return message


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (content(b""), "names no landmark"),
        (content(b"# nothing\n\n"), "names no landmark"),
        (without(b"nose_tip"), "no landmark nose_tip"),
        (first(b"nose_tip ", b"nose_tip x"), "no vertex number"),
        (added(b"chin -3"), "'-3' is no vertex number"),
        (added(b"chin 999999"), "'999999' is no vertex number from 0 to 2561"),
        (added(b"chin 1.5"), "'1.5' is no vertex number"),
        (added(b"chin nan"), "'nan' is no vertex number"),
        (added("chin ²".encode()), "no vertex number"),
        (added(b"chin 99999999999999999999999"), "no vertex number"),
        (added(b"chin"), "'chin' is no new name"),
        (added(b"nose_tip 3"), "'nose_tip 3' is no new name"),
        (content(b"\x00\xff\x01\x80" * 50), "is no new name"),
    ],
)
def test_damaged_landmarks_are_named(own_root, edit, words):
    change(own_root, "landmarks.txt", edit)
    message = complaint(own_root)
    assert "landmarks.txt" in message and words in message


@pytest.mark.parametrize("name", ["face", "face_sphere"])
@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (content(b""), "no whole triangle"),
        (content(b"7\n"), "no whole triangle"),
        (added(b"nose"), "'nose' is no vertex number"),
        (added(b"1.5"), "'1.5' is no vertex number"),
        (added(b"-3"), "'-3' is no vertex number"),
        (added(b"999999"), "'999999' is no vertex number"),
        (added(b"1 2"), "'1 2' is no vertex number"),
        (added(b"inf"), "'inf' is no vertex number"),
    ],
)
def test_damaged_regions_are_named(own_root, name, edit, words):
    change(own_root, f"regions/{name}.txt", edit)
    message = complaint(own_root)
    assert f"{name}.txt" in message and words in message


def test_a_vertex_listed_twice_counts_once(tiny_root, own_root):
    change(own_root, "regions/face.txt", lambda text: text + text)
    once, twice = (open_h3ds(root).h3ds.load_region(SCENE, "face") for root in (tiny_root, own_root))
    np.testing.assert_array_equal(twice, once)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (content(b""), "has no vertices"),
        (content(b"\x89PLY\x00\x01\xfe\xff" * 500), "has no vertices"),
        (without(b"f"), "has no faces"),
        (without(b"v"), "no face of three or more of its 0 vertices"),
        (first(b"v ", b"v nan 0 0\nv "), "1 of its vertices are not finite"),
        (first(b"v ", b"v 0 -inf 0\nv "), "1 of its vertices are not finite"),
        (first(b"v ", b"v 1 2\nv "), "'v 1 2' is no vertex"),
        (lambda text: text.replace(b".", b","), "three numbers with decimal points"),
        (added(b"f 1 2 999999"), "'f 1 2 999999' is no face"),
        (added(b"f 1 2 -999999"), "'f 1 2 -999999' is no face"),
        (added(b"f 0 1 2"), "'f 0 1 2' is no face"),
        (added(b"f 1 2"), "'f 1 2' is no face"),
        (added(b"f 1 2 3.5"), "'f 1 2 3.5' is no face"),
        (lambda text: text.replace(b"v ", b"v 1e"), "is no vertex"),
        (lambda text: text[: len(text) // 2], "is cut off: its last line has no end"),
    ],
)
def test_a_damaged_scan_is_named(own_root, edit, words):
    change(own_root, "full_head.obj", edit)
    message = complaint(own_root)
    assert "full_head.obj" in message and words in message


def moved(text: bytes, change) -> bytes:
    """The text of an .obj with other places of its vertices."""
    lines = [line.split() for line in text.decode().splitlines()]
    return "\n".join(
        f"v {' '.join(f'{x:.8f}' for x in change(np.array(words[1:], float)))}" if words[0] == "v" else " ".join(words)
        for words in lines
    ).encode()


@pytest.mark.parametrize(("factor", "unit"), [(1e-3, "metres"), (1 / 25.4, "inches"), (25.4, "inches"), (0.1, "centi")])
def test_a_scan_in_another_unit_is_named(own_root, factor, unit):
    change(own_root, "full_head.obj", lambda text: moved(text, lambda vertex: vertex * factor))
    message = complaint(own_root)
    assert "full_head.obj" in message and unit in message and f"by {1 / factor:.6g}" in message


@pytest.mark.parametrize("shift_mm", [(2000.0, 0.0, 0.0), (0.0, 250.0, 0.0), (0.0, 0.0, 180.0)])
def test_a_scan_outside_the_ball_of_the_photos_is_named(own_root, shift_mm):
    change(own_root, "full_head.obj", lambda text: moved(text, lambda vertex: vertex + shift_mm))
    message = complaint(own_root)
    assert "full_head.obj lies elsewhere than the head" in message and "--scan" in message


def test_a_scan_of_a_scene_without_cameras_is_scored_where_it_lies(own_root):
    change(own_root, "full_head.obj", lambda text: moved(text, lambda vertex: vertex + 2000.0))
    (own_root / SCENE / "cameras.npz").unlink()
    check_scene(open_h3ds(own_root).h3ds, SCENE)


BOM = b"\xef\xbb\xbf"


@pytest.mark.parametrize(
    ("name", "edit"),
    [
        ("full_head.obj", lambda text: BOM + text),
        ("full_head.obj", lambda text: text.replace(b" ", b"\t")),
        ("full_head.obj", lambda text: b"# f is a face, v a vertex\nf_count 3\n" + text.replace(b"v ", b"v  ", 3)),
        ("full_head.obj", lambda text: text.replace(b"\n", b"\r\n")),
        ("full_head.obj", lambda text: text.replace(b"\n", b"\r")),
        ("full_head.obj", lambda text: text.replace(b"f ", b"f \\\n")),
        ("full_head.obj", lambda text: "# Köpfe\n".encode("latin-1") + text.replace(b"\n", b" # v 1 2 3\n")),
        ("full_head.obj", lambda text: text.decode().encode("utf-16")),
        ("landmarks.txt", lambda text: b"# landmarks\n\n" + text + b"\n\n"),
        ("landmarks.txt", lambda text: BOM + text.replace(b"\n", b"\r\n").replace(b" ", b"\t")),
        ("regions/face.txt", lambda text: BOM + text + b"\n# end\n"),
        ("regions/face_sphere.txt", lambda text: b"# face\r\n\r\n" + text.replace(b"\n", b"  \r\n")),
        ("../version.txt", lambda text: BOM + text),
        ("../config.toml", lambda text: BOM + text.replace(b"\n", b"\r\n")),
        ("../config.toml", lambda text: "# Köpfe\n".encode("latin-1") + text),
    ],
)
def test_text_files_of_any_editor_say_the_same(tiny_root, own_root, name, edit):
    change(own_root, name, edit)
    plain, odd = (open_h3ds(root).h3ds for root in (tiny_root, own_root))
    check_scene(odd, SCENE)
    np.testing.assert_array_equal(odd.load_mesh(SCENE).vertices, plain.load_mesh(SCENE).vertices)
    np.testing.assert_array_equal(odd.load_mesh(SCENE).faces, plain.load_mesh(SCENE).faces)
    assert odd.load_landmarks(SCENE) == plain.load_landmarks(SCENE)
    assert odd.helper.version_dataset() == plain.helper.version_dataset() == "tiny-1"
    for region in ("face", "face_sphere"):
        np.testing.assert_array_equal(odd.load_region(SCENE, region), plain.load_region(SCENE, region))


def test_a_scan_is_read_as_the_package_reads_it(tiny_root):
    from h3ds.mesh import Mesh

    path = tiny_root / SCENE / "full_head.obj"
    theirs, (vertices, faces) = Mesh().load(str(path)), read_obj(path)
    assert (theirs.vertices == vertices).all() and (theirs.faces == faces).all()


def test_seams_groups_quads_and_relative_numbers_keep_the_files_numbering(tmp_path):
    (tmp_path / "a.obj").write_text(
        "mtllib none.mtl\nv 0 0 0 1 0 0\nv 1 0 0 0 1 0\nvt 0 0\nvt 1 1\nvn 0 0 1\ng one\nusemtl a\nv 1 1 0\nv 0 1 0\n"
        "v 9 9 9\nf 1/1/1 2/2/1 3/1/1 4/2/1\nusemtl b\ng two\nv 5 5 5\nf -1// -6//1 2//1\n"
    )
    vertices, faces = read_obj(tmp_path / "a.obj")
    assert vertices.tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [9, 9, 9], [5, 5, 5]]
    assert faces.tolist() == [[0, 1, 2], [0, 2, 3], [5, 0, 1]]
