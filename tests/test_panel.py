"""The viewer's panel on nerfstudio's own viewer, without a browser: its buttons, and what a run goes without."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from copy import deepcopy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trimesh
from nerfstudio.data.scene_box import OrientedBox
from nerfstudio.model_components.renderers import background_color_override_context
from nerfstudio.viewer.utils import parse_object
from nerfstudio.viewer.viewer import Viewer
from nerfstudio.viewer.viewer_elements import ViewerElement
from tiny_root import UNIT_RADIUS_MM

from baseh3d_ns import methods
from baseh3d_ns.errors import InputError
from baseh3d_ns.frames import SceneFrame
from baseh3d_ns.training.fair_lock import FairLock
from baseh3d_ns.training.loss_history import MOST, LossHistory
from baseh3d_ns.viewer import head_mesh
from baseh3d_ns.viewer import panel as panel_module
from baseh3d_ns.viewer.buttons import add_button, noticed
from baseh3d_ns.viewer.cut import Plane, picture
from baseh3d_ns.viewer.inspection import HeadInspection
from baseh3d_ns.viewer.panel import INSTEAD, NO_CUT, HeadPanel


@pytest.fixture(scope="module")
def pipeline(tiny_root):
    config = deepcopy(methods.baseh3d_fast.config.pipeline)
    config.datamanager.data, config.datamanager.dataparser.scene = tiny_root, "scan0"
    config.model.grid_cells = 24
    torch.manual_seed(0)  # how round an untrained head is is chance
    return config.setup(device="cpu", test_mode="val", world_size=1, local_rank=0)


@pytest.fixture(scope="module")
def viewer(pipeline, tmp_path_factory):
    """nerfstudio's viewer of a training after its twelfth step; its server takes seconds to start."""
    tmp_path = tmp_path_factory.mktemp("viewer")
    losses = LossHistory()
    losses.note(0, torch.tensor(0.5))
    trainer = SimpleNamespace(training_state="training", step=12, losses=losses)
    config = deepcopy(methods.baseh3d_fast.config.viewer)
    lock = FairLock()
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        config.websocket_port = other.getsockname()[1]  # of another program
        made = Viewer(config, tmp_path / "run" / "log.txt", tmp_path, pipeline, trainer, lock)
    yield made
    made.viser_server.stop()


def event(notices: list[str]) -> SimpleNamespace:
    """A press of a button in a browser."""
    add = lambda title, body, auto_close: notices.append(body)  # noqa: E731
    return SimpleNamespace(client=SimpleNamespace(add_notification=add))


def test_where_the_port_is_taken_the_viewer_says_the_one_it_has(viewer):
    port = viewer.viser_server.get_port()
    assert port != viewer.config.websocket_port and f":{port}" in viewer.viewer_info[0]
    assert f":{viewer.config.websocket_port}" not in viewer.viewer_info[0]


def test_every_button_does_its_work(viewer, pipeline, monkeypatch):
    monkeypatch.setattr(head_mesh, "SHOWN_SPACING_MM", 12.0)
    monkeypatch.setattr(head_mesh, "SAVED_SPACING_MM", 12.0)
    panel = pipeline.panel
    assert not panel.place.visible  # there is no mesh to place yet
    assert "Mesh of step 12" in panel.show_mesh() and panel.place.value == INSTEAD and panel.place.visible
    assert head_mesh.MESH in panel.scene.handles and not viewer.control_panel.layer_depth
    for number in ("", "-2"):
        said = panel.save_mesh()
        path = viewer.log_filename.parent / f"mesh-step-000012{number}.ply"
        assert str(path) in said
    mesh = trimesh.load(path)
    # About a sphere before any training, in world millimetres round the unit ball's centre.
    from_centre = np.linalg.norm(mesh.vertices - pipeline.inspection.frame.centre_mm, axis=1)
    assert np.median(from_centre) > 60.0 and from_centre.max() < UNIT_RADIUS_MM
    panel.axis.value = "z"
    panel.cut()
    assert head_mesh.CUT in panel.scene.handles
    panel.axis.value = NO_CUT
    panel.cut()
    assert head_mesh.CUT not in panel.scene.handles
    panel.scan.value = True
    panel.show_scan()
    assert head_mesh.SCAN in panel.scene.handles
    assert "face" in panel.score() and "mm" in panel.score()
    panel.follow(["rgb"])
    assert panel.curve.figure.data[0].y == (0.5,)


