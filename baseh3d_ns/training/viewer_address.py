"""Address of the viewer where another program has the port that was asked for."""

from __future__ import annotations

from typing import Any

from nerfstudio.utils.rich_utils import CONSOLE
from nerfstudio.viewer.viewer_elements import ViewerControl


class ViewerAddress(ViewerControl):
    """Corrects the address that nerfstudio prints: its server takes the next free port without a word. nerfstudio finds
    this in a pipeline."""

    def _setup(self, viewer: Any) -> None:
        super()._setup(viewer)
        asked, port = viewer.config.websocket_port, self.viser_server.get_port()
        if asked not in (None, port):
            CONSOLE.log(f"Port {asked} is taken: the viewer is at port {port} instead.")
            viewer.viewer_info = [line.replace(f":{asked}", f":{port}") for line in viewer.viewer_info]
