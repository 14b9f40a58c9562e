"""The page of a benchmark, as a browser shows it from a file."""

import base64
import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlparse

import numpy as np
import pytest
import trimesh
from bench_run import (
    CURVES,
    DEFINITION,
    FRAME,
    PROVENANCE,
    SCENES,
    all_results,
    floors,
    head,
    result,
    write_evaluation,
    write_run,
)
from PIL import Image

from baseh3d_ns.benchmark import heads
from baseh3d_ns.benchmark.charts import convergence, error_against_time, scan_bars
from baseh3d_ns.benchmark.definition import DataSource, Row
from baseh3d_ns.benchmark.heads import MAX_FACES, head_content, packed, page_heads
from baseh3d_ns.benchmark.metrics import FLOOR_NAME
from baseh3d_ns.benchmark.report import one_sentence, page, provenance, write_report
from baseh3d_ns.benchmark.results import curves_frame, to_frame
from baseh3d_ns.errors import InputError

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--window-size=1500,1400",
)
THREE_ROWS = replace(DEFINITION, rows=(*DEFINITION.rows, Row("not run", "idr")))
RED, GREEN, BLUE = (200, 60, 60), (60, 160, 60), (60, 60, 200)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The page of a run whose last cell has no evaluation, with a row that has no result at all."""
    run = tmp_path_factory.mktemp("bench") / "run with a space"
    return write_report(run, THREE_ROWS, write_run(run))


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Headless Chromium with a profile of its own, WebGL in software."""
    if shutil.which("chromium") is None:
        pytest.skip("needs Debian's chromium and chromium-driver: apt-get install chromium chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    driver.set_script_timeout(60)
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser, report):
    """The page, freshly loaded; afterwards the console must be free of errors."""
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(report.as_uri())
    settle(browser)
    yield browser
    errors = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert not errors


def settle(browser):
    """Until all charts are drawn, the pictures are decoded and plotly has drawn twice."""
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(browser, 60).until(
        lambda _: browser.execute_script("return !document.querySelector('.chart:not(.js-plotly-plot)')")
    )
    browser.execute_async_script(
        "const done = arguments[0]; const picture = document.getElementById('picture');"
        "picture.decode().catch(() => 0).then(() => requestAnimationFrame(() => requestAnimationFrame(done)));"
    )


def click(browser, choice, value):
    browser.find_element("css selector", f'[data-choice="{choice}"] button[value="{value}"]').click()
    settle(browser)


def shown(browser) -> dict:
    """Pixel of the picture, height (mm) and first colour of the mesh, the note, the buttons that are down."""
    return browser.execute_script("""
        const picture = document.getElementById("picture"), trace = (document.getElementById("mesh").data ?? [])[0];
        const pixels = document.createElement("canvas").getContext("2d");
        if (!picture.hidden) pixels.drawImage(picture, 0, 0);
        return {
          picture: picture.hidden ? null : Array.from(pixels.getImageData(9, 9, 1, 1).data).slice(0, 3),
          height: trace ? Math.max(...trace.y) - Math.min(...trace.y) : null,
          colours: trace ? [...new Set(trace.vertexcolor)].sort() : null,
          note: document.getElementById("note").textContent,
          pressed: [...document.querySelectorAll(".choice [aria-pressed=true]")].map((button) => button.value),
        };
    """)


def mesh_pixels(browser) -> np.ndarray:
    """Pixels of the 3-D view, (n, 3), 0 to 255."""
    png = browser.find_element("id", "mesh").screenshot_as_png
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).reshape(-1, 3).astype(int)


def test_it_opens_from_a_file(opened, tmp_path):
    assert opened.title == "Two methods <on> two scenes" == opened.find_element("tag name", "h1").text
    headings = [one.text for one in opened.find_elements("tag name", "h2")]
    sections = "Tables, Every scan, Error against time, Convergence, Heads, Failed, Skipped or missing, Provenance"
    assert ", ".join(headings) == sections.replace("Failed, Skipped or", "Failed, skipped,")
    assert "1.50 ± 0.50" in opened.find_element("tag name", "table").text
    body = opened.find_element("tag name", "body").text
    assert "published on the ten h3d-net scenes, ours on 2 synthetic ones" in body and "abc123" in body
    assert 'name = "two" # <the definition>' in " ".join(opened.find_element("tag name", "pre").text.split())
    drawn = opened.execute_script("return [...document.querySelectorAll('.chart')].map((c) => c.data.length)")
    # In two panels: three rows and the floor; single fits and means; two fits and their mean where there are curves.
    assert drawn == [8, 12, 12]
    assert "not run scan0, scan1 3 0 missing no result yet" in body
    opened.save_screenshot(str(tmp_path / "page.png"))
    assert len(Image.open(tmp_path / "page.png").convert("RGB").getcolors(10**7)) > 50


