"""Surface that photos show to be background."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from painted_ball import FRAME, ball, photographed

from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.evaluation.posed_photos import PosedPhotos
from baseh3d_ns.evaluation.silhouettes import MARGIN_MM, find_on_background, on_background
from baseh3d_ns.heads.head_file import Head
from baseh3d_ns.heads.opened import OpenedHead


@pytest.fixture(scope="module")
def photos() -> PosedPhotos:
    """A ball from the front and from the side."""
    return PosedPhotos(photographed(ball(), 0.0, 90.0), None)


def share(vertices: np.ndarray, photos: PosedPhotos) -> float:
    return on_background(vertices, photos).share


def with_a_flap(mm: float) -> np.ndarray:
    """The ball's vertices, and as many on the photographed side of its rim, so far outside it."""
    vertices = ball().vertices
    radius = np.linalg.norm(vertices - FRAME.centre_mm, axis=1).max()
    up = np.array([0.0, radius + mm, 0.0])
    return np.concatenate([vertices, np.tile(np.array(FRAME.centre_mm) + up, (len(vertices), 1))])


def test_a_head_within_its_silhouettes_has_none(photos: PosedPhotos):
    assert share(ball().vertices, photos) == 0.0


def test_what_stands_out_counts_from_the_margin_on(photos: PosedPhotos):
    assert share(with_a_flap(0.5 * MARGIN_MM), photos) == 0.0
    assert share(with_a_flap(4.0 * MARGIN_MM), photos) == 0.5


def test_one_photo_is_enough_and_none_says_anything_beyond_its_border(photos: PosedPhotos):
    vertices = ball().vertices
    # Behind the ball in the first photo, beside it in the second.
    behind = vertices - np.array([0.0, 0.0, 2.2 * np.ptp(vertices[:, 2])])
    assert share(behind, PosedPhotos(photographed(ball(), 0.0), None)) == 0.0
    shifted = vertices - np.array([0.0, 0.0, 0.3 * np.ptp(vertices[:, 2])])
    assert 0.2 < share(shifted, photos) < 0.9
    far = vertices + np.array([0.0, 1e5, 0.0])
    assert share(far, photos) == 0.0


def test_unknown_pixels_say_nothing(photos: PosedPhotos, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(HeadDataset, "known", HeadDataset.mask)
    assert share(with_a_flap(4.0 * MARGIN_MM), photos) == 0.0


def test_a_photo_that_contradicts_much_of_the_head_is_named(photos: PosedPhotos):
    assert on_background(ball().vertices, photos).doubts() == ()
    moved = ball().vertices + np.array([0.0, 0.0, 20.0])  # towards the first camera, beside the ball for the second
    (said,) = on_background(moved, photos).doubts()
    assert said.startswith("1.png shows background where") and "look at its mask" in said


def test_no_photo_is_blamed_for_a_head_that_others_contradict_as_well(photos: PosedPhotos):
    """As of a fit that was hardly begun; a single photo has no others."""
    for seen in (photos, PosedPhotos(photographed(ball(), 0.0), None)):
        (said,) = on_background(with_a_flap(4.0 * MARGIN_MM), seen).doubts()
        assert said.startswith("The head reaches beyond its silhouettes, with 50 % of it in 0.png: train longer")


def test_photos_that_are_not_known_are_said(tmp_path: Path):
    head = Head(weights={}, provenance={"views": [0], "data": str(tmp_path / "gone"), "scene": "scan0"})
    found, (said,) = find_on_background(OpenedHead(head, tmp_path / "me.safetensors"), ball().vertices)
    assert found is None and "was not looked at" in said and "gone" in said and "\n" not in said
    space = replace(head, latents=torch.zeros(2, 3))
    assert find_on_background(OpenedHead(space, tmp_path / "space.safetensors"), ball().vertices) == (None, ())
