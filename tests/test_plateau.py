"""A fit whose loss has stopped falling ends early, with its schedule gone through to the end."""

from dataclasses import replace

import pytest
import torch
from processes import train

from baseh3d_ns.heads.readers import open_head
from baseh3d_ns.training.plateau import PlateauRule, PlateauSchedule

PLANNED, WINDOW = 1000, 50
RULE = PlateauRule(min_fall=0.02, window=WINDOW, first=0.3, cooldown=0.25)


def planned() -> PlateauSchedule:
    schedule = PlateauSchedule()
    schedule.plan(PLANNED)
    return schedule


def trained(losses) -> tuple[PlateauSchedule, int]:
    """The schedule of a training with these losses, and the step at which its cooldown begins (-1: never)."""
    schedule = planned()
    turns = [step for step, loss in enumerate(losses) if schedule.update(torch.tensor(loss), step, RULE)]
    return schedule, turns[0] if turns else -1


def test_a_falling_loss_is_trained_to_the_last_step():
    schedule, turn = trained([0.999**step for step in range(PLANNED)])  # 5 % a window
    assert turn == -1 and schedule.total_steps == PLANNED
    assert [schedule.progress(step) for step in (0, 250, 1000)] == [0.0, 0.25, 1.0]


def test_a_flat_loss_ends_it_and_the_schedule_still_reaches_its_end():
    schedule, turn = trained([1.0] * PLANNED)
    assert turn == RULE.first * PLANNED + 2 * WINDOW - 1  # the first look that compares two windows
    assert schedule.total_steps == (turn + 1) + round(RULE.cooldown * (turn + 1))
    progress = [schedule.progress(step) for step in range(schedule.total_steps + 1)]
    steps = torch.tensor(progress).diff()
    assert progress[turn + 1] == (turn + 1) / PLANNED and progress[-1] == 1.0
    torch.testing.assert_close(steps[: turn + 1], torch.full((turn + 1,), 1.0 / PLANNED), rtol=1e-2, atol=0)
    assert steps[turn + 1 :].min() > 2.0 / PLANNED


def test_noise_within_a_window_is_no_plateau():
    noise = 1.0 + 0.1 * torch.randn(PLANNED, generator=torch.Generator().manual_seed(0))
    falling = [0.998**step * float(factor) for step, factor in enumerate(noise)]  # 10 % a window
    assert trained(falling)[1] == -1


def test_near_the_planned_end_it_is_too_late_to_end_early():
    losses = [0.998**step for step in range(800)] + [0.998**800] * 200
    assert trained(losses)[1] == -1


def test_a_training_that_is_resumed_ends_where_it_would_have():
    first, again = planned(), PlateauSchedule()
    losses = [0.99**step for step in range(400)] + [0.99**400] * 600
    _, turn = trained(losses)
    for step, loss in enumerate(losses[: turn - 70]):
        first.update(torch.tensor(loss), step, RULE)
    again.load_state_dict(first.state_dict())
    again.plan(PLANNED)
    rest = enumerate(losses[turn - 70 :], start=turn - 70)
    turns = [step for step, loss in rest if again.update(torch.tensor(loss), step, RULE)]
    assert turns == [turn] and turn > 400


def test_losses_before_a_half_seen_window_count_for_nothing():
    """Resumed with --plateau in the middle of a window, or with other steps than the first run's."""
    schedule = planned()
    turns = [step for step in range(437, PLANNED) if schedule.update(torch.tensor(1.0), step, RULE)]
    assert turns == [437 + 2 * WINDOW - 1] and schedule.total_steps < PLANNED
    schedule.plan(2 * PLANNED)
    assert schedule.total_steps == 2 * PLANNED and schedule.progress(600) == 0.3


def test_a_loss_that_is_no_number_ends_nothing():
    assert trained([float("nan")] * PLANNED)[1] == -1


def test_colours_that_have_settled_end_nothing_before_the_shape_has_learned():
    schedule, rule = planned(), replace(RULE, first=0.6)
    turns = [step for step in range(PLANNED) if schedule.update(torch.tensor(1.0), step, rule)]
    assert turns == [600 + 2 * WINDOW - 1]


def test_an_early_end_survives_in_the_checkpoint_and_can_be_taken_back():
    schedule, _ = trained([1.0] * PLANNED)
    schedule.start_progress = 0.5
    again = PlateauSchedule()
    again.load_state_dict(schedule.state_dict())
    assert again.total_steps == schedule.total_steps < PLANNED
    assert again.progress(450) == schedule.progress(450)
    again.reset()
    assert again.total_steps == PLANNED and again.progress(450) == 0.5 + 0.45


def test_a_checkpoint_sets_no_other_attribute_and_no_other_type():
    schedule = planned()
    good = schedule.get_extra_state()
    for odd in (
        {**good, "update": "gone"},
        {**good, "planned": "500"},
        {**good, "planned": 5.5},
        {"planned": 500},
        None,
    ):
        with pytest.raises(ValueError, match="schedule"):
            schedule.set_extra_state(odd)
    assert callable(schedule.update) and schedule.get_extra_state() == good


def test_a_run_ends_early_says_so_and_goes_on_only_when_told_to(tiny_root, prior_run, tmp_path):
    options = ["--load-prior", prior_run.folder, "--register", False, "--epochs", 20, "--plateau-steps", 2]
    said = train("baseh3d-fast", tiny_root, tmp_path, *options, "--plateau", 0.9)
    folder = tmp_path / "t" / "baseh3d-fast" / "t"
    assert "has stopped falling (step 21)" in said and "ends with step 27, not 59" in said
    assert open_head(folder).provenance["steps"] == 28
    again = ["--load-dir", folder / "nerfstudio_models"]
    refused = train("baseh3d-fast", tiny_root, tmp_path / "2", *options, *again, "--plateau", 0.9, fails=True)
    assert "already reached its last step 27" in refused and "--plateau 0" in refused
    train("baseh3d-fast", tiny_root, tmp_path / "3", *options, *again, "--plateau", 0)
    assert open_head(tmp_path / "3" / "t" / "baseh3d-fast" / "t").provenance["steps"] == 60
