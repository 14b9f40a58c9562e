"""Where the viewer opens."""

from __future__ import annotations

from contextlib import nullcontext
from copy import deepcopy
from types import SimpleNamespace

import numpy as np
import pytest
from nerfstudio.viewer.utils import parse_object
from nerfstudio.viewer.viewer import VISER_NERFSTUDIO_SCALE_RATIO
from nerfstudio.viewer.viewer_elements import ViewerControl

from baseh3d_ns import methods
from baseh3d_ns.training.initial_view import DISTANCE_FACTOR, InitialView


def test_a_browser_opens_where_the_first_camera_stands_outside_the_unit_ball(tiny_root):
    config = deepcopy(methods.baseh3d_fast.config.pipeline)
    config.datamanager.data, config.datamanager.dataparser.scene = tiny_root, "scan0"
    pipeline = config.setup(device="cpu", test_mode="val", world_size=1, local_rank=0)
    cameras = pipeline.datamanager.train_dataset.cameras
    # As nerfstudio's viewer does.
    controls = [control for _, control in parse_object(pipeline, ViewerControl, "Custom Elements")]
    (control,) = (control for control in controls if isinstance(control, InitialView))
    connected = []
    control._setup(SimpleNamespace(viser_server=SimpleNamespace(on_client_connect=connected.append)))
    client = SimpleNamespace(camera=SimpleNamespace(), atomic=nullcontext)
    connected[0](client)
    position = client.camera.position / VISER_NERFSTUDIO_SCALE_RATIO
    np.testing.assert_allclose(position, DISTANCE_FACTOR * cameras.camera_to_worlds[0, :, 3].numpy())
    assert np.linalg.norm(position) > 1.0 and client.camera.look_at == (0.0, 0.0, 0.0)
    looks = (client.camera.look_at - position) / np.linalg.norm(position)
    # Nearly: the head is in the middle of the orbit, not of the photo.
    assert looks @ -cameras.camera_to_worlds[0, :, 2].numpy() > 0.99
    np.testing.assert_allclose(client.camera.up_direction, cameras.camera_to_worlds[0, :, 1].numpy())
    half = cameras.height[0] / 2 / cameras.fy[0]
    assert np.tan(client.camera.fov / 2.0) == pytest.approx(float(half))
