"""Put the tables of a benchmark into the README; its numbers, its page and a picture of that beside the definition."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import tyro
from PIL import Image
from selenium import webdriver
from update_readme import UpdateReadme

from baseh3d_ns.benchmark.definition import read_definition
from baseh3d_ns.benchmark.results import read_csv
from baseh3d_ns.benchmark.tables import summary_markdown

FLAGS = ("--headless", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--hide-scrollbars")
WINDOW_PX = (1400, 6000)
PICTURE_WIDTH_PX = 1000


@dataclass
class ReadmeBench:
    """Replace what stands between `<!-- table: NAME -->` and `<!-- end -->`, NAME being the definition's."""

    run: tyro.conf.Positional[Path]
    """Results folder of `baseh3d bench`."""
    method: str
    """Row whose head the picture of the page shows."""

    def main(self) -> None:
        definition = read_definition(self.run / "definition.toml")
        kept = Path("configs/results") / f"{definition.name}.csv"
        kept.parent.mkdir(exist_ok=True)
        shutil.copy(self.run / "results.csv", kept)
        shutil.copy(self.run / "report.html", kept.with_suffix(".html"))
        take_picture(kept.with_suffix(".html"), self.method, kept.with_suffix(".png"))
        tables = self.run / "readme.md"
        tables.write_text(summary_markdown(definition, read_csv(kept)), encoding="utf-8")
        UpdateReadme(definition.name, tables, f"baseh3d bench configs/{definition.name}.toml").main()


def take_picture(page: Path, method: str, out: Path) -> None:
    """What Chromium shows of a benchmark's page, from its title to its heads, those of `method`."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in FLAGS:
        options.add_argument(flag)
    with webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver"))) as browser:
        browser.set_window_size(*WINDOW_PX)
        browser.get(page.resolve().as_uri())
        browser.find_element("css selector", f'[data-choice="method"] button[value="{method}"]').click()
        browser.execute_async_script(
            "const done = arguments[0]; document.getElementById('picture').decode()"
            ".then(() => requestAnimationFrame(() => requestAnimationFrame(done)));"
        )
        browser.save_screenshot(str(out))
        bottom = browser.execute_script("return document.getElementById('head').getBoundingClientRect().bottom")
    picture = Image.open(out).convert("RGB").crop((0, 0, WINDOW_PX[0], round(bottom) + 10))
    picture.thumbnail((PICTURE_WIDTH_PX, WINDOW_PX[1]))
    picture.quantize(128).save(out, optimize=True)


if __name__ == "__main__":
    tyro.cli(ReadmeBench, description=__doc__).main()
