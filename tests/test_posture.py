"""Shoulders turn under a head that stays where it is, and the bust below them is closed."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from baseh3d_ns.synthetic.anatomy import ATTRIBUTES, CANONICAL
from baseh3d_ns.synthetic.posture import (
    BENDS_MM,
    DEPTH_MM,
    DOWN_AND_BACK,
    MEANS,
    NECK_MM,
    ROTATION_SPREAD_DEG,
    SCALE_SPREAD,
    TRANSLATION_SPREAD_MM,
    Posture,
    apply_posture,
)
from baseh3d_ns.synthetic.surface import Surface

HEIGHT_MM = 11.0
"""Where the body stands is not where canonical coordinates have it."""


@pytest.fixture
def column() -> Surface:
    """An open column from the crown to the chest, in the place of a head."""
    mesh = trimesh.creation.cylinder(radius=90.0, height=320.0, sections=48)
    mesh = mesh.subdivide_to_size(12.0)
    vertices = mesh.vertices[:, [0, 2, 1]] * [1.0, 1.0, -1.0] + [0.0, -40.0, 0.0]
    attributes = np.zeros((len(vertices), ATTRIBUTES))
    attributes[:, CANONICAL] = vertices
    side = ~np.isclose(mesh.face_normals[:, 2], -1.0)
    return Surface(vertices + [0.0, HEIGHT_MM, 0.0], mesh.faces[side], attributes).keep_faces(np.ones(side.sum(), bool))


def depths(surface: Surface) -> np.ndarray:
    return surface.attributes[:, CANONICAL] @ DOWN_AND_BACK


def test_no_posture_moves_nothing(column):
    same, _ = apply_posture(column, Posture(np.zeros(3), np.zeros(3), np.ones(3), 180.0))
    np.testing.assert_allclose(same.vertices_mm, column.vertices_mm, atol=1e-9)


def test_the_face_stays_and_the_shoulders_move_rigidly(column):
    moved, _ = apply_posture(column, Posture(np.array([9.0, -5.0, 3.0]), np.array([2.0, -4.0, 6.0]), np.ones(3), 180.0))
    depth = depths(column)
    face, shoulders = depth < BENDS_MM[0], depth > BENDS_MM[1]
    assert face.sum() > 50 and shoulders.sum() > 50
    np.testing.assert_allclose(moved.vertices_mm[face], column.vertices_mm[face], atol=1e-9)
    assert np.linalg.norm(moved.vertices_mm - column.vertices_mm, axis=1)[shoulders].min() > 3.0
    before, after = (
        trimesh.transformations.vector_norm(surface.vertices_mm[shoulders] - surface.vertices_mm[shoulders][:1], axis=1)
        for surface in (column, moved)
    )
    np.testing.assert_allclose(after, before, atol=1e-6)


def test_shoulders_grow_under_a_face_that_does_not(column):
    grown, _ = apply_posture(column, Posture(np.zeros(3), np.zeros(3), np.array([0.9, 1.0, 1.2]), 180.0))
    face, shoulders = depths(column) < BENDS_MM[0], depths(column) > BENDS_MM[1]
    np.testing.assert_allclose(grown.vertices_mm[face], column.vertices_mm[face], atol=1e-9)
    before, after = (np.ptp(surface.vertices_mm[shoulders], axis=0) for surface in (column, grown))
    np.testing.assert_allclose(after / before, [0.9, 1.0, 1.2], atol=1e-6)


def test_the_chin_belongs_to_the_face():
    chin, nape = np.array([0.0, -112.0, 92.0]), np.array([0.0, -95.0, -70.0])
    assert chin @ DOWN_AND_BACK < BENDS_MM[0] < nape @ DOWN_AND_BACK


def test_the_pivot_is_in_the_neck_wherever_the_body_stands(column):
    lifted = column.moved(column.vertices_mm + [0.0, 500.0, 0.0])
    posture = Posture(np.array([8.0, 0.0, 0.0]), np.zeros(3), np.array([1.1, 1.0, 1.2]), 180.0)
    low, high = (apply_posture(surface, posture)[0].vertices_mm for surface in (column, lifted))
    np.testing.assert_allclose(high - [0.0, 500.0, 0.0], low, atol=1e-9)
    # Sizes change about it as well.
    wide = apply_posture(column, Posture(np.zeros(3), np.zeros(3), np.array([2.0, 2.0, 2.0]), 180.0))[0].vertices_mm
    pivot = (2.0 * column.vertices_mm - wide)[depths(column) > BENDS_MM[1]]
    assert np.ptp(pivot, axis=0).max() < 1e-6
    assert abs(pivot[0, 1] - NECK_MM[1] - HEIGHT_MM) < 20.0


def test_the_bottom_closes_the_bust_and_faces_down(column):
    same, bottom = apply_posture(column, Posture(np.zeros(3), np.zeros(3), np.ones(3), 180.0))
    corners = same.vertices_mm[bottom]
    assert np.ptp(corners[..., 1]) < 1e-9
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (normals[:, 1] < 0).all()
    # A polygon of 48 corners in a circle of 90 mm.
    area = np.linalg.norm(normals, axis=1).sum() / 2
    assert area == pytest.approx(np.pi * 90.0**2, rel=0.01)


def test_postures_differ_and_stay_within_what_people_do():
    drawn = [Posture.draw(np.random.default_rng(seed)) for seed in range(200)]
    turns = np.array([posture.rotation_deg for posture in drawn])
    assert (np.abs(turns - MEANS[0]) <= 2.0 * np.array(ROTATION_SPREAD_DEG) + 1e-9).all()
    np.testing.assert_allclose(turns.std(axis=0), 0.96 * np.array(ROTATION_SPREAD_DEG), rtol=0.15)
    # Backs lie farther behind, shoulders lower than the body model has them.
    shift = np.array([posture.translation_mm for posture in drawn])
    assert turns[:, 0].mean() > 2.0 and shift[:, 1].mean() < -3.0
    np.testing.assert_allclose(shift.std(axis=0), 0.96 * np.array(TRANSLATION_SPREAD_MM), rtol=0.15)
    scale = np.array([posture.scale for posture in drawn])
    np.testing.assert_allclose(scale.mean(axis=0), MEANS[2], atol=0.02)
    np.testing.assert_allclose(scale.std(axis=0), 0.96 * np.array(SCALE_SPREAD), rtol=0.15)
    reach = np.array([posture.depth_mm for posture in drawn])
    assert DEPTH_MM[0] <= reach.min() < 172 and 218 < reach.max() <= DEPTH_MM[1]
    again = Posture.draw(np.random.default_rng(3))
    np.testing.assert_array_equal(again.rotation_deg, drawn[3].rotation_deg)
