"""The part `cuda tests` of `on_gpu.sh`: `pytest -m cuda`; without a GPU the tests are only collected."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    import pytest

TESTS = Path(__file__).resolve().parents[1] / "tests" / "test_cuda.py"


class Counter:
    """A plugin of pytest that keeps the number of tests with each outcome in a file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.counts: dict[str, int | str] = {}

    def keep(self) -> None:
        """Write the file anew, whole at any time."""
        unfinished = self.file.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(self.counts), encoding="utf-8")
        os.replace(unfinished, self.file)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.counts = {"collected": len(session.items)}
        self.keep()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            self.counts[report.outcome] = int(self.counts.get(report.outcome, 0)) + 1
            self.keep()


def main() -> int:
    """Run the tests; the exit code is pytest's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figures", type=Path, required=True, help="JSON file to write")
    counter = Counter(parser.parse_args().figures)
    if find_spec("pytest") is None:
        counter.counts["not run"] = "pytest is not installed"
        counter.keep()
        return 0
    import pytest

    there = torch.cuda.is_available()
    with tempfile.TemporaryDirectory() as scratch:
        words = [str(TESTS), "-m", "cuda", "-v", "-p", "no:cacheprovider", f"--basetemp={scratch}/tests"]
        # Without checks of types: Python 3.12 finds no member of a protocol among the submodules of torch.nn.Module.
        words += ["-o", "addopts="]
        code = pytest.main([*words, *["--collect-only"] * (not there)], plugins=[counter])
    if code == pytest.ExitCode.OK and not there:
        counter.counts["not run"] = f"no GPU here: {counter.counts.pop('collected')} tests collected, not run"
        counter.keep()
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
