"""Drive the viewer of a short training in headless Chromium, as a person would.

    python scripts/drive_viewer.py --data data/heads --output shots

Switches through all pictures, presses every button of the panel, sees mesh, scan and cutting plane appear, closes the
page in the middle of a picture, and fails where the console shows an error of ours or the training does not go on.
Screenshots are left for looking.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By

from baseh3d_ns.viewer.head_mesh import CUT, MESH, SCAN

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--window-size=1180,980")
SOFTWARE_GL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")
NOT_OURS = ("googletagmanager", "docs.nerf.studio", "computeBoundingSphere", "glTex", "ReadPixels", "DPR", "favicon")
"""Complaints of nerfstudio's page: it asks for logos and statistics from elsewhere, and draws an empty crop box."""


class Page:
    """The viewer's page in a browser of its own."""

    def __init__(self, port: int, shots: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or "chromium"
        for flag in (*FLAGS, *SOFTWARE_GL, f"--user-data-dir={tempfile.mkdtemp()}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
        self.driver.get(f"http://localhost:{port}")
        self.shots = shots

    def wait(self, found: Callable[[], Any], what: str, seconds: float = 600.0) -> Any:
        """Wait until something is there, and return it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if result := found():
                    return result
            except WebDriverException:
                pass
            time.sleep(0.2)
        self.shot("failed")
        sys.exit(f"not seen within {seconds:.0f} s: {what}")

    def text(self) -> str:
        """All words on the page."""
        return self.driver.find_element(By.TAG_NAME, "body").text

    def press(self, label: str) -> None:
        """Press a button."""
        self.driver.find_element(By.XPATH, f"//button[normalize-space()='{label}']").click()

    def control(self, label: str) -> Any:
        """The input beside a label."""
        return self.driver.find_element(By.XPATH, f"//label[normalize-space()='{label}']/following::input[1]")

    def options(self, label: str) -> list[str]:
        """Names in a dropdown."""
        self.control(label).click()
        names = [option.text for option in self._open_options()]
        self.control(label).click()
        return names

    def choose(self, label: str, name: str) -> None:
        """Choose from a dropdown."""
        self.control(label).click()
        next(option for option in self.wait(self._open_options, label) if option.text == name).click()

    def _open_options(self) -> list[Any]:
        options = self.driver.find_elements(By.XPATH, "//*[@role='option']")
        return [option for option in options if option.is_displayed()]

    def scene(self) -> list[str]:
        """Names in the scene, from the page's other pane."""
        pane = "//*[contains(@class, 'tabler-icon-adjustments')]/ancestor::button"
        self.driver.find_element(By.XPATH, pane).click()
        time.sleep(0.5)
        # Children are folded away; nodes without any have a caret, too.
        for folded in self.driver.find_elements(By.XPATH, "//*[contains(@class, 'tabler-icon-caret-right')]"):
            folded.click()
        time.sleep(0.5)
        words = self.text().split()
        self.driver.find_element(By.XPATH, "//*[contains(@class, 'tabler-icon-arrow-back')]/ancestor::button").click()
        return words

    def shot(self, name: str) -> None:
        """Save a screenshot."""
        self.driver.save_screenshot(str(self.shots / f"{name}.png"))

    def errors(self) -> list[str]:
        """Errors in the console that nerfstudio's own page does not always have."""
        return [
            entry["message"]
            for entry in self.driver.get_log("browser")
            if entry["level"] == "SEVERE" and not any(known in entry["message"] for known in NOT_OURS)
        ]


@dataclass
class DriveViewer:
    """Train, look at it, press everything."""

    data: Path
    """H3DS root with scans, as `baseh3d synth` makes it."""
    output: Path
    """Folder for the screenshots, the log and the run."""
    scene: str = "scan0"
    port: int = 7117
    epochs: int = 2000
    """Long enough for all buttons; the training is ended once they are pressed."""
    settle_s: float = 3.0
    """Time that a picture gets to begin, and to arrive."""

    def main(self) -> None:
        self.output.mkdir(parents=True, exist_ok=True)
        command = ["ns-train", "baseh3d-fast", "--data", self.data, "--output-dir", self.output, "--vis", "viewer"]
        command += ["--viewer.websocket-port", self.port, "--epochs", self.epochs]
        command += ["--warm-start.latent.steps", 40, "--warm-start.colours.steps", 80]
        command += ["h3ds-data", "--scene", self.scene, "--views", 3]
        log = self.output / "training.log"
        with log.open("w") as file:
            training = subprocess.Popen(list(map(str, command)), stdout=file, stderr=file)
            try:
                self.drive(training, log)
            finally:
                training.terminate()
                training.wait()

    def drive(self, training: subprocess.Popen[bytes], log: Path) -> None:
        """Look and press; end with a sentence where something is missing."""
        # A browser that draws in software would slow the warm start down.
        while "Start from" not in log.read_text():
            assert training.poll() is None, f"the training has ended, see {log}"
            time.sleep(0.5)
        page = Page(self.port, self.output)
        page.wait(lambda: "photo" in page.options("Output type"), "a picture")
        page.press("Pause Training")
        pictures = page.options("Output type")
        for name in pictures:
            page.choose("Output type", name)
            self.look(page, name)
        page.press("Resume Training")
        page.choose("Output type", "error_mm")
        page.press("Mesh now")
        page.wait(lambda: "Mesh of step" in page.text() and MESH in page.scene(), "the mesh")
        self.look(page, "mesh")
        page.press("Score now")
        page.wait(lambda: re.search(r"face \d+\.\d\d mm", page.text()), "the score")
        page.press("Save mesh (mm)")
        saved = page.wait(lambda: re.search(r"Wrote (\S+\.ply)", page.text()), "the file of the mesh")
        page.choose("Mesh", "beside the picture")
        self.look(page, "beside")
        page.control("Scan").click()
        page.choose("Cutting plane", "z")
        page.wait(lambda: {SCAN, CUT} <= set(page.scene()), "scan and cutting plane")
        self.look(page, "scan_and_cut")
        page.control("Loss so far").click()
        self.look(page, "loss")
        errors = page.errors()
        page.choose("Output type", "rgb")
        page.driver.quit()  # in the middle of a picture
        before = log.stat().st_size
        time.sleep(self.settle_s)
        assert training.poll() is None and log.stat().st_size > before, f"the training does not go on, see {log}"
        assert Path(saved[1]).is_file(), saved[1]
        assert not errors, errors
        print(f"{len(pictures)} pictures, all buttons, no error of ours: look at {self.output}")

    def look(self, page: Page, name: str) -> None:
        """Wait for the picture in full size and save it."""
        time.sleep(self.settle_s)  # until the small picture that comes first is asked for
        page.wait(lambda: re.search(r"Resolution: (512x|\d+x512)", page.text()), f"a picture of {name} in full size")
        time.sleep(self.settle_s)
        page.shot(name)


if __name__ == "__main__":
    tyro.cli(DriveViewer).main()