def test_nothing_is_fetched(opened, report):
    click(opened, "scan", "scan1")
    messages = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    sent = [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]
    assert report.as_uri() in sent
    assert all(url.startswith(("data:", "blob:")) or url == report.as_uri() for url in sent)


def test_buttons_change_picture_and_mesh(opened):
    first = shown(opened)
    assert first["picture"] == pytest.approx(RED, abs=3) and first["height"] == pytest.approx(200.0, abs=0.1)
    assert "face 1.00, head 4.00" in first["note"] and first["pressed"] == ["scan0", "ours", "error"]
    click(opened, "method", "idr")
    second = shown(opened)
    assert second["picture"] == pytest.approx(BLUE, abs=3) and second["height"] == pytest.approx(240.0, abs=0.1)
    assert second["colours"] == ["rgb(255,255,255)", "rgb(60,60,200)"] and second["pressed"][1] == "idr"
    click(opened, "surface", "colour")
    assert shown(opened)["colours"] == ["rgb(220,180,150)", "rgb(255,255,255)"]
    click(opened, "method", "ours")
    click(opened, "scan", "scan1")
    third = shown(opened)
    assert third["picture"] == pytest.approx(GREEN, abs=3) and third["height"] == pytest.approx(220.0, abs=0.1)
    assert third["pressed"] == ["scan1", "ours", "colour"], "the surface stays chosen"


def test_the_files_of_a_head_are_linked(opened):
    def names():
        return [link.text for link in opened.find_elements("css selector", "#files a")]

    assert names() == ["error_heatmap.ply", "evaluation.png", "head.ply"]
    link = opened.find_element("css selector", "#files a").get_attribute("href")
    assert (Path(unquote(urlparse(link).path))).is_file()
    click(opened, "scan", "scan1")
    click(opened, "method", "idr")
    assert names() == []


def test_nothing_is_wider_than_a_phone(opened):
    """Tables and charts scroll by themselves; at the end the window is as it was."""
    size = opened.get_window_size()
    opened.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    )
    try:
        settle(opened)
        width, inner = opened.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
        assert width <= inner == 390
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        opened.set_window_size(size["width"], size["height"])


def test_a_cell_without_pictures(opened):
    click(opened, "scan", "scan1")
    click(opened, "method", "idr")
    there = shown(opened)
    assert there["picture"] is None and there["height"] is None and "no pictures in its folder" in there["note"]
    click(opened, "method", "ours")
    assert shown(opened)["height"] == pytest.approx(220.0, abs=0.1)


def test_arrow_keys_change_the_method(opened):
    from selenium.webdriver.common.keys import Keys

    body = opened.find_element("tag name", "body")
    right, left = Keys.ARROW_RIGHT, Keys.ARROW_LEFT
    for key, expected in ((right, "idr"), (right, "not run"), (right, "ours"), (left, "not run"), (left, "idr")):
        body.send_keys(key)
        settle(opened)
        assert shown(opened)["pressed"][1] == expected
        assert ("no result yet" in shown(opened)["note"]) == (expected == "not run")


def test_the_mesh_is_drawn_and_keeps_its_view(opened):
    from selenium.webdriver import ActionChains

    def share(channel):
        pixels = mesh_pixels(opened)
        others = np.delete(pixels, channel, axis=1).max(axis=1)
        return (pixels[:, channel] > others + 60).mean()

    def eye():
        return opened.execute_script("return document.getElementById('mesh')._fullLayout.scene.camera.eye")

    assert share(0) > 0.1 and share(2) < 0.01, "a red head"
    before = eye()
    ActionChains(opened).drag_and_drop_by_offset(opened.find_element("id", "mesh"), 150, 20).perform()
    settle(opened)
    turned = eye()
    assert turned != before
    click(opened, "method", "idr")
    assert share(2) > 0.1 and share(0) < 0.01, "a blue head"
    assert eye() == pytest.approx(turned)


