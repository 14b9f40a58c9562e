"""World mm <-> unit ball <-> nerfstudio axes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from baseh3d_ns.frames import SceneFrame

centres = st.tuples(*[st.floats(-500.0, 500.0)] * 3)
frames = st.builds(SceneFrame, centre_mm=centres, radius_mm=st.floats(10.0, 2000.0))
points = arrays(np.float64, (7, 3), elements=st.floats(-1000.0, 1000.0))


@given(frames, points)
def test_mm_to_unit_and_back(frame, points_mm):
    np.testing.assert_allclose(frame.to_world_mm(frame.to_unit(points_mm)), points_mm, atol=1e-9)


@given(frames, points)
def test_the_matrix_says_the_same_as_the_methods(frame, points_unit):
    homogeneous = np.c_[points_unit, np.ones(len(points_unit))] @ frame.unit_to_world.T
    np.testing.assert_allclose(homogeneous[:, :3], frame.to_world_mm(points_unit), rtol=1e-9, atol=1e-6)


@given(frames)
def test_from_scale_mat_inverts_unit_to_world(frame):
    again = SceneFrame.from_scale_mat(frame.unit_to_world)
    assert again.radius_mm == pytest.approx(frame.radius_mm) and again.centre_mm == pytest.approx(frame.centre_mm)


@given(frames, points)
def test_nerfstudio_can_undo_the_frame(frame, points_mm):
    transform, scale = frame.world_to_unit_transform()
    moved = torch.from_numpy(points_mm).float() @ transform[:, :3].T + transform[:, 3]
    torch.testing.assert_close(moved * scale, torch.from_numpy(frame.to_unit(points_mm)).float(), rtol=1e-4, atol=1e-4)


def test_tensors_stay_tensors():
    frame = SceneFrame(centre_mm=(1.0, 2.0, 3.0), radius_mm=100.0)
    unit = frame.to_unit(torch.tensor([[101.0, 2.0, 3.0]]))
    torch.testing.assert_close(unit, torch.tensor([[1.0, 0.0, 0.0]]))


@pytest.mark.parametrize(
    "damage",
    [
        lambda m: m * 0.0,
        lambda m: np.where(m == m[0, 0], np.nan, m),
        lambda m: m @ np.diag([1.0, 2.0, 1.0, 1.0]),
        lambda m: m @ np.diag([-1.0, -1.0, -1.0, 1.0]),
    ],
)
def test_a_matrix_that_is_no_uniform_scale_is_refused(damage):
    with pytest.raises(ValueError):
        SceneFrame.from_scale_mat(damage(SceneFrame((1.0, 2.0, 3.0), 150.0).unit_to_world))
