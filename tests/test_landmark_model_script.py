"""`scripts/landmark_model.py`: a head's photograph, and what is detected where there is no face."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import landmark_model  # noqa: E402
from landmark_model import Args, detect, photograph  # noqa: E402


def test_a_head_is_photographed_and_one_without_a_face_has_no_landmarks(tmp_path, monkeypatch):
    monkeypatch.setattr(landmark_model, "YAWS_DEG", (0.0,))
    photograph(Args(tmp_path), 0)
    with Image.open(tmp_path / "0000_0.png") as photo:
        assert np.asarray(photo).std() > 10.0  # a head before a wall
    monkeypatch.setattr(landmark_model, "find_face", lambda photo: None)
    seen = detect(tmp_path, 0)
    assert seen.cameras == () and seen.points_px.shape == (0, 468, 2)
