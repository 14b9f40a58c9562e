"""Shared: one tiny dataset for the whole session (read only), and a fresh one for tests that damage it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import cheap_stack  # noqa: F401 (before anything imports nerfstudio)
import hypothesis
import pytest
from filelock import FileLock

# nerfstudio is imported where it is used: pytest-xdist's own process, which waits for it, runs no test.
if TYPE_CHECKING:
    from processes import Trained

    from baseh3d_ns.data.dataset import HeadDataset

# Processes that tests begin find `sitecustomize` here, and their fork server its modules.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))

# Shared machines stall; the same examples every time.
hypothesis.settings.register_profile("tests", deadline=None, derandomize=True)
hypothesis.settings.load_profile("tests")


HEAVY = (
    "test_bench_run",
    "test_phone_to_mesh",
    "test_training",
    "test_shape_space",
    "test_synthetic",
    "test_own_photos",
    "test_own_photo_files",
    "test_capture",
)
"""Files that take longest: begun first, so that the workers end at about the same time."""


def pytest_configure(config: pytest.Config) -> None:
    """Hand out files in the order of the collection: pytest-xdist would take those with the most tests first."""
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the heavy files first."""
    order = {name: number for number, name in enumerate(HEAVY)}
    items.sort(key=lambda item: order.get(item.path.stem, len(HEAVY)))


@pytest.fixture(autouse=True)
def denormals_again():
    """A pipeline has its process count denormal numbers as 0; hypothesis refuses to work so."""
    import torch

    yield
    torch.set_flush_denormal(False)


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that one worker of pytest-xdist makes and the others find; do not write into it."""
    root = factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    folder, done = root / name, root / f"{name}.done"
    with FileLock(root / f"{name}.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            done.touch()
    return folder


def copied(made: Path, factory: pytest.TempPathFactory) -> Path:
    """A copy for this worker, which may write into it."""
    return Path(shutil.copytree(made, factory.mktemp(made.name) / "copy"))


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An H3DS root with two scenes of five views; do not write into it."""
    from tiny_root import write_root

    scenes = ("00000000000000aa", "00000000000000bb")
    return made_once(tmp_path_factory, "h3ds", lambda folder: write_root(folder, scenes=scenes))


@pytest.fixture
def own_root(tiny_root: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(tiny_root, tmp_path / "h3ds"))


@pytest.fixture(scope="session")
def prior_run(tiny_root, tmp_path_factory) -> Trained:
    """A pre-training of 40 steps: five views, eight epochs, snapshots on the way."""
    from processes import Trained, train

    def make(out: Path) -> None:
        train("baseh3d-fast-prior", tiny_root, out, "--epochs", 8, "--snapshot-epochs", 2, 4, views="all")

    out = copied(made_once(tmp_path_factory, "prior", make), tmp_path_factory)
    return Trained(out, tiny_root, out / "t" / "baseh3d-fast-prior" / "t")


@pytest.fixture(scope="session")
def fit_run(tiny_root, prior_run, tmp_path_factory) -> Trained:
    """A fit of 12 steps from that prior."""
    from processes import Trained, train

    def make(out: Path) -> None:
        whole = ["--finish-colours.unseen-weight", 0.1]
        text = train("baseh3d-fast", tiny_root, out, "--epochs", 4, "--load-prior", prior_run.folder, *whole)
        assert "baseh3d export" in text and re.search(r"\d+\s+tensors", text)

    out = copied(made_once(tmp_path_factory, "fit", make), tmp_path_factory)
    return Trained(out, tiny_root, out / "t" / "baseh3d-fast" / "t")


@pytest.fixture(scope="session")
def person_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An H3DS root with a synthetic person from five sides; do not write into it."""
    from baseh3d_ns.synthetic.dataset import synthesize

    recipe = {"subjects": 1, "views": 5, "size": 192, "seed": 5}
    return made_once(tmp_path_factory, "person", lambda folder: synthesize(folder, **recipe))


@pytest.fixture(scope="session")
def person(person_root: Path) -> HeadDataset:
    """All photos of the synthetic person."""
    from baseh3d_ns.data.dataset import HeadDataset
    from baseh3d_ns.data.h3ds_dataparser import H3dsDataParserConfig

    parser = H3dsDataParserConfig(data=person_root, scene="scan0", views=("all",)).setup()
    return HeadDataset(parser.get_dataparser_outputs("train"))


@pytest.fixture(scope="session")
def phone_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One synthetic person from five sides as phone photos of 288 px, with the truth; do not write into it."""
    from baseh3d_ns.synthetic.phone_photos import synthesize_photos

    recipe = {"subjects": 1, "views": 5, "size": 288, "seed": 5}
    return made_once(tmp_path_factory, "phone", lambda folder: synthesize_photos(folder, **recipe))


@pytest.fixture
def no_faces(monkeypatch) -> None:
    """The egg has none, and the network is not needed to know it."""
    from baseh3d_ns.own_photos import looks

    monkeypatch.setattr(looks, "_find_landmarks", lambda photos, masks: [None] * len(photos))


@pytest.fixture(scope="module")
def plain(tiny_root, tmp_path_factory) -> Path:
    """Own photos of the egg, to be read only."""
    from own_capture import BLOCK, write_own_photos
    from tiny_root import SCENE

    folder = tmp_path_factory.mktemp("own") / "plain"
    write_own_photos(tiny_root, SCENE, folder, head=BLOCK)
    return folder


@pytest.fixture
def own(plain, tmp_path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(plain, tmp_path / "own"))