def test_a_plane_that_was_taken_away_while_it_was_computed_stays_away(viewer, pipeline, monkeypatch):
    panel, put = pipeline.panel, []

    def picture_of_a_moment_ago(*arguments):
        panel.axis.value = NO_CUT
        return picture(*arguments)

    monkeypatch.setattr(panel_module, "picture", picture_of_a_moment_ago)
    monkeypatch.setattr(panel.scene, "put_plane", lambda *plane: put.append(plane))
    panel.axis.value = "z"
    panel.cut()
    assert panel.axis.value == NO_CUT and not put


def test_where_nothing_trains_the_last_plane_that_was_chosen_is_the_one_that_stays(viewer, pipeline, monkeypatch):
    panel, put, another = pipeline.panel, [], threading.Event()

    def slow_at_first(plane, *arguments):
        if plane.offset_mm == 1.0:
            another.wait(1.0)
        return plane.offset_mm

    def put_plane(plane, shown):
        put.append(shown)
        another.set()

    monkeypatch.setattr(viewer, "train_lock", None)
    monkeypatch.setattr(panel, "_composite", lambda: None)
    monkeypatch.setattr(panel, "axis", SimpleNamespace(value="z"))
    monkeypatch.setattr(panel, "offset_mm", SimpleNamespace(value=1.0))
    monkeypatch.setattr(panel_module, "picture", slow_at_first)
    monkeypatch.setattr(panel.scene, "put_plane", put_plane)
    first, second = (threading.Thread(target=panel.cut) for _ in range(2))
    first.start()
    time.sleep(0.2)
    panel.offset_mm.value = 2.0
    second.start()
    first.join()
    second.join()
    assert put[-1] == 2.0


def test_a_mesh_of_no_surface_is_a_notice_and_the_lock_is_free_again(viewer, pipeline, monkeypatch):
    held = []

    def outside_everywhere(points):
        held.append(viewer.train_lock._lock.locked())
        return torch.ones(len(points))

    monkeypatch.setattr(pipeline.model.field, "sdf", outside_everywhere)
    notices: list[str] = []
    noticed(pipeline.panel.show_mesh, SimpleNamespace())(event(notices))
    assert len(notices) == 1 and "surface" in notices[0]
    assert held and all(held)  # the training waits while the mesh is made
    with viewer.train_lock:
        pass


def failing(kind: type[Exception], message: str):
    """An action that raises."""

    def action() -> str:
        raise kind(message)

    return action


@pytest.mark.parametrize(
    "action",
    [
        lambda: torch.empty(1 << 50),
        failing(torch.OutOfMemoryError, "CUDA out of memory. Tried to allocate 9.00 GiB."),
        failing(MemoryError, ""),
    ],
    ids=["cpu", "gpu", "numpy"],
)
def test_a_button_without_memory_says_so(action):
    said, notices = SimpleNamespace(visible=False, content=""), []
    noticed(action, said, "Mesh now ...")(event(notices))
    assert notices == [said.content] and said.visible
    assert said.content.startswith("out of memory (") and "end other programs" in said.content


def test_a_button_that_fails_does_not_seem_to_go_on():
    said = SimpleNamespace(visible=False, content="")
    with pytest.raises(KeyError):
        noticed(failing(KeyError, "odd"), said, "Mesh now ...")(event([]))
    assert said.visible and "Failed" in said.content and "KeyError('odd')" in said.content


class Gui:
    """viser's elements without a server, by label or number, with what is called when they are clicked."""

    def __init__(self) -> None:
        self.buttons: dict[str, SimpleNamespace] = {}
        self.lines: list[SimpleNamespace] = []

    def add_button(self, label: str) -> SimpleNamespace:
        button = self.buttons[label] = SimpleNamespace(disabled=False)
        button.on_click = lambda clicked: setattr(button, "click", clicked)
        return button

    def add_markdown(self, content: str, visible: bool) -> SimpleNamespace:
        self.lines.append(SimpleNamespace(content=content, visible=visible))
        return self.lines[-1]


