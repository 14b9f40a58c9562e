"""Meshing against closed forms and against marching cubes on a dense lattice."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes
from torch import Tensor

from baseh3d_ns.errors import InputError
from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.mesh import marching
from baseh3d_ns.mesh.extract import NoSurfaceError, _check_spacing, extract_mesh

Field = Callable[[Tensor], Tensor]
FRAME = SceneFrame(centre_mm=(10.0, -20.0, 30.0), radius_mm=100.0)
SPACING_MM = 1.7
OFF_LATTICE = torch.tensor([0.0031, -0.0017, 0.0047])
"""Keeps surfaces off the lattice nodes, where an exact zero may go to either side."""


def ball(centre: tuple[float, float, float], radius: float) -> Field:
    return lambda x: (x - torch.tensor(centre)).norm(dim=-1) - radius


def bumpy(x: Tensor) -> Tensor:
    """A dented ellipsoid, not an exact distance."""
    x = x + OFF_LATTICE
    return ((x / torch.tensor([0.5, 0.8, 0.3])).norm(dim=-1) - 1.0) * 0.3 + 0.02 * torch.sin(9.0 * x).prod(dim=-1)


def two_balls(x: Tensor) -> Tensor:
    x = x + OFF_LATTICE
    return torch.minimum(ball((0.4, 0.0, 0.0), 0.3)(x), ball((-0.5, 0.0, 0.0), 0.2)(x))


def pillar(x: Tensor) -> Tensor:
    """A cylinder along z that leaves the ball and the box."""
    return (x + OFF_LATTICE)[:, :2].norm(dim=-1) - 0.4


def thin_shell(x: Tensor) -> Tensor:
    """A hollow ball whose wall is thinner than two spacings."""
    return ((x + OFF_LATTICE).norm(dim=-1) - 0.6).abs() - 0.011


def steep_half(x: Tensor) -> Tensor:
    """The same ball everywhere, but six times as steep where x > 0."""
    return ball((0.0, 0.1, 0.0), 0.6)(x + OFF_LATTICE) * torch.where(x[:, 0] > 0, 6.0, 1.0)


def random_network() -> Field:
    """An MLP started as a ball (Atzmon and Lipman 2020), roughened by noise on the encoded coordinates."""
    generator = torch.Generator().manual_seed(3)
    first = torch.randn(32, 27, generator=generator).double() * math.sqrt(2.0 / 32)
    first[:, 3:] *= 0.02
    second = torch.randn(32, 32, generator=generator).double() * math.sqrt(2.0 / 32)
    last = torch.full((32,), math.sqrt(math.pi / 32)).double()

    def network(x: Tensor) -> Tensor:
        waves = [wave(x * math.pi * 2**octave) for octave in range(4) for wave in (torch.sin, torch.cos)]
        hidden = torch.nn.functional.softplus(torch.cat([x, *waves], dim=-1) @ first.T, beta=100)
        return torch.nn.functional.softplus(hidden @ second.T, beta=100) @ last - 0.5

    return network


def dense_vertices_mm(sdf: Field) -> np.ndarray:
    """Marching cubes of the field cut by the ball, every lattice node evaluated: slow and obvious."""
    spacing = SPACING_MM / FRAME.radius_mm
    half = math.ceil(1.0 / spacing) + 1
    axis = torch.arange(-half, half + 1).float() * spacing
    points = torch.cartesian_prod(axis, axis, axis)
    values = torch.cat(
        [torch.maximum(sdf(p.clamp(-1, 1)).float(), p.norm(dim=-1) - 1.0) for p in points.split(1 << 17)]
    )
    vertices, _, _, _ = marching_cubes(values.reshape(2 * half + 1, 2 * half + 1, -1).double().numpy(), 0.0)
    return FRAME.to_world_mm((vertices.astype(float) - half) * spacing)


def assert_closed(mesh: trimesh.Trimesh, components: int = 1) -> None:
    assert mesh.is_watertight and mesh.is_winding_consistent
    assert mesh.volume > 0
    assert mesh.body_count == components
    assert (mesh.area_faces > 0).all()


@pytest.mark.parametrize("spacing_mm", [1.2, 3.0])
def test_sphere_has_its_radius_and_centre_in_world_millimetres(spacing_mm: float) -> None:
    mesh = extract_mesh(ball((0.1, 0.2, -0.1), 0.5), FRAME, spacing_mm=spacing_mm)
    assert_closed(mesh)
    from_centre = np.linalg.norm(mesh.vertices - [20.0, 0.0, 20.0], axis=1)
    # Linear interpolation in a cell is wrong by the square of the spacing over eight radii.
    assert np.abs(from_centre - 50.0).max() < spacing_mm**2 / (8 * 50.0) * 3 + 1e-3
    assert np.allclose(mesh.center_mass, [20.0, 0.0, 20.0], atol=spacing_mm / 20)
    assert mesh.edges_unique_length.mean() < spacing_mm


@pytest.mark.parametrize(
    "sdf", [bumpy, two_balls, pillar, thin_shell, steep_half, random_network()], ids=lambda sdf: sdf.__name__
)
def test_coarse_to_fine_equals_the_dense_lattice(sdf: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    # 30 cubes of 7 mm along the box in the first pass: coarser than it ever is in use.
    monkeypatch.setattr("baseh3d_ns.mesh.marching.COARSE_CELLS", 16)

    def exact(x: Tensor) -> Tensor:
        # In double precision: where an edge grazes the surface, the rounding of float32 moves vertices by 0.001 mm.
        return sdf(x.double())

    mesh = extract_mesh(exact, FRAME, spacing_mm=SPACING_MM, keep_all=True)
    expected = dense_vertices_mm(exact)
    assert mesh.is_watertight and mesh.volume > 0
    assert len(mesh.vertices) == len(expected)
    # Vertices are kept 1e-4 of a spacing off the lattice nodes, and |x| - 1 is rounded to float32.
    assert cKDTree(mesh.vertices).query(expected)[0].max() < 5e-4
    assert cKDTree(expected).query(mesh.vertices)[0].max() < 5e-4


@pytest.mark.parametrize("nodes", [1, 60_000])
def test_slabs_hold_no_more_nodes_than_memory_allows_and_the_mesh_is_the_same(
    nodes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    thick = extract_mesh(bumpy, FRAME, spacing_mm=SPACING_MM)
    slabs: list[tuple[int, ...]] = []

    def noted(slab: marching._Slab, step: float, march_slab: Callable = marching._march_slab):
        slabs.append(slab.values.shape)
        return march_slab(slab, step)

    monkeypatch.setattr(marching, "_march_slab", noted)
    monkeypatch.setattr(marching, "SLAB_NODES", nodes)
    thin = extract_mesh(bumpy, FRAME, spacing_mm=SPACING_MM)
    layers = {shape[0] for shape in slabs}
    assert layers == {3} if nodes == 1 else max(map(math.prod, slabs)) <= nodes < 33 * math.prod(slabs[0][1:])
    assert np.array_equal(thin.faces, thick.faces) and np.abs(thin.vertices - thick.vertices).max() < 1e-4


@pytest.mark.parametrize("slope", [0.5, 2.0])
def test_a_field_that_is_no_exact_distance_gives_the_same_mesh(slope: float) -> None:
    plain = extract_mesh(bumpy, FRAME, spacing_mm=2.0)
    scaled = extract_mesh(lambda x: slope * bumpy(x), FRAME, spacing_mm=2.0)
    assert_closed(scaled)
    assert len(scaled.vertices) == len(plain.vertices)
    assert np.abs(scaled.vertices - plain.vertices).max() < 1e-3


def test_a_slope_bound_that_was_too_small_is_found_out_and_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("baseh3d_ns.mesh.extract.SLOPE_BOUNDS", (0.4,))
    assert not extract_mesh(bumpy, FRAME, spacing_mm=2.0).is_watertight
    monkeypatch.setattr("baseh3d_ns.mesh.extract.SLOPE_BOUNDS", (0.4, 2.0))
    assert_closed(extract_mesh(bumpy, FRAME, spacing_mm=2.0))


def test_only_the_largest_component_unless_all_are_wanted() -> None:
    largest = extract_mesh(two_balls, FRAME, spacing_mm=2.0)
    assert_closed(largest)
    assert np.allclose(largest.center_mass, [50.0, -20.0, 30.0], atol=0.6)
    assert_closed(extract_mesh(two_balls, FRAME, spacing_mm=2.0, keep_all=True), components=2)


def test_the_wall_of_a_cavity_is_no_component_to_keep() -> None:
    mesh = extract_mesh(thin_shell, FRAME, spacing_mm=1.0)
    assert_closed(mesh)
    assert mesh.extents == pytest.approx([122.2] * 3, abs=0.5)


def test_a_surface_that_leaves_the_ball_is_closed_by_it() -> None:
    mesh = extract_mesh(pillar, FRAME, spacing_mm=1.5)
    assert_closed(mesh)
    assert mesh.extents == pytest.approx([80.0, 80.0, 200.0], abs=0.1)


def test_what_lies_outside_the_ball_does_not_show() -> None:
    def with_debris(x: Tensor) -> Tensor:
        return torch.minimum(ball((0.0, 0.0, 0.0), 0.5)(x), ball((0.9, 0.9, 0.9), 0.3)(x))

    assert_closed(extract_mesh(with_debris, FRAME, spacing_mm=2.0, keep_all=True))


def test_far_fewer_evaluations_than_a_dense_lattice_and_all_inside_the_box() -> None:
    asked = []

    def counting(x: Tensor) -> Tensor:
        asked.append(len(x))
        assert x.abs().max() <= 1.0 and not torch.is_grad_enabled()
        return bumpy(x)

    mesh = extract_mesh(counting, FRAME, spacing_mm=0.6)
    assert mesh.is_watertight
    # 337^3 nodes when dense; what remains is the first pass and some ten per vertex.
    assert sum(asked) < 337**3 / 10
    assert sum(asked) < 84**3 + 15 * len(mesh.vertices)
    assert max(asked) <= 1 << 14


@pytest.mark.parametrize(
    ("sdf", "says"),
    [
        (lambda x: x.norm(dim=-1) + 0.25, ("smallest value 0.2", "largest 1.2", "outside", "masks")),
        (lambda x: x.norm(dim=-1) - 3.0, ("largest -2", "inverted")),
        (lambda x: x.norm(dim=-1) / 0.0 * 0.0, ("not finite", "nan", "learning rate")),
    ],
)
def test_no_surface_is_one_sentence_with_the_range_of_values(sdf: Field, says: tuple[str, ...]) -> None:
    with pytest.raises(NoSurfaceError) as caught:
        extract_mesh(sdf, FRAME, spacing_mm=2.0)
    message = str(caught.value)
    assert isinstance(caught.value, InputError) and "\n" not in message
    assert all(part in message for part in says), message


@pytest.mark.parametrize("spacing_mm", [0.0, -1.0, 30.0, float("nan")])
def test_impossible_spacing_is_refused(spacing_mm: float) -> None:
    with pytest.raises(InputError, match="spacing"):
        extract_mesh(bumpy, FRAME, spacing_mm=spacing_mm)


def test_the_spacings_that_a_refusal_names_are_allowed() -> None:
    frame = SceneFrame(centre_mm=(0.0, 0.0, 0.0), radius_mm=229.0)
    with pytest.raises(InputError, match=r"choose one from .* to .* mm") as caught:
        _check_spacing(0.01, frame)
    for named in re.findall(r"from (\S+) to (\S+) mm", str(caught.value))[0]:
        _check_spacing(float(named), frame)
