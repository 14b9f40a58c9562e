"""Time of a still in the viewer, and pictures a second while the camera moves, on the real page in headless Chromium.

    python scripts/bench_viewer.py RUN/config.yml --output shots

A still counts from the moment that nerfstudio's render thread begins with it (the small picture that it sends first)
until the picture in full size leaves for the page. The browser draws in software, on the same cores, all the time; a
user's has a graphics card and mostly another machine. So every still is timed twice: beside the browser, and with the
browser halted from the small picture on.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import tyro
from drive_viewer import Page
from nerfstudio.scripts.viewer.run_viewer import RunViewer, ViewerConfigWithoutNumRays
from nerfstudio.viewer.render_state_machine import RenderStateMachine
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By

MOVING, SMALL, FULL = "low_move", "low_static", "high"
"""States of nerfstudio's render thread."""


@dataclass(frozen=True)
class Sent:
    """A picture on its way to the page."""

    state: str
    begun_s: float
    sent_s: float
    height: int


class Notes:
    """All pictures that the render thread has sent."""

    def __init__(self) -> None:
        self.pictures: list[Sent] = []
        begun: dict[Any, float] = {}
        render, send = RenderStateMachine._render_img, RenderStateMachine._send_output_to_viewer

        def timed(machine: Any, camera: Any) -> Any:
            begun[machine] = time.monotonic()
            return render(machine, camera)

        def noted(machine: Any, outputs: Any, static_render: bool = True) -> None:
            send(machine, outputs, static_render)
            self.pictures.append(Sent(machine.state, begun[machine], time.monotonic(), len(outputs["rgb"])))

        RenderStateMachine._render_img, RenderStateMachine._send_output_to_viewer = timed, noted

    def of(self, state: str, since_s: float = 0.0) -> list[Sent]:
        """Pictures of a state that were sent later."""
        return [picture for picture in list(self.pictures) if picture.state == state and picture.sent_s > since_s]


def listens(port: int) -> bool:
    """Whether the viewer's server is there."""
    with socket.socket() as asking:
        return asking.connect_ex(("localhost", port)) == 0


@contextmanager
def browser_halted() -> Iterator[None]:
    """No process of the browser works inside the block."""
    processes = psutil.Process().children(recursive=True)
    try:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


@dataclass
class BenchViewer:
    """Open a run in the viewer, ask for stills, turn the head."""

    load_config: tyro.conf.Positional[Path]
    """config.yml of a run."""
    output: Path
    """Folder for a screenshot."""
    repeats: int = 3
    """Pairs of stills (normal, rgb) after the first, which also samples what the others share."""
    turn_s: float = 8.0
    """Time that the camera moves."""
    port: int = 7119

    def main(self) -> None:
        self.output.mkdir(parents=True, exist_ok=True)
        notes = Notes()
        viewer = RunViewer(self.load_config, ViewerConfigWithoutNumRays(websocket_port=self.port))
        served = threading.Thread(target=viewer.main, daemon=True)
        served.start()
        while not listens(self.port):
            if not served.is_alive():
                sys.exit(f"the viewer of {self.load_config} did not start: its error stands above")
            time.sleep(0.5)
        page = Page(self.port, self.output)
        for process in psutil.Process().children(recursive=True):
            process.nice(19)
        page.wait(lambda: notes.of(FULL), "a still")
        print(
            f"first still: {notes.of(FULL)[0].sent_s - notes.pictures[0].begun_s:.2f} s after its small pictures began"
        )
        for how, halted in (("with the browser halted", True), ("beside the browser", False)):
            stills = [self.still(page, notes, name, halted) for _ in range(self.repeats) for name in ("normal", "rgb")]
            height = notes.of(FULL)[-1].height
            print(
                f"still of {height} px {how}: "
                f"{median(stills):.2f} s in the median of {len(stills)}, {max(stills):.2f} at most"
            )
        self.turn(page, notes)
        page.driver.quit()
        sys.stdout.flush()
        os._exit(0)  # nerfstudio's viewer never returns

    def still(self, page: Page, notes: Notes, output: str, halted: bool) -> float:
        """Seconds that another picture takes, in full size; the browser waits for it if `halted`."""
        asked = time.monotonic()
        page.choose("Output type", output)
        small: Sent = page.wait(lambda: notes.of(SMALL, asked), output)[0]
        with browser_halted() if halted else nullcontext():
            full: Sent = page.wait(lambda: notes.of(FULL, asked), output)[0]
        return full.sent_s - small.begun_s

    def turn(self, page: Page, notes: Notes) -> None:
        """Drag the head to and fro, and count."""
        canvas = page.driver.find_element(By.XPATH, "//canvas")
        begun = time.monotonic()
        ActionChains(page.driver).move_to_element(canvas).click_and_hold().perform()
        while time.monotonic() - begun < self.turn_s:
            for step in (12, -12):
                ActionChains(page.driver, duration=100).move_by_offset(step, 0).perform()
        sent = notes.of(MOVING, begun)
        ActionChains(page.driver).release().perform()
        page.shot("turned")
        if len(sent) < 2:
            print(f"moving: fewer than two pictures in {self.turn_s:.0f} s")
            return
        a_second = (len(sent) - 1) / (sent[-1].sent_s - sent[0].sent_s)
        print(f"moving: {a_second:.1f} pictures a second of {median(picture.height for picture in sent):.0f} px")


if __name__ == "__main__":
    tyro.cli(BenchViewer).main()
