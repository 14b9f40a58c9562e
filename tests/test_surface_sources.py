"""Heads to learn a shape space from: read, checked, aligned, sampled; test scenes never among them."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image
from scipy.spatial.transform import Rotation
from tiny_root import write_root
from trimesh.exchange.ply import export_ply

from baseh3d_ns.errors import InputError
from baseh3d_ns.frames import HEAD_FRAME, LANDMARKS_MM
from baseh3d_ns.mesh.files import save_mesh
from baseh3d_ns.shape_space import sources
from baseh3d_ns.shape_space.datamanager import SurfaceDataManagerConfig
from baseh3d_ns.shape_space.sources import _read_mesh, _vertex_colours, h3ds_scans
from baseh3d_ns.shape_space.surface_samples import HeadSamples, sample_mesh, standard_pose


def egg(axes_mm=(75.0, 110.0, 90.0), centre_mm=(0.0, -10.0, 10.0)) -> trimesh.Trimesh:
    """An open egg: no bottom."""
    ball = trimesh.creation.icosphere(subdivisions=3)
    ball.update_faces((ball.vertices[ball.faces][:, :, 1] > -0.8).all(axis=1))
    ball.remove_unreferenced_vertices()
    ball.apply_transform(np.diag([*axes_mm, 1.0]))
    ball.apply_translation(centre_mm)
    return ball


def load(folder: Path, **options):
    source = SurfaceDataManagerConfig(samples_per_head=400, **options).source(folder)
    return source, source.load(len(source.names))


def test_points_lie_on_the_surface_with_its_normals():
    mesh = egg()
    samples = sample_mesh(mesh, 500, 3, colours=np.tile([0.2, 0.4, 1.0], (len(mesh.vertices), 1)))
    closest, distance, face = trimesh.proximity.closest_point(mesh, HEAD_FRAME.to_world_mm(samples.points))
    assert distance.max() < 1e-3
    outwards = (samples.points * samples.normals).sum(axis=1)
    assert (outwards > 0).all()
    np.testing.assert_allclose(np.linalg.norm(samples.normals, axis=1), 1.0, atol=1e-5)
    assert (samples.colours == [51, 102, 255]).all()
    np.testing.assert_array_equal(samples.points, sample_mesh(mesh, 500, 3, None).points)


def test_landmarks_bring_a_head_home_rigidly():
    turn = Rotation.from_euler("yxz", [40, -20, 10], degrees=True).as_matrix()
    moved = {name: turn @ np.array(place) + [300.0, -50.0, 20.0] for name, place in LANDMARKS_MM.items()}
    pose = standard_pose(moved)
    for name, place in LANDMARKS_MM.items():
        np.testing.assert_allclose(pose[:3, :3] @ moved[name] + pose[:3, 3], place, atol=1e-6)
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1.0)


def test_landmarks_that_are_no_face_are_refused():
    with pytest.raises(InputError, match="names 2 of"):
        standard_pose({name: np.array(LANDMARKS_MM[name]) for name in ("nose_tip", "left_eye")})
    with pytest.raises(InputError, match="mesh's unit"):
        standard_pose({name: 10.0 * np.array(place) for name, place in LANDMARKS_MM.items()})


@pytest.mark.parametrize(("unit", "factor"), [("mm", 1.0), ("cm", 0.1), ("m", 0.001)])
def test_a_folder_of_meshes_in_any_unit(tmp_path, unit, factor):
    for name in ("b.ply", "a.obj", "c.glb"):
        mesh = egg()
        mesh.apply_scale(factor)
        mesh.export(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not read")
    source, samples = load(tmp_path, unit=unit)
    assert source.names == ["a.obj", "b.ply", "c.glb"]
    heights = [np.ptp(HEAD_FRAME.to_world_mm(head.points)[:, 1]) for head in samples]
    np.testing.assert_allclose(heights, 198.0, atol=6.0)


def test_landmarks_beside_a_mesh_are_used(tmp_path):
    mesh, shift = egg(), np.array([200.0, 100.0, -80.0])
    places = np.array(list(LANDMARKS_MM.values()))
    with_marks = trimesh.util.concatenate([mesh, trimesh.Trimesh(places, [[0, 1, 2], [3, 4, 5]], process=False)])
    with_marks.apply_translation(shift)
    with_marks.export(tmp_path / "head.ply")
    first = len(mesh.vertices)
    (tmp_path / "head.landmarks.txt").write_text("".join(f"{n} {first + i}\n" for i, n in enumerate(LANDMARKS_MM)))
    _, (samples,) = load(tmp_path)
    centre = HEAD_FRAME.to_world_mm(samples.points).mean(axis=0)
    assert np.abs(centre - mesh.triangles_center.mean(axis=0)).max() < 12.0
    (tmp_path / "head.landmarks.txt").write_text("nose_tip 99999\n")
    with pytest.raises(InputError, match="head.landmarks.txt: '99999' is no vertex number"):
        load(tmp_path)


def test_materials_keep_the_files_vertex_numbers(tmp_path):
    """The marks stand last in the file but belong to a material of their own, which trimesh reads as its own mesh."""
    mesh, shift = egg(), np.array([200.0, 100.0, -80.0])
    places = np.array(list(LANDMARKS_MM.values()))
    points = np.concatenate([mesh.vertices, places]) + shift
    first = len(mesh.vertices)
    (tmp_path / "a.mtl").write_text("newmtl skin\nKd 0.5 0.4 0.3\nnewmtl hair\nKd 0.1 0.1 0.1\n")
    lines = ["mtllib a.mtl", *(f"v {x:.4f} {y:.4f} {z:.4f}" for x, y, z in points), "usemtl hair"]
    lines += [f"f {first + a} {first + a + 1} {first + a + 2}" for a in (1, 4)]
    for material, faces in (("skin", mesh.faces[::2]), ("hair", mesh.faces[1::2])):
        lines += [f"usemtl {material}", *(f"f {a + 1} {b + 1} {c + 1}" for a, b, c in faces)]
    marks = "".join(f"{name} {first + number}\n" for number, name in enumerate(LANDMARKS_MM))
    (tmp_path / "a.landmarks.txt").write_bytes(b"\xef\xbb\xbf# marks\r\n\r\n" + marks.encode())
    (tmp_path / "a.obj").write_bytes(b"\xef\xbb\xbf" + "\n".join(lines).replace(" ", "\t").encode())
    _, (samples,) = load(tmp_path)
    centre = HEAD_FRAME.to_world_mm(samples.points).mean(axis=0)
    assert np.abs(centre - mesh.triangles_center.mean(axis=0)).max() < 12.0


def test_texture_seams_of_a_ply_keep_the_files_vertex_numbers(tmp_path):
    """trimesh parts the vertices there."""
    mesh = egg()
    header = ["ply", "format ascii 1.0", "comment TextureFile skin.png", f"element vertex {len(mesh.vertices)}"]
    header += [f"property float {axis}" for axis in "xyz"] + [f"element face {len(mesh.faces)}"]
    header += ["property list uchar int vertex_indices", "property list uchar float texcoord", "end_header"]
    corners = np.random.default_rng(0).random((len(mesh.faces), 6))
    lines = [" ".join(f"{number:.6f}" for number in vertex) for vertex in mesh.vertices]
    lines += [
        f"3 {a} {b} {c} 6 " + " ".join(f"{number:.4f}" for number in texture)
        for (a, b, c), texture in zip(mesh.faces, corners, strict=True)
    ]
    (tmp_path / "a.ply").write_text("\n".join([*header, *lines]) + "\n")
    Image.new("RGB", (8, 8), (90, 60, 40)).save(tmp_path / "skin.png")
    read, numbered = _read_mesh(tmp_path / "a.ply")
    np.testing.assert_allclose(numbered, mesh.vertices, atol=1e-5)
    assert len(read.vertices) > len(numbered)
    np.testing.assert_allclose(255.0 * _vertex_colours(read), np.tile([90, 60, 40], (len(read.vertices), 1)), atol=1.0)


def test_colours_of_a_glb_come_back_as_srgb(tmp_path):
    mesh = egg()
    mesh.visual.vertex_colors = np.tile(np.array([30, 128, 230], np.uint8), (len(mesh.vertices), 1))
    save_mesh(mesh, tmp_path / "a.glb")
    (samples,) = load(tmp_path, unit="m")[1]
    assert np.abs(samples.colours.astype(int) - [30, 128, 230]).max() <= 3


def test_a_mesh_in_inches_is_told_so(tmp_path):
    mesh = egg()
    mesh.apply_scale(1 / 25.4)
    mesh.export(tmp_path / "a.ply")
    with pytest.raises(InputError, match=r"a.ply: .*in inches: multiply its coordinates by 25.4"):
        load(tmp_path)


def damage(kind: str, folder: Path) -> None:
    mesh = egg()
    if kind == "faces":
        mesh = trimesh.PointCloud(mesh.vertices)
    if kind == "nan":
        vertices = np.array(mesh.vertices)
        vertices[3] = np.nan
        mesh = trimesh.Trimesh(vertices, mesh.faces, process=False)
    if kind == "unit":
        mesh.apply_scale(10.0)
    if kind == "elsewhere":
        mesh.apply_translation([400.0, 0.0, 0.0])
    if kind == "inwards":
        mesh.invert()
    if kind == "both":
        mesh = trimesh.Trimesh(mesh.vertices, np.concatenate([mesh.faces, mesh.faces[:, ::-1]]), process=False)
    mesh.export(folder / "odd.ply")
    if kind == "half":
        lines = export_ply(mesh, encoding="ascii").splitlines(keepends=True)
        (folder / "odd.ply").write_bytes(b"".join(lines[: 2 * len(lines) // 3]))
    if kind == "bytes":
        (folder / "odd.ply").write_bytes((folder / "odd.ply").read_bytes()[:200])


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("faces", "no faces"),
        ("nan", "1 of its vertices are not finite"),
        ("unit", "state its unit"),
        ("elsewhere", "give its landmarks"),
        ("bytes", "cannot be read"),
        ("half", "is cut off"),
        ("inwards", "faces do not look outwards"),
        ("both", "faces do not look outwards"),
    ],
)
def test_a_bad_mesh_is_named_with_the_remedy(tmp_path, kind, why):
    egg().export(tmp_path / "good.ply")
    damage(kind, tmp_path)
    with pytest.raises(InputError, match=f"odd.ply.*{why}") as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)


def test_what_is_no_colour_does_not_count_as_grey(tmp_path):
    """Texture coordinates without a picture; and vertices keep the file's order, which landmarks count in."""
    (tmp_path / "a.mtl").write_text("newmtl plain\nKd 0.5 0.4 0.3\n")
    mesh = egg()
    lines = ["mtllib a.mtl", "usemtl plain", *(f"v {x:.4f} {y:.4f} {z:.4f}" for x, y, z in mesh.vertices)]
    lines += ["vt 0.1 0.2", "vt 0.7 0.9"]
    lines += [f"f {a + 1}/{1 + i % 2} {b + 1}/1 {c + 1}/2" for i, (a, b, c) in enumerate(mesh.faces)]
    (tmp_path / "a.obj").write_text("\n".join(lines) + "\n")
    read, numbered = sources._read_mesh(tmp_path / "a.obj")
    np.testing.assert_allclose(numbered, mesh.vertices, atol=1e-3)
    np.testing.assert_allclose(read.bounds, mesh.bounds, atol=1e-3)
    (samples,) = load(tmp_path)[1]
    assert samples.colours is None


