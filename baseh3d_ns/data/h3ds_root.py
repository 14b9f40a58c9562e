"""A folder in the H3DS layout: its version, its scenes and views, and the names that users may give them.

The configuration is one of the `h3ds` package's, `config_v1.toml` or `config_v2.toml`, or the root's `config.toml`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from baseh3d_ns.data.text_files import read_text
from baseh3d_ns.errors import InputError, named_permissions, nearest

if TYPE_CHECKING:
    from baseh3d_ns.data.h3ds_package import H3DS

PACKAGED_CONFIGS = ("config_v1", "config_v2")
MOST_VIEWS = 10_000
"""File names number the views with four digits."""
ACCESS = (
    "ask for access at github.com/CrisalixSA/h3ds, make synthetic heads with `baseh3d synth {root}`, or read photos of "
    "your own with `head-data`"
)


@dataclass(frozen=True)
class H3dsRoot:
    """An H3DS root whose version is known; open it with `open_h3ds`."""

    path: Path
    """The folder that holds version.txt and a folder for each scene."""
    config_path: Path
    """The h3ds configuration that belongs to its version."""

    @cached_property
    def h3ds(self) -> H3DS:
        """The h3ds package's own object for this root."""
        from baseh3d_ns.data.h3ds_package import H3DS

        return H3DS(path=str(self.path), config_path=str(self.config_path))

    @property
    def version(self) -> str:
        """Version of the dataset, as version.txt gives it."""
        return self.h3ds.helper.version_config()

    def scene_ids(self) -> list[str]:
        """All scene ids of the configuration, sorted."""
        return sorted(self.h3ds.scenes())

    def resolve_scene(self, name: str) -> str:
        """The scene id for an id, `scanN` (N-th sorted id of config_v1, from 0) or a tag that names one scene.

        Raises:
            InputError: unknown name, or a tag of several scenes.
        """
        ids = self.scene_ids()
        if name in ids:
            return name
        number = re.fullmatch(r"scan(\d+)", name)
        if number:
            return self._numbered_scene(int(number.group(1)))
        tagged = [scene_id for scene_id in ids if name in self.h3ds.helper.scene_tags(scene_id)]
        if len(tagged) == 1:
            return tagged[0]
        if tagged:
            raise InputError(
                f"the tag '{name}' names {len(tagged)} scenes of {self.path}: choose one of {', '.join(tagged)}"
            )
        known = {*ids, *self.h3ds.helper.scenes_tags(), *(f"scan{n}" for n in range(len(ids)))}
        raise InputError(f"{self.path} has no scene '{name}': the nearest names are {nearest(name, known)}")

    def _numbered_scene(self, number: int) -> str:
        """The papers count H3DS scans in the sorted order of config_v1, whatever version is on the disk."""
        ids = self.scene_ids()
        if self.config_path != self.path / "config.toml":
            ids = sorted(_scenes_in(_packaged_config("config_v1")))
        if number >= len(ids):
            some = ", ".join(ids[:5]) + (" ..." if len(ids) > 5 else "")
            raise InputError(f"{self.path} has no scan{number}: it counts scan0 to scan{len(ids) - 1} ({some})")
        if ids[number] not in self.scene_ids():
            raise InputError(
                f"scan{number} is scene {ids[number]}, which version {self.version} at {self.path} does not have"
            )
        return ids[number]

    def resolve_views(self, scene_id: str, views: tuple[str, ...]) -> list[int]:
        """Training view indices for a default configuration (`3`), `all`, or indices (`0 4 9` or `0,4,9`).

        Raises:
            InputError: not a configuration of the scene, not a number, out of range, or an index given twice.
        """
        choices = {
            name: list(self.h3ds._get_views_config(scene_id, name))
            for name in self.h3ds.default_views_configs(scene_id)
        }
        return choose_views(views, self.h3ds.helper.scene_views(scene_id), choices, scene_id)


def choose_views(views: tuple[str, ...], count: int, choices: Mapping[str, list[int]], scene: str) -> list[int]:
    """View indices as `H3dsRoot.resolve_views` gives them, for a scene of `count` views.

    Args:
        views: the words of `--views`.
        count: number of views of the scene.
        choices: the scene's default configurations, by name.
        scene: its id, for messages.

    Raises:
        InputError: see `H3dsRoot.resolve_views`.
    """
    words = [word for part in views for word in re.split(r"[,\s\[\]()]+", part) if word]
    if words == ["all"]:
        return list(range(count))
    if len(views) == 1 and views[0] in choices:
        return list(dict.fromkeys(choices[views[0]]))  # H3DS names some views twice
    if len(words) == 1 and "," not in views[0]:
        raise InputError(
            f"--views {words[0]} is not a view configuration of scene {scene}: take {', '.join(choices)}, "
            f"'all', or indices from 0 to {count - 1} (a single one as '{words[0]},')"
        )
    if not words or not all(re.fullmatch(r"\d+", word) for word in words):
        raise InputError(f"--views {' '.join(views)}: indices are whole numbers from 0 to {count - 1}, like 0,4,9")
    indices = [int(word) for word in words]
    outside = [index for index in indices if index >= count]
    if outside:
        raise InputError(f"scene {scene} has no view {outside[0]}: its views are 0 to {count - 1}")
    if len(set(indices)) < len(indices):
        raise InputError(f"--views {' '.join(views)} names a view twice")
    return indices


