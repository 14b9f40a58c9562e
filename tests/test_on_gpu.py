"""`scripts/on_gpu.py` leaves JSON, table and log whatever its parts do."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from baseh3d_ns import __version__

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
sys.path.insert(0, str(SCRIPTS))

import on_gpu  # noqa: E402
from on_gpu import OnGpu, Part  # noqa: E402
from on_gpu_table import table  # noqa: E402

ABOUT = {"small": True, "data": "heads"}


def shell(name: str, script: str, share: float = 1.0) -> Part:
    """A part that is a line of shell; `$2` is the file of its figures."""
    return Part(name, share, ("sh", "-c", script, "sh"))


def results(out: Path) -> dict[str, dict]:
    """Content of on_gpu.json, by part."""
    return {outcome["part"]: outcome for outcome in json.loads((out / "on_gpu.json").read_text())["parts"]}


def is_running(process: str) -> bool:
    """Whether a process is there; one that has ended may wait to be collected by its parent."""
    status = Path(f"/proc/{process}/status")
    return status.is_file() and "State:\tZ" not in status.read_text()


def test_parts_that_fail_hang_or_crash_leave_their_reason_and_what_they_measured(tmp_path):
    parts = [
        shell("good", """echo '{"steps": 3, "steps_per_s": 2.5}' > "$2"; echo all well"""),
        shell("fails", """echo '{"steps": 1}' > "$2"; echo 'ValueError: no such head' >&2; exit 3"""),
        Part("not there", 1.0, ("/no/such/program",)),
        shell("crashes", "kill -SEGV $$"),
        shell("hangs", f"""echo '{{"steps": 2}}' > "$2"; sleep 77 & echo $! > '{tmp_path}/child'; wait"""),
        shell("skips", """echo '{"skipped": 1, "not run": "no GPU here"}' > "$2" """),
        shell("last", """echo '{"512 cells": {"seconds": 1.0, "vertices": 9}}' > "$2" """),
    ]
    begin = time.monotonic()
    OnGpu(tmp_path / "out", parts, 7.0, ABOUT).main()
    assert time.monotonic() - begin < 10.0
    found = results(tmp_path / "out")
    assert {name: outcome["status"] for name, outcome in found.items()} == {
        "good": "done",
        "fails": "failed",
        "not there": "failed",
        "crashes": "failed",
        "hangs": "out of time",
        "skips": "skipped",
        "last": "done",
    }
    assert found["fails"]["reason"] == "ValueError: no such head" and found["fails"]["figures"] == {"steps": 1}
    assert "/no/such/program" in found["not there"]["reason"] and found["crashes"]["reason"] == "exit code -11"
    assert found["hangs"]["figures"] == {"steps": 2} and found["skips"]["reason"] == "no GPU here"
    assert not is_running((tmp_path / "child").read_text().strip())
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"on_gpu.json", "on_gpu.md", "on_gpu.log"}
    assert "all well" in (tmp_path / "out" / "on_gpu.log").read_text()
    lines = (tmp_path / "out" / "on_gpu.md").read_text()
    assert (
        "| fails | failed: ValueError: no such head, 1 steps |" in lines and "| last: 512 cells | 9 vertices |" in lines
    )


def test_results_are_whole_after_every_part(tmp_path):
    parts = [shell("first", "true"), shell("second", f"""cp '{tmp_path}/on_gpu.json' "$2" """)]
    OnGpu(tmp_path, parts, 20.0, ABOUT).main()
    seen = results(tmp_path)["second"]["figures"]
    assert [outcome["part"] for outcome in seen["parts"]] == ["first"] and seen["small"] is True


def test_parts_that_no_time_is_left_for_say_so(tmp_path):
    OnGpu(tmp_path, [shell("one", "true"), shell("two", "true")], 0.0, ABOUT).main()
    assert [outcome["status"] for outcome in results(tmp_path).values()] == ["out of time"] * 2
    assert "no time was left" in (tmp_path / "on_gpu.md").read_text()


def test_time_that_is_short_is_shared(tmp_path):
    """Later parts have their share although the first could use all."""
    OnGpu(tmp_path, [shell("greedy", "sleep 60", 90.0), shell("modest", "true", 30.0)], 2.0, ABOUT).main()
    found = results(tmp_path)
    assert found["greedy"]["status"] == "out of time" and 1.0 < found["greedy"]["seconds"] < 2.0
    assert found["modest"]["status"] == "done"


def fits_of(faces: list[float], device: str = "a GPU") -> dict:
    """Results with fits that ended at these face errors."""
    fits = {
        f"seed {seed}": {"face_mm": face, "head_mm": 3.0 + 0.1 * seed, "start_s": 9.0, "close_s": 20.0 + seed}
        | {"seconds": 40.0, "steps": 700, "peak_memory_gb": 1.0}
        for seed, face in enumerate(faces)
    }
    outcomes = [("machine", {"device": device, "python": "3.12", "torch": "2.11"}), ("fits", fits)]
    parts = [
        {"part": part, "status": "done", "reason": "", "seconds": 1, "figures": figures} for part, figures in outcomes
    ]
    return {"baseh3d_ns": __version__, "small": False, "parts": parts}


@pytest.mark.parametrize("cpu, face", [([1.0, 1.2, 1.4], "within"), ([2.0, 2.1, 2.2], "beyond")])
def test_fits_are_set_beside_those_of_a_cpu(cpu, face):
    lines = table(fits_of([1.1, 1.2, 1.3]), fits_of(cpu, "CPU, 2 threads")).splitlines()
    assert lines[0] == f"**a GPU; baseh3d_ns {__version__}, python 3.12, torch 2.11**"
    (mean,), (beside,) = (
        [line for line in lines if line.startswith(start)] for start in ("| fits: mean", "| fits: the same")
    )
    assert "1.20 ± 0.10" in mean and "21.00 ± 1.00" in mean
    assert beside.startswith(f"| fits: the same on CPU, 2 threads | face {face} scatter, head within scatter |")


def test_results_of_another_version_or_size_or_damaged_are_no_reference(tmp_path):
    file = tmp_path / "on_gpu.json"
    assert on_gpu.read_reference(file, {"small": False}) == {}
    file.write_text(json.dumps(fits_of([1.0])))
    assert on_gpu.read_reference(file, {"small": False})["parts"]
    assert on_gpu.read_reference(file, {"small": True}) == {}
    file.write_text("{")
    assert on_gpu.read_reference(file, {"small": False}) == {}
    file.write_text(json.dumps({**fits_of([1.0]), "baseh3d_ns": "0.1.0"}))
    assert on_gpu.read_reference(file, {"small": False}) == {}


def test_the_time_until_a_fit_is_close_to_its_end():
    from on_gpu_parts import seconds_until_close

    from baseh3d_ns.benchmark.point import Point

    points = [Point(step, 10.0 * step, face, 1.0) for step, face in enumerate((float("inf"), 2.2, 2.09, 2.3, 2.0))]
    assert seconds_until_close(points) == 20.0


def test_packages_that_the_image_lacks_are_brought_along():
    """All that this package depends on, but for rays on a scan (embreex; synthetic heads are made elsewhere)."""
    text = (SCRIPTS / "on_gpu.sh").read_text()
    brought = names_of(text.split("PACKAGES=(")[1].split(")")[0].replace('"', "").split())
    image = "torch torchvision torchmetrics numpy scipy scikit-image opencv-python-headless jaxtyping safetensors"
    image += " matplotlib pillow pyyaml tqdm packaging"
    needed = tomllib.loads((SCRIPTS.parent / "pyproject.toml").read_text())["project"]["dependencies"]
    assert names_of(needed) - brought - set(image.split()) == {"embreex", "tomli"}


def names_of(requirements: list[str]) -> set[str]:
    """Names of packages without their versions."""
    return {re.split(r"[<>=;]", requirement)[0].strip() for requirement in requirements}


def test_the_command_line_says_how_to_prepare_and_what_is_missing(tmp_path):
    def call(*words: str) -> subprocess.CompletedProcess:
        return subprocess.run(["bash", SCRIPTS / "on_gpu.sh", *words], capture_output=True, text=True)

    usage = call()
    assert usage.returncode == 2 and "bash scripts/on_gpu.sh prepare" in usage.stdout
    missing = call(str(tmp_path / "out"), "--data", str(tmp_path))
    assert missing.returncode == 2 and "is no H3DS root: make it with" in missing.stderr
