"""A fit whose loss has stopped falling ends early, with its schedule gone through to the end."""

import torch
from processes import train

from baseh3d_ns.runs import open_run
from baseh3d_ns.training.plateau import COOLING, SETTLED, EarlyEnd

PLANNED, WINDOW = 1000, 50


def trained(losses, plateau=0.02) -> tuple[EarlyEnd, int]:
    """What becomes of a training with these losses, and the step at which it turns to its end (-1: never)."""
    end = EarlyEnd()
    turns = [step for step, loss in enumerate(losses) if end.see(torch.tensor(loss), step, PLANNED, plateau, WINDOW)]
    return end, turns[0] if turns else -1


def test_a_falling_loss_is_trained_to_the_last_step():
    end, turn = trained([0.999**step for step in range(PLANNED)])  # 5 % a window
    assert turn == -1 and end.last(PLANNED) == PLANNED
    assert [end.progress(step, PLANNED) for step in (0, 250, 1000)] == [0.0, 0.25, 1.0]


def test_a_flat_loss_ends_it_and_the_schedule_still_reaches_its_end():
    end, turn = trained([1.0] * PLANNED)
    assert turn == SETTLED * PLANNED + 2 * WINDOW - 1  # the first look that compares two windows
    assert end.last(PLANNED) == (turn + 1) + round(COOLING * (turn + 1))
    progress = [end.progress(step, PLANNED) for step in range(end.last(PLANNED) + 1)]
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
    first, again = EarlyEnd(), EarlyEnd()
    losses = [0.99**step for step in range(400)] + [0.99**400] * 600
    _, turn = trained(losses)
    for step, loss in enumerate(losses[: turn - 70]):
        first.see(torch.tensor(loss), step, PLANNED, 0.02, WINDOW)
    again.load_state_dict(first.state_dict())
    rest = enumerate(losses[turn - 70 :], start=turn - 70)
    turns = [step for step, loss in rest if again.see(torch.tensor(loss), step, PLANNED, 0.02, WINDOW)]
    assert turns == [turn] and turn > 400


def test_losses_before_a_half_seen_window_count_for_nothing():
    """Resumed with --plateau in the middle of a window, or with other steps than the first run's."""
    end = EarlyEnd()
    turns = [step for step in range(437, PLANNED) if end.see(torch.tensor(1.0), step, PLANNED, 0.02, WINDOW)]
    assert turns == [437 + 2 * WINDOW - 1]
    assert end.last(PLANNED) < PLANNED and end.last(2 * PLANNED) == 2 * PLANNED
    assert end.progress(600, 2 * PLANNED) == 0.3


def test_a_loss_that_is_no_number_ends_nothing():
    assert trained([float("nan")] * PLANNED)[1] == -1


def test_colours_that_have_settled_end_nothing_before_the_shape_has_learned():
    end = EarlyEnd()
    turns = [step for step in range(PLANNED) if end.see(torch.tensor(1.0), step, PLANNED, 0.02, WINDOW, settled=0.6)]
    assert turns == [600 + 2 * WINDOW - 1]


def test_an_early_end_survives_in_the_checkpoint_and_can_be_taken_back():
    end, _ = trained([1.0] * PLANNED)
    again = EarlyEnd()
    again.load_state_dict(end.state_dict())
    assert again.last(PLANNED) == end.last(PLANNED) < PLANNED
    assert again.progress(450, PLANNED) == end.progress(450, PLANNED)
    again.forget()
    assert again.last(PLANNED) == PLANNED and again.progress(450, PLANNED) == 0.45


def test_a_run_ends_early_says_so_and_goes_on_only_when_told_to(tiny_root, prior_run, tmp_path):
    options = ["--load-prior", prior_run.folder, "--register", False, "--epochs", 20, "--plateau-steps", 2]
    said = train("baseh3d-fast", tiny_root, tmp_path, *options, "--plateau", 0.9)
    folder = tmp_path / "t" / "baseh3d-fast" / "t"
    assert "has stopped falling (step 21)" in said and "ends with step 27, not 59" in said
    assert open_run(folder).step == 27
    again = ["--load-dir", folder / "nerfstudio_models"]
    refused = train("baseh3d-fast", tiny_root, tmp_path / "2", *options, *again, "--plateau", 0.9, fails=True)
    assert "already reached its last step 27" in refused and "--plateau 0" in refused
    train("baseh3d-fast", tiny_root, tmp_path / "3", *options, *again, "--plateau", 0)
    assert open_run(tmp_path / "3" / "t" / "baseh3d-fast" / "t").step == 59


def test_a_window_of_no_steps_is_refused(tiny_root, tmp_path):
    said = train("baseh3d-fast", tiny_root, tmp_path, "--plateau-steps", 0, fails=True)
    assert "--plateau-steps must be at least 1" in said and "Traceback" not in said
    said = train("baseh3d-fast", tiny_root, tmp_path, "--plateau", 5, fails=True)
    assert "--plateau 5.0 is no fraction" in said and "Traceback" not in said