def test_clicks_on_a_button_that_works_are_ignored():
    gui, works, end, done = Gui(), threading.Event(), threading.Event(), []

    def action() -> str:
        works.set()
        end.wait(10.0)
        done.append(button.disabled)
        return "Wrote mesh.ply"

    add_button(gui, "Save mesh (mm)", action)
    button = gui.buttons["Save mesh (mm)"]
    clicks = [threading.Thread(target=button.click, args=(event([]),)) for _ in range(6)]
    clicks[0].start()
    assert works.wait(10.0)
    for click in clicks[1:]:
        click.start()
    for click in clicks[1:]:
        click.join(2.0)
    ended = [not click.is_alive() for click in clicks[1:]]
    end.set()
    for click in clicks:
        click.join()
    assert all(ended) and done == [True] and not button.disabled
    button.click(event([]))
    assert len(done) == 2  # and once it has worked, it works again


def test_a_button_that_failed_can_be_clicked_again():
    gui, clicked = Gui(), []

    def action() -> str:
        clicked.append(1)
        raise KeyError("odd")

    add_button(gui, "Mesh now", action)
    for _ in range(2):
        with pytest.raises(KeyError):
            gui.buttons["Mesh now"].click(event([]))
    assert len(clicked) == 2 and not gui.buttons["Mesh now"].disabled


def test_what_came_of_one_action_stays_when_another_has_something_to_say():
    gui = Gui()
    add_button(gui, "Save mesh (mm)", lambda: "Wrote mesh.ply")
    add_button(gui, "Score now", lambda: "face 1.00 mm")
    for button in gui.buttons.values():
        button.click(event([]))
    assert [line.content for line in gui.lines] == ["Wrote mesh.ply", "face 1.00 mm"]
    assert all(line.visible for line in gui.lines)


def test_a_complaint_is_gone_once_there_is_nothing_to_complain_of():
    complaints, line, notices = [InputError("the scan cannot be read")], SimpleNamespace(), []

    def action() -> None:
        if complaints:
            raise complaints.pop()

    act = noticed(action, line)
    act(event(notices))
    assert line.visible and line.content == notices[0] == "the scan cannot be read"
    act(event(notices))
    assert not line.visible and len(notices) == 1


@pytest.mark.parametrize("press", ["score", "cut", "save_mesh"])
def test_the_training_waits_for_every_button(viewer, pipeline, monkeypatch, press):
    held = []

    def outside_everywhere(points):
        held.append(viewer.train_lock._lock.locked())
        return torch.ones(points.shape[:-1])

    monkeypatch.setattr(pipeline.model.field, "sdf", outside_everywhere)
    monkeypatch.setattr(pipeline.panel, "axis", SimpleNamespace(value="z"))
    with contextlib.suppress(InputError):
        getattr(pipeline.panel, press)()
    assert held and all(held)


def test_the_pictures_on_the_screen_are_computed_under_the_lock_and_no_others(viewer, pipeline):
    model, camera = pipeline.model.eval(), pipeline.datamanager.train_dataset.cameras[0:1]
    viewer.control_panel.update_output_options(["rgb", "silhouette"])
    viewer.control_panel._output_render.value = "silhouette"
    made = model.get_outputs_for_camera(camera)
    # The depth hides the scene's objects, and nerfstudio reads it when the training goes on already.
    assert set(made._made) == {"silhouette", "depth"}
    assert {"rgb", "normal_camera", "depth", "photo", "error_mm"} <= set(made)
    assert "prior_shift_mm" not in made  # it started from nothing yet
    nowhere = OrientedBox(R=torch.eye(3), T=torch.full((3,), 9.0), S=torch.ones(3))
    with background_color_override_context(torch.tensor([1.0, 0.0, 0.0])):
        cropped = model.get_outputs_for_camera(camera, obb_box=nowhere)
    assert made["accumulation"].any() and not cropped["accumulation"].any()
    assert (cropped["rgb"] == torch.tensor([1.0, 0.0, 0.0])).all()
    pipeline.panel.follow(["silhouette"])
    assert "mask" in pipeline.panel.legend.content.lower() and pipeline.panel.legend.visible
    assert not pipeline.panel.range_mm.visible  # its colours say no length
    pipeline.panel.follow(["error_mm"])
    assert pipeline.panel.range_mm.visible
    model.train()


def test_a_split_screen_has_the_legends_of_both_pictures(viewer, pipeline, monkeypatch):
    panel, control, followed = pipeline.panel, viewer.control_panel, []
    control.update_output_options(["rgb", "silhouette", "error_mm"])
    control._output_render.value, control._split_output_render.value = "silhouette", "error_mm"
    monkeypatch.setattr(panel, "follow", followed.append)
    assert panel.shown() == ["silhouette"]
    control._split.value = True
    both = panel.shown()
    control._split.value = False
    monkeypatch.undo()
    until = time.monotonic() + 10.0
    while len(followed) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    assert both == ["silhouette", "error_mm"] and both in followed
    panel.follow(both)
    assert panel.range_mm.visible and panel.legend.visible
    assert panel.legend.content.count("data:image/png") == 2
    panel.follow(["rgb", "error_mm"])
    assert panel.range_mm.visible and panel.legend.content.startswith("Distance to the scan")
    panel.follow(["rgb", "rgb"])
    assert not panel.legend.visible and not panel.range_mm.visible


