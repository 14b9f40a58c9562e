"""Panel of the viewer for a head: legend, mesh, scan, cutting plane, score, loss curve.

nerfstudio finds it among the pipeline's attributes. A button waits for the step in progress and holds training and
picture while it works, then both go on.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from nerfstudio.utils.rich_utils import CONSOLE
from nerfstudio.viewer.viewer_elements import ViewerControl

from baseh3d_ns.errors import InputError
from baseh3d_ns.viewer import head_mesh
from baseh3d_ns.viewer.buttons import add_button, add_line, noticed, say
from baseh3d_ns.viewer.cut import AXES, Plane, picture
from baseh3d_ns.viewer.inspection import HeadInspection
from baseh3d_ns.viewer.legends import IN_MM, legend_of, loss_curve

if TYPE_CHECKING:
    import trimesh

    from baseh3d_ns.fields.head_field import HeadField
    from baseh3d_ns.models.idr import IdrModel

CURVE_EVERY_S = 2.0
"""Least time between two drawings of the loss curve."""
CURVE_ASPECT = 0.6
"""Height of the loss curve by its width."""
NONE, BESIDE, INSTEAD = "hidden", "beside the picture", "instead of the picture"
"""Places of the mesh."""
BESIDE_BY = 1.1
"""Distance between the head and the mesh beside it, in units of the unit ball."""
NO_CUT = "none"
PREVIEW_FPS = 6
"""Pictures a second that a moving camera's are made small for; nerfstudio's 30 leave a few dozen pixels on a CPU."""


class HeadPanel(ViewerControl):
    """Controls of one head; what makes no sense for its run is absent."""

    def __init__(self, model: IdrModel, inspection: HeadInspection) -> None:
        self.model, self.inspection = model, inspection
        self.shown_legend: tuple[Sequence[str], float] | None = None
        self.curve_drawn_s = 0.0
        self.following, self.working = threading.Lock(), threading.Lock()

    def _setup(self, viewer: Any) -> None:
        super()._setup(viewer)
        gui = self.viser_server.gui
        self.scene = head_mesh.HeadInScene(self.viser_server.scene, self.inspection.frame)
        with gui.add_folder("Head", order=0.0):
            # viser warns of pictures without a root, also of those that need none.
            self.legend = gui.add_markdown("", image_root=Path(), visible=False)
            self.range_mm = gui.add_slider("Colours to (mm)", 0.5, 20.0, 0.5, self.inspection.range_mm, visible=False)
            self.range_mm.on_update(self._set_range)
            add_button(gui, "Mesh now", self.show_mesh)
            self.place = gui.add_dropdown("Mesh", (NONE, BESIDE, INSTEAD), NONE, visible=False)
            self.place.on_update(lambda _: self._place_mesh())
            if self.inspection.scan is not None:
                self.scan = gui.add_checkbox("Scan", False)
                self.scan.on_update(noticed(self.show_scan, add_line(gui)))
                add_button(gui, "Score now", self.score)
            self.axis = gui.add_dropdown("Cutting plane", (NO_CUT, *AXES), NO_CUT)
            reach_mm = round(self.inspection.frame.radius_mm)
            self.offset_mm = gui.add_slider("Cut at (mm)", -reach_mm, reach_mm, 1, 0, visible=False)
            cut = noticed(self.cut, add_line(gui))
            for control in (self.axis, self.offset_mm):
                control.on_update(cut)
            add_button(gui, "Save mesh (mm)", self.save_mesh)
            if viewer.trainer is not None:
                # Not in a folder that is closed at first: viser would never learn how wide the plot may be.
                shows_loss = gui.add_checkbox("Loss so far", False)
                self.curve = gui.add_plotly(loss_curve([], []), aspect=CURVE_ASPECT, visible=False)
                shows_loss.on_update(lambda _: setattr(self.curve, "visible", shows_loss.value))
        self.model.shown = self.shown
        self.viser_server.on_client_connect(self._calm_preview)

    def _calm_preview(self, client: Any) -> None:
        self.viewer.render_statemachines[client.client_id].target_fps = PREVIEW_FPS

    @contextlib.contextmanager
    def at_rest(self) -> Iterator[tuple[int, HeadField]]:
        """Training step, and the head after it; the training and all other buttons wait meanwhile: two at once are
        slower than in turn, and the last to be asked for would not always be the last to be shown."""
        with self.viewer.train_lock or self.working:
            step = self.viewer.trainer.step if self.viewer.trainer is not None else self.viewer.step
            # A copy, since the head's own parameters must keep asking for gradients.
            yield step, deepcopy(self.model.field).requires_grad_(False)

    def shown(self) -> list[str]:
        """Names of the pictures on the screen; legends and loss curve follow."""
        control = self.viewer.control_panel
        outputs = [control.output_render, *([control.split_output_render] if control.split else [])]
        # In a thread of its own: nerfstudio traces this one line by line, to interrupt it when the camera moves.
        threading.Thread(target=self.follow, args=(outputs,), daemon=True).start()
        return outputs

    def follow(self, outputs: Sequence[str]) -> None:
        """Show the legends of the pictures on the screen, and the loss curve so far."""
        with self.following:
            wanted = outputs, self.inspection.range_mm
            if wanted != self.shown_legend:
                self.shown_legend = wanted
                texts = (legend_of(output, self.inspection.range_mm) for output in dict.fromkeys(outputs))
                say(self.legend, "\n\n".join(filter(None, texts)) or None)
                self.range_mm.visible = any(output in IN_MM for output in outputs)
            trainer: Any = self.viewer.trainer
            if trainer is not None and time.monotonic() - self.curve_drawn_s > CURVE_EVERY_S:
                self.curve.figure = loss_curve(*trainer.losses.curve())
                self.curve_drawn_s = time.monotonic()

    def show_mesh(self) -> str:
        """Mesh the head as it is now, and show it."""
        step, mesh = self._mesh(head_mesh.SHOWN_SPACING_MM)
        self.scene.put(head_mesh.MESH, mesh)
        self.place.visible = True
        if self.place.value == NONE:
            self.place.value = INSTEAD
        self._place_mesh()
        width, height, depth = mesh.extents
        return f"Mesh of step {step}: {width:.0f} x {height:.0f} x {depth:.0f} mm, {len(mesh.vertices)} vertices."

    def save_mesh(self) -> str:
        """Write the head as it is now into the run's folder."""
        step, mesh = self._mesh(head_mesh.SAVED_SPACING_MM)
        path = head_mesh.save(mesh, self.viewer.log_filename.parent, step)
        CONSOLE.log(f"Wrote {path}")
        return f"Wrote {path} (world millimetres, step {step})."

    def _mesh(self, spacing_mm: float) -> tuple[int, trimesh.Trimesh]:
        with self.at_rest() as (step, field):
            return step, head_mesh.coloured(field, self.model.camera_centres, self.inspection.frame, spacing_mm)

    def show_scan(self) -> str | None:
        """Show the scan, or take it away."""
        assert self.inspection.scan is not None
        if self.scan.value:
            mesh = self.inspection.scan.mesh
            if mesh is None:
                raise InputError("the scan of this scene cannot be read: the log says why")
            self.scene.put(head_mesh.SCAN, mesh)
        self.scene.show(head_mesh.SCAN, self.scan.value)
        self._composite()
        return None

    def score(self) -> str:
        """Face and head error in mm, now."""
        from baseh3d_ns.evaluation.quick_score import quick_score

        scan = self.inspection.scan
        assert scan is not None
        with self.at_rest() as (step, field):
            face, head = quick_score(field.sdf, self.inspection.frame, self.model.device, scan.h3ds, scan.scene_id)
        if not np.isfinite(face):
            raise InputError("there is no surface to score yet")
        return f"Step {step}: face **{face:.2f} mm**, head **{head:.2f} mm** (rigid, scan to surface)."

    def cut(self) -> None:
        """Show the plane that is chosen, or none."""
        chosen = self.axis.value, self.offset_mm.value
        self.offset_mm.visible = self.axis.value != NO_CUT
        start, frame = self.model.start, self.inspection.frame
        with self.at_rest() as (_, field):
            if chosen != (self.axis.value, self.offset_mm.value):
                return  # moved on while this waited for its turn
            if chosen[0] == NO_CUT:
                self.scene.remove_plane()
            else:
                plane = Plane(AXES.index(chosen[0]), float(chosen[1]))
                shown = picture(plane, field.sdf, start.sdf if start else None, frame, self.model.device)
                if self.axis.value != chosen[0]:
                    return  # or a plane that was taken away meanwhile would come back
                self.scene.put_plane(plane, shown)
        self._composite()

    def _place_mesh(self) -> None:
        self.scene.move(head_mesh.MESH, BESIDE_BY if self.place.value == BESIDE else 0.0)
        self.scene.show(head_mesh.MESH, self.place.value != NONE)
        self._composite()

    def _composite(self) -> None:
        """Let the picture hide the scene's objects behind it, unless one of them stands in its place."""
        scan = self.inspection.scan is not None and self.scan.value
        in_place = self.place.value == INSTEAD or scan or self.axis.value != NO_CUT
        self.viewer.control_panel._layer_depth.value = not in_place
        self.viewer._trigger_rerender()

    def _set_range(self, _: Any) -> None:
        self.inspection.range_mm = float(self.range_mm.value)
        self.viewer._trigger_rerender()