@named_permissions()
def open_h3ds(root: Path) -> H3dsRoot:
    """Find out which version of H3DS lies at `root`.

    Raises:
        InputError: no such folder, a zip not yet unzipped, no or an unknown version.txt, a broken config.toml.
    """
    root = Path(root)
    access = ACCESS.format(root=root)
    if root.suffix == ".zip":
        raise InputError(f"{root} is a zip file: unzip it (with your H3DS token) and pass the folder")
    if not root.is_dir():
        raise InputError(f"no such data folder: {root}; pass an unzipped H3DS with --data, {access}")
    version_file = root / "version.txt"
    if not version_file.is_file():
        zips = sorted(root.glob("*.zip"))
        if zips:
            raise InputError(f"{zips[0]} is not unzipped yet: unzip it into {root} with your H3DS token")
        near = next((place for place in _around(root) if (place / "version.txt").is_file()), None)
        remedy = f"its root is {near}: pass that, and the scene with --scene" if near else access
        raise InputError(f"{root} holds no version.txt, so it is not an H3DS root: {remedy}")
    version = read_text(version_file).partition("\n")[0].strip()  # the first line, as the h3ds package
    own_config = root / "config.toml"
    if own_config.is_file():
        return _checked(root, own_config, version)
    for name in PACKAGED_CONFIGS:
        if _version_of(_packaged_config(name)) == version:
            return H3dsRoot(path=root, config_path=_packaged_config(name))
    raise InputError(
        f"{version_file} says version {version[:40]!r}, but this plugin reads H3DS "
        f"{' and '.join(_version_of(_packaged_config(name)) for name in PACKAGED_CONFIGS)}: get one of these, "
        "or put a config.toml in the root"
    )


def _around(folder: Path) -> list[Path]:
    """Folders where a root may be that was missed: those above, from a scene or its photos, and those within."""
    return [*folder.resolve().parents[:2], *sorted(path for path in folder.iterdir() if path.is_dir())]


def _checked(root: Path, config: Path, version: str) -> H3dsRoot:
    """The root with its own configuration.

    Raises:
        InputError: the configuration is broken, for another version, or without scenes.
    """
    try:
        own_version, scenes = _version_of(config), _scenes_in(config)
        for scene_id, table in scenes.items():
            _check_table(scene_id, table)
    except InputError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else error
        raise InputError(
            f"{config} is not an h3ds configuration ({reason}): copy the layout of h3ds' config_v2.toml"
        ) from error
    if own_version != version:
        raise InputError(
            f"{root / 'version.txt'} says {version[:40]!r} but {config} is for {own_version[:40]!r}: they must agree"
        )
    if not scenes:
        raise InputError(f"{config} lists no scene: add a [scenes.ID] table for each folder")
    return H3dsRoot(path=root, config_path=config)


def _check_table(scene_id: str, table: Any) -> None:
    """Raise `ValueError` unless a scene has its number of views, its view configurations, and tags that are words."""
    if not scene_id or Path(scene_id).name != scene_id:
        raise ValueError(f"'{scene_id}' is no name of a folder in the root")
    views = table.get("views") if isinstance(table, Mapping) else None
    # Not isinstance: true and false are no numbers.
    if type(views) is not int or not 1 <= views <= MOST_VIEWS:
        raise ValueError(f"scene {scene_id} has no number of views from 1 to {MOST_VIEWS}")
    tags = table.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise ValueError(f"the tags of scene {scene_id} are no list of words")
    configs = table.get("default_views_configs")
    if not isinstance(configs, Mapping):
        raise ValueError(f"scene {scene_id} has no default_views_configs")
    for name, indices in configs.items():
        named = f"the view configuration {name} of scene {scene_id}"
        if not isinstance(indices, list) or not indices or any(type(index) is not int for index in indices):
            raise ValueError(f"{named} is no list of view numbers")
        if not all(0 <= index < views for index in indices):
            raise ValueError(f"{named} names a view that the scene does not have")


def _packaged_config(name: str) -> Path:
    from baseh3d_ns.data.h3ds_package import ConfigsHelper

    return Path(ConfigsHelper.get_config_file(name))


def _version_of(config: Path) -> str:
    version = _read_config(config)["version"]
    if not isinstance(version, (str, int, float)):
        raise ValueError("its version is no text")
    return str(version)


def _scenes_in(config: Path) -> dict[str, Any]:
    """Table of each scene, by id."""
    scenes = _read_config(config)["scenes"]
    if not isinstance(scenes, Mapping):
        raise ValueError("its scenes are no tables")
    return dict(scenes)


def _read_config(config: Path) -> Mapping[str, Any]:
    """The content of a configuration, by the reader of `h3ds_package`: what passes here can be read later."""
    from baseh3d_ns.data.h3ds_package import read_config

    return read_config(config)
