"""The import graph: no cycles, no room that imports a higher floor. Imports within functions count. And sizes."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

PACKAGE = "baseh3d_ns"
FLOORS = (
    "bars bounds errors extras files frames cameras similarity quiet",
    "rendering",
    "fields",
    "pretrained",
    "data",
    "own_photos",
    "heads",
    "mesh",
    "placing",
    "warm_start",
    "models",
    "training",
    "shape_space",
    "evaluation",
    "texture",
    "viewer",
    "capture",
    "synthetic",
    "benchmark",
    "methods commands cli",
)
"""From the ground up; a room imports from itself and from the floors below. The modules of one line share a room."""
STRANGERS = (
    ("rendering", "models"),
    ("fields", "models"),
    ("models", "training"),
    ("heads", "training"),
    ("mesh", "training"),
    ("shape_space", "synthetic"),
    ("evaluation", "training"),
)
"""The first must not need the second, not even through others."""
GUESTS = {"anny": "synthetic", "pycolmap": "capture", "jinja2": "benchmark"}
"""Libraries that come with extras, and the only room that may import each."""

MOST_LINES_OF_FILE, MOST_LINES_OF_FUNCTION = 250, 50

FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names.split()}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(PACKAGE, include_external_packages=True, cache_dir=None)


def own_imports(graph: grimp.ImportGraph) -> list[tuple[str, str]]:
    """(importer, imported) within the package; its `__init__`, which only holds the version, belongs to no room."""
    own = sorted(module for module in graph.modules if module.startswith(f"{PACKAGE}."))
    return [
        (module, imported)
        for module in own
        for imported in sorted(graph.find_modules_directly_imported_by(module))
        if imported.startswith(f"{PACKAGE}.")
    ]


def room(module: str) -> str:
    """`baseh3d_ns.data.ray_pool` -> `data`."""
    return module.split(".")[1]


def cycle(edges: list[tuple[str, str]]) -> list[str]:
    """Some cycle of the graph with these edges, or nothing."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for importer, imported in edges:
        sorter.add(importer, imported)
    try:
        sorter.prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_module_imports_itself_through_others(graph):
    assert cycle(own_imports(graph)) == []


def test_no_room_imports_itself_through_others(graph):
    between = [(room(a), room(b)) for a, b in own_imports(graph) if room(a) != room(b)]
    assert cycle(between) == []


def test_every_room_has_its_floor(graph):
    children = graph.find_children(PACKAGE)
    assert {room(module) for module in children} == set(FLOOR)


def test_nothing_imports_from_a_higher_floor(graph):
    climbs = [
        f"{a} -> {b}"
        for a, b in own_imports(graph)
        if room(a) != room(b) and FLOOR.get(room(b), len(FLOORS)) > FLOOR.get(room(a), -1)
    ]
    assert climbs == []


@pytest.mark.parametrize(("one", "other"), STRANGERS)
def test_strangers(graph, one, other):
    chain = graph.find_shortest_chain(f"{PACKAGE}.{one}", f"{PACKAGE}.{other}", as_packages=True)
    assert chain is None, " -> ".join(chain)


def test_only_the_command_line_knows_the_benchmark(graph):
    know = {a for a, b in own_imports(graph) if room(b) == "benchmark" and room(a) != "benchmark"}
    assert know == {f"{PACKAGE}.commands.benchmarks"}


@pytest.mark.parametrize(("library", "host"), GUESTS.items())
def test_guests_stay_in_their_room(graph, library, host):
    importers = graph.find_modules_that_directly_import(library)
    assert importers and {room(module) for module in importers} == {host}


def test_files_and_functions_are_short():
    root, long = Path(__file__).resolve().parents[1], []
    for file in [*(root / PACKAGE).rglob("*.py"), *(root / "scripts").glob("*.py")]:
        text = file.read_text(encoding="utf-8")
        long += [file.name] * (len(text.splitlines()) > MOST_LINES_OF_FILE)
        functions = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef))
        long += [
            f"{file.name}: {one.name}" for one in functions if one.end_lineno - one.lineno >= MOST_LINES_OF_FUNCTION
        ]
    assert long == []