def test_the_panel_is_not_among_nerfstudios_elements_twice(pipeline):
    assert parse_object(pipeline, ViewerElement, "Custom Elements") == []


def test_without_a_scan_there_is_no_scan_to_show_and_no_score(viewer, pipeline):
    inspection = HeadInspection(pipeline.model, pipeline.datamanager.train_dataset, None)
    panel = HeadPanel(pipeline.model, inspection)
    panel._setup(viewer)
    assert hasattr(panel, "axis") and not hasattr(panel, "scan")
    pipeline.model.shown = pipeline.panel.shown


def ball(points):
    return points.norm(dim=-1) - 0.5


def test_a_cut_shows_the_surface_where_it_is(tiny_root):
    """A ball of half the unit ball's radius, cut 30 mm beside its middle."""
    frame = SceneFrame((1.0, 2.0, 3.0), 100.0)
    values = Plane(0, 30.0).sample_mm(ball, frame, torch.device("cpu"))
    assert values.min() == pytest.approx(30.0 - 50.0, abs=0.1)
    shown = picture(Plane(0, 30.0), ball, None, frame, torch.device("cpu"))
    black = np.argwhere(shown.max(axis=2) < 60)
    from_middle = np.linalg.norm(black + 0.5 - len(shown) / 2, axis=1) * 200.0 / len(shown)
    # The circle's radius is 40 mm; the lines are two pixels wide and labels are grey.
    assert np.median(from_middle) == pytest.approx(40.0, abs=0.7) and len(black) > 400


def test_a_cut_of_a_field_that_is_not_finite_is_a_sentence():
    frame = SceneFrame((1.0, 2.0, 3.0), 100.0)
    with pytest.raises(InputError, match="not finite: training diverged"):
        picture(Plane(0, 30.0), lambda points: ball(points) / 0.0 * 0.0, None, frame, torch.device("cpu"))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_axes_of_a_cut_are_its_own(axis):
    right, down = Plane(axis, 0.0).directions()
    assert right[axis] == down[axis] == right @ down == 0.0
    assert abs(np.cross(right, down)[axis]) == 1.0


def test_losses_are_thinned_out_but_cover_all_steps():
    losses = LossHistory()
    for step in range(3 * MOST):
        losses.note(step, torch.tensor(float(step)))
    steps, values = losses.curve()
    assert MOST / 2 <= len(steps) <= MOST and values == [float(step) for step in steps]
    assert steps[0] == 0 and 3 * MOST - steps[-1] <= losses.every == steps[1]


def test_a_thread_that_asks_for_the_lock_gets_it_before_the_one_that_just_had_it():
    """As the training loop, which never waits between two steps."""
    lock, stop, steps, waited = FairLock(), threading.Event(), [0], []

    def train() -> None:
        while not stop.is_set():
            with lock:
                steps[0] += 1
                time.sleep(0.01)

    thread = threading.Thread(target=train)
    thread.start()
    for _ in range(5):
        before = steps[0]
        with lock:
            waited.append(steps[0] - before)
    stop.set()
    thread.join()
    assert max(waited) <= 2


def test_pictures_of_a_few_steps_share_a_snapshot_of_the_surface(pipeline, monkeypatch):
    model, camera = pipeline.model.eval(), pipeline.datamanager.train_dataset.cameras[0:1]
    model.update_to_step(100)
    asked = []
    monkeypatch.setattr(model.tracer, "refresh_near_surface", lambda sdf: asked.append((model.step, "near")))
    whole = model.tracer.refresh
    monkeypatch.setattr(model.tracer, "refresh", lambda *args: asked.append((model.step, "whole")) or whole(*args))
    shared = set()
    for model.step in range(100, 111):
        model.get_outputs_for_camera(camera)
        shared.add(model.tracer.for_pictures(model.field.sdf))
    assert asked == [(100, "whole"), (105, "near"), (110, "near")] and len(shared) == 1  # `near` made nothing new here
    model.train()
