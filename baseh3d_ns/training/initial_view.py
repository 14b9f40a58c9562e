"""The viewer's first view: where the first photo was taken; its own default lies in the unit ball, inside a cheek."""

from __future__ import annotations

from math import atan
from typing import Any

from nerfstudio.cameras.cameras import Cameras
from nerfstudio.viewer.viewer_elements import ViewerControl

DISTANCE_FACTOR = 0.9
"""Distance of the first view, in distances of the camera: the photo that the viewer shows in the camera would hide the
head."""


class InitialView(ViewerControl):
    """Shows every browser that connects the head from a dataset's first camera; nerfstudio finds it in a pipeline."""

    def __init__(self, dataset: Any) -> None:
        cameras: Cameras = dataset.cameras
        self.c2w = cameras.camera_to_worlds[0].cpu().double().numpy()
        self.fov = 2.0 * atan(float(cameras.height[0]) / (2.0 * float(cameras.fy[0])))

    def _setup(self, viewer: Any) -> None:
        super()._setup(viewer)
        self.viser_server.on_client_connect(self.show_head)

    def show_head(self, client: Any) -> None:
        """Move the camera of a browser, keeping the head in the middle of its orbit."""
        from nerfstudio.viewer.viewer import VISER_NERFSTUDIO_SCALE_RATIO

        with client.atomic():
            client.camera.up_direction = self.c2w[:, 1]
            client.camera.position = DISTANCE_FACTOR * self.c2w[:, 3] * VISER_NERFSTUDIO_SCALE_RATIO
            client.camera.look_at = (0.0, 0.0, 0.0)
            client.camera.fov = self.fov
