"""Where the viewer opens."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
from nerfstudio.viewer.utils import parse_object
from nerfstudio.viewer.viewer import VISER_NERFSTUDIO_SCALE_RATIO
from nerfstudio.viewer.viewer_elements import ViewerControl

from baseh3d_ns.first_look import NEARER, FirstLook
from baseh3d_ns.shapes.datamanager import look_from


def test_a_browser_opens_where_the_first_camera_stands_outside_the_unit_ball():
    cameras = look_from((30.0, 0.0))
    connected = []
    holder = SimpleNamespace(first_look=FirstLook(cameras))
    ((_, control),) = parse_object(holder, ViewerControl, "Custom Elements")
    control._setup(SimpleNamespace(viser_server=SimpleNamespace(on_client_connect=connected.append)))
    client = SimpleNamespace(camera=SimpleNamespace(), atomic=nullcontext)
    connected[0](client)
    position = client.camera.position / VISER_NERFSTUDIO_SCALE_RATIO
    np.testing.assert_allclose(position, NEARER * cameras.camera_to_worlds[0, :, 3].numpy())
    assert np.linalg.norm(position) > 1.0 and client.camera.look_at == (0.0, 0.0, 0.0)
    looks = (client.camera.look_at - position) / np.linalg.norm(position)
    np.testing.assert_allclose(looks, -cameras.camera_to_worlds[0, :, 2].numpy(), atol=1e-6)
    np.testing.assert_allclose(client.camera.up_direction, [0.0, 1.0, 0.0], atol=1e-6)
    # The unit ball fits into the picture.
    assert np.tan(client.camera.fov / 2.0) * np.linalg.norm(position) == pytest.approx(1.0, rel=0.35)
