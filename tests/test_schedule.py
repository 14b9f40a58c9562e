"""The schedule of a training, and its state in a checkpoint."""

import pytest

from baseh3d_ns.training.schedule import Schedule


def planned(steps: int) -> Schedule:
    schedule = Schedule()
    schedule.planned = steps
    return schedule


def test_progress_goes_from_where_it_began():
    schedule = planned(1000)
    assert [schedule.progress(step) for step in (0, 250, 1000)] == [0.0, 0.25, 1.0]
    schedule.start_progress = 0.5
    assert schedule.progress(250) == 0.75


def test_a_checkpoint_keeps_it():
    schedule, again = planned(60), Schedule()
    schedule.start_progress = 0.5
    again.load_state_dict(schedule.state_dict())
    assert again.progress(30) == schedule.progress(30) == 1.0


@pytest.mark.parametrize(
    "change",
    [
        {"progress": "gone"},
        {"planned": "500"},
        {"planned": 5.5},
        {"planned": -1},
        {"start_progress": float("nan")},
        {"start_progress": -0.5},
        {"start_progress": True},
        None,
    ],
    ids=str,
)
def test_a_checkpoint_sets_no_other_attribute_and_no_other_type(change):
    schedule = planned(500)
    good = schedule.get_extra_state()
    with pytest.raises(ValueError, match="schedule"):
        schedule.set_extra_state(None if change is None else good | change)
    assert callable(schedule.progress) and schedule.get_extra_state() == good