def test_the_page_names_no_address(report):
    """But for plotly.js, whose map charts do; the policy in the page keeps the browser from fetching anything."""
    html = report.read_text(encoding="utf-8")
    library = max(re.findall(r"<script>(.*?)</script>", html, re.DOTALL), key=len)
    assert html.count("Plotly.newPlot") and len(library) > 10**6 and html.count(library) == 1
    own = html.replace(library, "")
    assert "http" not in own.replace("http-equiv", "") and not re.search(r"\bsrc=", own)
    linked = re.findall(r'href="([^"]*)"', own)
    # Three heads with three files each; the run's folder has a space, which no link needs to name.
    assert len(linked) == 9 and all((report.parent / link).is_file() for link in linked)
    assert "default-src 'none'" in own and "connect-src" not in own
    assert "/home/someone" not in html and str(report.parent) not in html


def test_the_files_of_every_seed_are_linked(tmp_path):
    results = write_run(tmp_path / "run")
    again = [(folder, replace(one, seed=1)) for folder, one in results]
    once, twice = (page(tmp_path / "run", DEFINITION, fits).count('<a href="') for fits in (results, results + again))
    assert twice - once == 9


def test_charts_of_the_first_change_alone_say_so(tmp_path):
    data = replace(DEFINITION.data, changes=("as it is", "badly captured"))
    copies = [(tmp_path, replace(one, scene=f"{one.scene}, as it is", change="as it is")) for one in all_results()]
    said = "Heads 'as it is' alone.</p>"
    plain, html = (page(tmp_path, replace(DEFINITION, data=one), copies) for one in (DEFINITION.data, data))
    assert said not in plain
    assert f"pale: single fits. {said}" in html and f"not part of the time. {said}" in html


def test_a_run_without_any_picture_or_curve(tmp_path):
    bare = [replace(one, curve=(), train_s=None, provenance={}) for one in all_results()]
    html = page(tmp_path, DEFINITION, [(tmp_path / one.id, one) for one in bare])
    assert "No fit was scored on its way" in html and "no pictures in its folder" in html
    nothing = write_report(tmp_path, DEFINITION, []).read_text(encoding="utf-8")
    assert "No head yet" in nothing and "no result yet" in nothing


def test_a_failed_cell_says_why(tmp_path):
    failed = result("ours", "scan0", None, status="failed", reason="out of <memory>")
    assert page_heads(tmp_path, [(tmp_path, failed)])[0]["note"] == "failed: out of <memory>"
    retried = replace(result("ours", "scan0", 1.0), seed=1)
    shown = page_heads(tmp_path, [(tmp_path, failed), (tmp_path, retried), (tmp_path, floors()[0])])
    assert len(shown) == 1 and "face 1.00" in shown[0]["note"], "the first seed that is done"
    shown = page_heads(tmp_path, [(tmp_path, retried), (tmp_path, replace(failed, seed=2))])
    assert "face 1.00" in shown[0]["note"], "also when a later one failed"
    assert "out of &lt;memory&gt;" in page(tmp_path, DEFINITION, [(tmp_path, failed)])


