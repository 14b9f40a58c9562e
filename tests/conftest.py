"""Shared: one tiny dataset for the whole session (read only), and a fresh one for tests that damage it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import hypothesis
import pytest
import torch
from processes import Trained, train
from tiny_root import write_root

from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.data.h3ds_dataparser import H3dsDataParserConfig
from baseh3d_ns.synthetic.dataset import synthesize

# Shared machines stall; the same examples every time.
hypothesis.settings.register_profile("tests", deadline=None, derandomize=True)
hypothesis.settings.load_profile("tests")


@pytest.fixture(autouse=True)
def denormals_again():
    """A pipeline has its process count denormal numbers as 0; hypothesis refuses to work so."""
    yield
    torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An H3DS root with two scenes of five views; do not write into it."""
    return write_root(tmp_path_factory.mktemp("data") / "h3ds", scenes=("00000000000000aa", "00000000000000bb"))


@pytest.fixture
def own_root(tiny_root: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(tiny_root, tmp_path / "h3ds"))


@pytest.fixture(scope="session")
def prior_run(tiny_root, tmp_path_factory) -> Trained:
    """A pre-training of 40 steps: five views, eight epochs, snapshots on the way."""
    out = tmp_path_factory.mktemp("prior")
    train("baseh3d-fast-prior", tiny_root, out, "--epochs", 8, "--snapshot-epochs", 2, 4, views="all")
    return Trained(out, tiny_root, out / "t" / "baseh3d-fast-prior" / "t")


@pytest.fixture(scope="session")
def fit_run(tiny_root, prior_run, tmp_path_factory) -> Trained:
    """A fit of 12 steps from that prior."""
    out = tmp_path_factory.mktemp("fit")
    text = train("baseh3d-fast", tiny_root, out, "--epochs", 4, "--load-prior", prior_run.folder)
    assert "head.safetensors" in text and re.search(r"\d+\s+tensors", text)
    return Trained(out, tiny_root, out / "t" / "baseh3d-fast" / "t")


@pytest.fixture(scope="session")
def person_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An H3DS root with a synthetic person from five sides; do not write into it."""
    root = tmp_path_factory.mktemp("person") / "heads"
    synthesize(root, subjects=1, views=5, size=192, seed=5)
    return root


@pytest.fixture(scope="session")
def person(person_root: Path) -> HeadDataset:
    """All photos of the synthetic person."""
    parser = H3dsDataParserConfig(data=person_root, scene="scan0", views=("all",)).setup()
    return HeadDataset(parser.get_dataparser_outputs("train"))
