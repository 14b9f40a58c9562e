"""Pictures of a glTF file by three.js, the usual renderer of web pages, in headless Chromium."""

from __future__ import annotations

import shutil
import socket
import tempfile
import time
from contextlib import ExitStack
from math import cos, radians, sin
from pathlib import Path

import numpy as np
import viser
from drive_viewer import Page
from jaxtyping import Float, UInt8

from baseh3d_ns.errors import InputError

FOV_DEG = 24.0
LOADS_S, SETTLES_S = 15.0, 6.0
"""Times that the page takes, drawing in software, to load a textured mesh and to move its camera."""
SHARP = "Object.defineProperty(window, 'devicePixelRatio', {get: () => 4})"
"""viser's page draws down to a fifth as many pixels across as the screen has, where drawing is slow."""


def check_browser() -> None:
    """Raise `InputError` where Chromium or its driver is not installed."""
    missing = [program for program in ("chromium", "chromedriver") if shutil.which(program) is None]
    if missing:
        raise InputError(f"{' and '.join(missing)} not found: install Debian's packages chromium and chromium-driver")


def three_js_pictures(
    file: Path, middle: Float[np.ndarray, " 3"], reach_m: float, azimuths_deg: tuple[float, ...], size_px: int
) -> list[UInt8[np.ndarray, "h w 3"]]:
    """Pictures of a .glb on white, from azimuths about +Y; 0 is in front of +Z.

    Args:
        middle: point to look at, in metres.
        reach_m: radius of a ball round it that fills the picture.
        size_px: width and height.
    """
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    server = viser.ViserServer(port=port, verbose=False)
    server.scene.set_up_direction("+y")
    server.scene.add_glb("/head", file.read_bytes())
    with ExitStack() as ends:
        ends.callback(server.stop)
        page = Page(port, Path(ends.enter_context(tempfile.TemporaryDirectory())))
        ends.callback(page.driver.quit)
        client = page.wait(lambda: next(iter(server.get_clients().values()), None), "the page")
        page.driver.set_window_size(size_px + 400, size_px + 200)
        page.wait(lambda: page.driver.find_elements("xpath", "//canvas"), "its canvas")
        page.driver.execute_script(SHARP)
        time.sleep(LOADS_S)
        return [_picture(client, middle, reach_m, azimuth, size_px) for azimuth in azimuths_deg]


def _picture(
    client: viser.ClientHandle, middle: Float[np.ndarray, " 3"], reach_m: float, azimuth_deg: float, size_px: int
) -> UInt8[np.ndarray, "h w 3"]:
    angle, distance = radians(azimuth_deg), reach_m / sin(radians(FOV_DEG) / 2.0)
    client.camera.fov = radians(FOV_DEG)
    client.camera.up_direction = (0.0, 1.0, 0.0)
    client.camera.position = middle + distance * np.array([sin(angle), 0.0, cos(angle)])
    client.camera.look_at = middle
    client.flush()
    time.sleep(SETTLES_S)
    shown = client.camera.get_render(size_px, size_px, transport_format="png")
    alpha = shown[..., 3:] / 255.0
    return (shown[..., :3] * alpha + 255.0 * (1.0 - alpha)).round().astype(np.uint8)