def test_heads_without_landmarks_or_colours_are_named(tmp_path, capsys):
    mesh = egg()
    mesh.visual.vertex_colors = np.tile(np.array([30, 128, 230], np.uint8), (len(mesh.vertices), 1))
    mesh.export(tmp_path / "coloured.ply")
    config = SurfaceDataManagerConfig(data=tmp_path, samples_per_head=50)
    assert config.setup().colours is not None and "no colours" not in capsys.readouterr().out
    egg().export(tmp_path / "grey.ply")
    assert config.setup().colours is None
    said = " ".join(capsys.readouterr().out.split())
    assert "1 of 2 heads have no colours (grey.ply), so colours are learned of none" in said
    assert said.count("2 of 2 heads have no landmarks beside them (coloured.ply, grey.ply)") == 1


def test_no_folder_and_no_meshes(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no .ply"):
        load(tmp_path)


def test_test_scenes_are_never_learned_from(tmp_path):
    """The ten scenes that H3D-Net was compared on carry the tag `h3d-net`."""
    ids = ("00000000000000aa", "00000000000000bb", "00000000000000cc")
    root = write_root(tmp_path / "h3ds", scenes=ids, size=16)
    config = (root / "config.toml").read_text()
    (root / "config.toml").write_text(config.replace("'tiny-1'", "'h3d-net'"))
    assert h3ds_scans(root) == [ids[0], ids[2]]
    assert SurfaceDataManagerConfig().source(root).names == [ids[0], ids[2]]
    (root / ids[2] / "full_head.obj").unlink()
    assert h3ds_scans(root) == [ids[0]]
    (root / "config.toml").write_text(config.replace("'tiny'", "'h3d-net'"))
    with pytest.raises(InputError, match="without the tag 'h3d-net'"):
        SurfaceDataManagerConfig().source(root)


def test_chosen_scenes_of_a_root(tmp_path):
    ids = ("00000000000000aa", "00000000000000bb", "00000000000000cc")
    root = write_root(tmp_path / "h3ds", scenes=ids, size=16)
    assert SurfaceDataManagerConfig(scenes=(ids[2],)).source(root).names == [ids[2]]
    with pytest.raises(InputError, match=r"no scan '0000' to learn from .*; nearest: 0000"):
        SurfaceDataManagerConfig(scenes=("0000",)).source(root)
    config = (root / "config.toml").read_text()
    (root / "config.toml").write_text(config.replace("'tiny-1'", "'h3d-net'"))
    with pytest.raises(InputError, match=f"no scan '{ids[1]}'"):
        SurfaceDataManagerConfig(scenes=(ids[0], ids[1])).source(root)
    egg().export(tmp_path / "egg.ply")
    with pytest.raises(InputError, match="is no H3DS root"):
        SurfaceDataManagerConfig(scenes=(ids[0],)).source(tmp_path)
    with pytest.raises(InputError, match="give it with --data"):
        SurfaceDataManagerConfig(scenes=(ids[0],)).source(None)


def test_the_packaged_configs_know_their_test_scenes():
    """Scenes that the tag leaves out in the real data: ten of config_v1."""
    import toml

    from baseh3d_ns.data.h3ds_package import ConfigsHelper

    scenes = toml.load(ConfigsHelper.get_config_file("config_v1"))["scenes"]
    assert sum(sources.TEST_TAG in scene["tags"] for scene in scenes.values()) == 10


def test_a_damaged_file_of_a_synthetic_head_is_named(tmp_path):
    from baseh3d_ns.synthetic.head_samples import load_samples

    file = tmp_path / "00000.npz"
    np.savez(file, points=np.zeros((9, 3)), normals=np.zeros((9, 3), np.int8), colours=np.zeros((9, 3), np.uint8))
    assert load_samples(file).points.shape == (9, 3)
    for content in (file.read_bytes()[:200], b"", b"no archive"):
        file.write_bytes(content)
        with pytest.raises(InputError, match=r"00000.npz is damaged .*: remove it"):
            load_samples(file)


def test_a_full_disk_leaves_the_cache_of_synthetic_heads_whole(tmp_path, monkeypatch):
    from baseh3d_ns.synthetic import head_samples, sampling

    def full(file: Path, **_: object) -> None:
        file.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    samples = HeadSamples(np.zeros((9, 3), np.float32), np.zeros((9, 3), np.float32), np.zeros((9, 3), np.uint8))
    monkeypatch.setattr(sampling, "sample_head", lambda *_: samples)
    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(InputError, match=f"00003.npz cannot be written .No space left.*in {tmp_path}"):
        head_samples._write_head(tmp_path, 7, 9, 3)
    assert list(tmp_path.iterdir()) == []


def test_synthetic_heads_are_made_once_and_alike(tmp_path):
    from baseh3d_ns.synthetic.head_samples import load_samples, sample_heads
    from baseh3d_ns.synthetic.sampling import sample_head

    (file,) = sample_heads(tmp_path, 1, 7, 300)
    made = file.stat().st_mtime_ns
    assert sample_heads(tmp_path, 1, 7, 300) == [file] and file.stat().st_mtime_ns == made
    kept, again = load_samples(file), sample_head(7, 0, 300)
    np.testing.assert_array_equal(kept.points, again.points)
    np.testing.assert_allclose(kept.normals, again.normals, atol=0.01)
    nose = again.points[again.points[:, 2].argmax()]
    assert np.abs(HEAD_FRAME.to_world_mm(nose) - np.array(LANDMARKS_MM["nose_tip"])).max() < 25.0