def unpacked(content) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices in mm, faces, colours of the first surface."""
    vertices, faces = (np.frombuffer(base64.b64decode(content[name]), "<u2") for name in ("vertices", "faces"))
    colours = np.frombuffer(base64.b64decode(next(iter(content["colours"].values()))), "u1")
    low, step_mm = np.array(content["low"]), content["step_mm"]
    return low + step_mm * vertices.reshape(-1, 3), faces.reshape(-1, 3), colours.reshape(-1, 3)


@pytest.mark.parametrize("subdivisions", [3, 7])
def test_a_packed_mesh_is_the_same_surface(subdivisions):
    dense = head(100.0, subdivisions, RED)
    vertices, faces, colours = unpacked(packed({"error": dense, "colour": dense}))
    assert len(faces) == min(len(dense.faces), MAX_FACES) and faces.max() < len(vertices) == len(colours)
    distance_mm = trimesh.proximity.closest_point(dense, vertices)[1]
    assert distance_mm.max() < 0.3
    assert trimesh.Trimesh(vertices, faces).volume == pytest.approx(dense.volume, rel=2e-3)
    assert (colours[vertices[:, 2] > 95.0] == 255).all() and (colours[vertices[:, 2] < 0.0] == RED).all()


def test_pictures_are_small_jpegs(tmp_path):
    write_evaluation(tmp_path / "evaluation", 1, 2)
    content = head_content(tmp_path / "evaluation")
    picture = Image.open(io.BytesIO(base64.b64decode(content["picture"].split(",")[1])))
    assert picture.format == "JPEG" and picture.size == (1600, 1200)
    assert list(content["mesh"]["colours"]) == ["error", "colour"]
    (tmp_path / "evaluation" / "error_heatmap.ply").unlink()
    (tmp_path / "evaluation" / "evaluation.png").unlink()
    content = head_content(tmp_path / "evaluation")
    assert "picture" not in content and list(content["mesh"]["colours"]) == ["colour"]
    assert head_content(tmp_path / "nothing") == {}


def test_many_heads_share_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(heads, "FULL_SIZE", 1)
    monkeypatch.setattr(heads, "MAX_FACES", 2000)
    shown = [one for one in page_heads(tmp_path, write_run(tmp_path)) if "mesh" in one]
    assert len(shown) == 3, "of the four that are done"
    for one in shown:
        assert len(unpacked(one["mesh"])[1]) == 500
        assert Image.open(io.BytesIO(base64.b64decode(one["picture"].split(",")[1]))).width == 800


def test_charts_hold_the_numbers():
    bars = scan_bars(DEFINITION, FRAME, "3")
    drawn = {bar.name: tuple(bar.y) for bar in bars.data if bar.xaxis == "x"}
    assert drawn == {"ours": (1.0, 2.0), "idr": (3.0, 5.0), FLOOR_NAME: (0.2, 0.2)}
    time = {trace.name: trace for trace in error_against_time(DEFINITION, FRAME).data if trace.error_y.array}
    assert time["idr"].x == (45.0,) and time["idr"].y == (16.0,) and time["idr"].error_y.array == (4.0,)
    mean = [trace for trace in convergence(DEFINITION, CURVES, "3").data if trace.line.width == 3]
    assert mean[0].name == "ours" and mean[0].x == (5.0, 10.0, 20.0) and mean[0].y == (3.5, 2.5, 2.0)
    assert convergence(DEFINITION, CURVES, "8") is None
    alone = convergence(DEFINITION, curves_frame(all_results()[:1]), "3")
    assert len(alone.data) == 2 and sum(trace.showlegend for trace in alone.data) == 1, "no mean of one"


def test_published_scans_are_bars():
    on_h3ds = replace(DEFINITION, data=DataSource(Path("h3ds")), scenes=("scan3",))
    bars = scan_bars(on_h3ds, to_frame([result("ours", "scan3", 1.5, scene_id="1b2a8613401e42a8")]), "3")
    published = [bar for bar in bars.data if bar.name == "BaseH3D-Net, published"]
    assert [tuple(bar.y) for bar in published] == [(1.26,), (7.78,)] and published[0].marker.pattern.shape == "/"


def test_sentence_and_provenance():
    sentence = one_sentence(DEFINITION, all_results())
    assert sentence.startswith("2 methods on 2 scenes with 3 views: 4 of 4 fits done, measured 2026-11-01; ")
    changed = replace(DEFINITION, data=replace(DEFINITION.data, changes=("as it is", "badly captured")))
    copies = [
        replace(one, scene=f"{one.scene}, {change}", change=change)
        for one in all_results()
        for change in changed.data.changes
    ]
    assert one_sentence(changed, copies).startswith("2 methods on 2 scenes with 3 views: 8 of 8 fits done")
    lines = dict(
        provenance([*all_results(), result("ours", SCENES[0], 1.0, provenance={**PROVENANCE, "git_commit": "f00"})])
    )
    assert lines["git commit"] == "abc123, f00" and lines["device"] == "CPU, 2 threads" and lines["torch"] == "2.9.1"
    assert "dataset path" not in lines


@pytest.mark.parametrize("name", ["evaluation.png", "head.ply", "error_heatmap.ply"])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_damaged_picture_or_mesh_is_named(name, share, tmp_path):
    (folder, result), *_ = write_run(tmp_path, subdivisions=2)
    file = folder / "evaluation" / name
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(InputError, match=f"{name} is damaged .*: move the folder of its cell away"):
        page_heads(tmp_path, [(folder, result)])


def test_a_mesh_without_a_surface_is_named(tmp_path):
    (folder, result), *_ = write_run(tmp_path, subdivisions=2)
    vertices, faces = np.eye(3), np.array([[0, 1, 7]])
    (folder / "evaluation" / "head.ply").write_bytes(
        trimesh.Trimesh(vertices, faces, process=False, validate=False).export(file_type="ply")
    )
    with pytest.raises(InputError, match="head.ply is damaged"):
        page_heads(tmp_path, [(folder, result)])
