"""Set of synthetic subjects on disk, in the layout that the `h3ds` package reads.

1. Check the arguments and the place before anything is computed.
2. Make each subject in turn: head, cameras, photographs, files.
3. Write `config.toml` and `version.txt` last; the folder appears when it is whole: half a set never looks like one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from baseh3d_ns.bars import progress_bar
from baseh3d_ns.cameras import Pinhole
from baseh3d_ns.data.h3ds_root import MOST_VIEWS
from baseh3d_ns.errors import InputError
from baseh3d_ns.extras import require_extra
from baseh3d_ns.files import whole_folder
from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.synthetic import capture_noise
from baseh3d_ns.synthetic.camera_path import camera_path, views_configs
from baseh3d_ns.synthetic.contact_sheet import save_contact_sheet
from baseh3d_ns.synthetic.head import Head, make_head
from baseh3d_ns.synthetic.identity import identity_rng
from baseh3d_ns.synthetic.light import Lighting, light_up
from baseh3d_ns.synthetic.noise_parts import NoisePart
from baseh3d_ns.synthetic.render import Background, Photo, Renderer, wall
from baseh3d_ns.synthetic.visibility import sphere_directions

VERSION = "synthetic-3"
"""Version of the generator, written into every set: raise it when the same arguments would give other bytes."""
RECIPE = "recipe.json"
"""File with the arguments a set was made with."""
JPEG_QUALITY = 95
"""Quality of the photographs (Pillow, 4:4:4)."""
BALL_MARGIN = 1.1
"""Ratio of the radius of the unit ball to that of the subject."""
FEWEST_VIEWS, SMALLEST_SIZE = 3, 32
"""Lower bounds of views of a subject and pixels a side."""
CAMERA_STREAM, WALL_STREAM, NOISE_STREAM = 2, 3, 4
"""Streams of `identity_rng` for the photographs; 0 and 1 belong to the head, 5 and 6 to `sampling`."""


@dataclass(frozen=True)
class Recipe:
    """Arguments that decide the bytes of a set."""

    subjects: int
    views: int
    size: int
    seed: int
    noise: tuple[NoisePart, ...]
    contact_sheet: bool
    version: str = VERSION


def synthesize(
    out: Path,
    subjects: int = 8,
    views: int = 24,
    size: int = 256,
    seed: int = 0,
    noise: tuple[NoisePart, ...] = (),
    contact_sheet: bool = False,
) -> list[str]:
    """Write `subjects` heads with `views` photographs of `size` x `size` pixels to `out`; return scene ids.

    The same arguments give the same bytes, and subject i of a seed is the same in every set. An `out` that
    already holds the set made with these arguments is left as it is.

    Raises:
        InputError: an argument makes no sense, `out` holds something else or cannot be written, or the extra `synth`
            is not installed.
    """
    recipe = Recipe(subjects, views, size, seed, noise, contact_sheet)
    check_recipe(recipe)
    ids = [scene_id(seed, index) for index in range(subjects)]
    if is_already_there(out, recipe):
        print(f"{out} already holds this set: nothing to do.")
        return ids
    require_extra("synth")
    with whole_folder(out) as unfinished:
        configs = []
        for index, scene in enumerate(progress_bar(ids, desc="Synthetic heads", unit="head")):
            configs.append(write_subject(unfinished / scene, recipe, index))
        if contact_sheet:
            save_contact_sheet([unfinished / scene for scene in ids], unfinished / "contact_sheet.png")
        (unfinished / RECIPE).write_text(recipe_text(recipe))
        (unfinished / "config.toml").write_text(_config_toml(recipe, ids, configs))
        (unfinished / "version.txt").write_text(VERSION + "\n")
    return ids


def recipe_text(recipe: Recipe) -> str:
    """Content of the file `RECIPE`."""
    return json.dumps(asdict(recipe), indent=1) + "\n"


def scene_id(seed: int, index: int) -> str:
    """Scene id of subject `index` of `seed`: 16 hexadecimal digits."""
    return hashlib.sha256(f"baseh3d synthetic {seed} {index}".encode()).hexdigest()[:16]


def write_subject(folder: Path, recipe: Recipe, index: int) -> dict[str, list[int]]:
    """Make and write one subject; return its view configurations."""
    head = make_head(recipe.seed, index)
    cameras = camera_path(
        head.surface.vertices_mm, recipe.views, recipe.size, identity_rng(recipe.seed, index, CAMERA_STREAM)
    )
    for name in ("image", "mask", "regions"):
        (folder / name).mkdir(parents=True)
    written = _write_photographs(folder, head, cameras, recipe, index)
    frame = unit_frame(head)
    matrices = {}
    for view, camera in enumerate(written):
        matrices[f"world_mat_{view}"] = camera.world_mat
        matrices[f"scale_mat_{view}"] = frame.unit_to_world
    np.savez(folder / "cameras.npz", **matrices)
    _write_ground_truth(folder, head)
    return views_configs(cameras, np.array(frame.centre_mm))


def unit_frame(head: Head) -> SceneFrame:
    """Unit frame of a head: the ball round everything that is rendered, with a margin."""
    vertices = head.surface.vertices_mm
    x, y, z = (float(value) for value in (vertices.min(axis=0) + vertices.max(axis=0)) / 2.0)
    radius_mm = float(np.linalg.norm(vertices - [x, y, z], axis=1).max())
    return SceneFrame(centre_mm=(x, y, z), radius_mm=BALL_MARGIN * radius_mm)


def _write_photographs(folder: Path, head: Head, cameras: list[Pinhole], recipe: Recipe, index: int) -> list[Pinhole]:
    """Render and save every view; return the cameras as they are to be written."""
    renderer = Renderer(head)
    behind = wall(recipe.size, _background(identity_rng(recipe.seed, index, WALL_STREAM)))
    rng = identity_rng(recipe.seed, index, NOISE_STREAM)
    angle = capture_noise.draw_light_angle(rng)
    directions = sphere_directions()
    fixed_light = light_up(head.visible_cosine, directions, np.eye(3))
    written = []
    bar = progress_bar(cameras, desc="Photographs", unit="photo")
    for view, camera in enumerate(bar):
        lighting = _turned_light(head, camera) if "light" in recipe.noise else fixed_light
        photo = renderer.photograph(camera, lighting, behind)
        if recipe.noise:
            view_noise = capture_noise.draw_view_noise(rng, angle, recipe.noise)
            photo = capture_noise.developed(photo, view_noise)
            camera = capture_noise.written_camera(camera, view_noise)
        _save_photo(folder, view, photo)
        written.append(camera)
    return written


def _turned_light(head: Head, camera: Pinhole) -> Lighting:
    """Lighting of a room that rotates with the camera about the vertical, as if the subject sat on a turning chair."""
    azimuth = np.arctan2(camera.centre_mm[0], camera.centre_mm[2])
    cos, sin = np.cos(azimuth), np.sin(azimuth)
    room_to_world = np.array([[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]])
    return light_up(head.visible_cosine, sphere_directions(), room_to_world)


def _background(rng: np.random.Generator) -> Background:
    """Random wall: light grey with a faint tint."""
    return Background(
        rgb=rng.uniform(0.60, 0.76) + rng.uniform(-0.035, 0.035, 3), falloff=float(rng.uniform(0.08, 0.22))
    )


def _save_photo(folder: Path, view: int, photo: Photo) -> None:
    image = folder / "image" / f"img_{view:04d}.jpg"
    Image.fromarray(photo.rgb).save(image, quality=JPEG_QUALITY, subsampling=0)
    Image.fromarray(photo.mask).save(folder / "mask" / f"mask_{view:04d}.png")


def _write_ground_truth(folder: Path, head: Head) -> None:
    # h3ds counts "v " and "f " anywhere in the file: no comments, no names.
    with open(folder / "full_head.obj", "w") as obj:
        np.savetxt(obj, head.scan.vertices_mm, fmt="v %.3f %.3f %.3f")
        np.savetxt(obj, head.scan.faces + 1, fmt="f %d %d %d")
    lines = [f"{name} {vertex}\n" for name, vertex in head.landmarks.items()]
    (folder / "landmarks.txt").write_text("".join(lines))
    for name, vertices in head.regions.items():
        np.savetxt(folder / "regions" / f"{name}.txt", vertices, fmt="%d")


def _config_toml(recipe: Recipe, ids: Sequence[str], configs: Sequence[dict[str, list[int]]]) -> str:
    lines = [f'version = "{VERSION}"', 'file_id = ""', 'file_md5 = ""', "", "[scenes]"]
    for index, (scene, chosen) in enumerate(zip(ids, configs, strict=True)):
        tags = ["synthetic", f"anny-{index:04d}"] + (["noise"] if recipe.noise else [])
        lines += [f"    [scenes.{scene}]", f"    tags = {tags}", f"    views = {recipe.views}"]
        lines += [f"        [scenes.{scene}.default_views_configs]"]
        lines += [f"        {count} = {views}" for count, views in chosen.items()] + [""]
    return "\n".join(lines)


def check_recipe(recipe: Recipe) -> None:
    """Raise `InputError` for arguments that make no sense."""
    if recipe.subjects < 1:
        raise InputError(f"--subjects is {recipe.subjects}, but a set needs at least 1 subject.")
    if recipe.views < FEWEST_VIEWS:
        raise InputError(f"--views is {recipe.views}, but a subject needs at least {FEWEST_VIEWS} views.")
    if recipe.views > MOST_VIEWS:
        raise InputError(f"--views is {recipe.views}, but a subject has at most {MOST_VIEWS} views.")
    if recipe.size < SMALLEST_SIZE:
        raise InputError(f"--size is {recipe.size}, but photographs need at least {SMALLEST_SIZE} pixels a side.")
    if recipe.seed < 0:
        raise InputError(f"--seed is {recipe.seed}, but a seed is 0 or more.")


def is_already_there(out: Path, recipe: Recipe) -> bool:
    """True when `out` holds exactly this set, False when it is empty or missing.

    Raises:
        InputError: it holds anything else.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file, not a folder: choose another place for the set.")
    if not out.exists() or not any(out.iterdir()):
        return False
    try:
        made_with = dict(json.loads((out / RECIPE).read_text()))
    except (OSError, ValueError, TypeError, RecursionError):
        raise InputError(f"{out} already holds something else: choose a new or empty folder.") from None
    recorded = json.loads(recipe_text(recipe))
    if made_with != recorded:
        differing = ", ".join(
            f"{key} {made_with.get(key)}" for key, value in recorded.items() if made_with.get(key) != value
        )
        raise InputError(f"{out} already holds a set made with other arguments ({differing}): choose a new folder.")
    return True
