"""Options of a definition as the command line of `ns-train`, and the config that this makes."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import tyro

from baseh3d_ns.data.h3ds_dataparser import H3dsDataParserConfig
from baseh3d_ns.errors import InputError

Options = dict[str, Any]
"""Options of `ns-train` without their dashes, and their values."""
EXPERIMENT, TIMESTAMP = "train", "run"
"""Experiment name and timestamp of every training: one a folder."""
NEVER = 10**9
"""Steps between two evaluations that no training reaches."""


def method_config(name: str) -> Any:
    """The defaults of a method of nerfstudio or of a plugin."""
    from nerfstudio.configs.method_configs import all_methods

    return all_methods[name]


def option(method: str, options: Options, path: str) -> Any:
    """Value of a nested option (`pipeline.model.x`), given or by default; None where the method has no such option."""
    given = {name.replace("-", "_"): value for name, value in options.items()}
    if path in given:
        return given[path]
    owner: Any = method_config(method)
    for part in path.split("."):
        owner = owner.get(part) if isinstance(owner, dict) else getattr(owner, part, None)
    return owner


def cli_flags(options: Options) -> list[str]:
    """Options as words of a command line; lists become several words."""
    words: list[str] = []
    for name, value in options.items():
        values = value if isinstance(value, list | tuple) else [value]
        words += [f"--{name.replace('_', '-')}", *map(str, values)]
    return words


def arguments(method: str, folder: Path, seed: int, options: Options, parser: Options) -> list[str]:
    """The command line of one training, after `ns-train`.

    Args:
        method: its name.
        folder: output folder.
        seed: of nerfstudio's `--machine.seed`.
        options: of the method.
        parser: options of the dataparser `h3ds-data`; empty for its absence.
    """
    fixed: Options = {"vis": "tensorboard", "output-dir": folder, "experiment-name": EXPERIMENT}
    fixed |= {"timestamp": TIMESTAMP, "machine.seed": seed}
    fixed |= {f"steps-per-eval-{what}": NEVER for what in ("image", "batch", "all-images")}
    words = [method, *cli_flags({**fixed, **options})]
    return [*words, "h3ds-data", *cli_flags(parser)] if parser else words


def parse(command: list[str]) -> Any:
    """The config that `ns-train` would build of a command.

    Raises:
        InputError: the method does not take these options, with the reason.
    """
    from nerfstudio.configs.method_configs import AnnotatedBaseConfigUnion

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            config = tyro.cli(AnnotatedBaseConfigUnion, args=command)
    except SystemExit as error:
        reason = _reason(said.getvalue())
        raise InputError(f"ns-train {command[0]} does not take these options ({reason}): change them") from error
    if config.data:
        config.pipeline.datamanager.data = config.data
    return config


def _reason(said: str) -> str:
    """The reason in tyro's words: what stands between the first two rules."""
    plain = re.sub(r"[│╭╮╰╯]", " ", re.sub(r"\x1b\[[0-9;]*m", "", said))
    _, *below = re.split(r"[-─]{9,}", plain)
    return " ".join((below[0] if below else plain).split()).removesuffix(".")


def length(epochs: int, external: bool, data: Path, parser: Options) -> Options:
    """The option that sets the length of a training; none for 0 epochs, where its method says.

    Args:
        epochs: batches of rays for every training view.
        external: whether the method counts steps alone.
        data: root in the H3DS layout.
        parser: options of the dataparser `h3ds-data`.
    """
    if not epochs:
        return {}
    if not external:
        return {"epochs": epochs}
    scene = H3dsDataParserConfig(data=data, scene=parser["scene"], views=(parser["views"],)).setup()
    return {"max-num-iterations": epochs * len(scene.train_views)}
