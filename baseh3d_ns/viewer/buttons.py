"""Buttons and other controls of the panel: what came of an action stands below them, and a notice says what it could
not do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from nerfstudio.utils.rich_utils import CONSOLE

from baseh3d_ns.errors import InputError
from baseh3d_ns.training.devices import named_memory_errors

NOTICE_MS = 12_000
"""Time that a notice stays."""
FREE_MEMORY = "end other programs on this machine, or use `baseh3d export` after the training"
"""Remedy of an action that lacks memory."""


def add_button(gui: Any, label: str, action: Callable[[], str | None]) -> None:
    """Add a button with a line below it; clicks while its action waits or works are ignored."""
    button, free = gui.add_button(label), threading.Lock()
    act = noticed(action, add_line(gui), f"{label} ...")

    def click(event: Any) -> None:
        # Clicks that wait would keep viser's threads from all tabs, and be worked off one by one.
        if not free.acquire(blocking=False):
            return
        try:
            button.disabled = True
            act(event)
        finally:
            button.disabled = False
            free.release()

    button.on_click(click)


def add_line(gui: Any) -> Any:
    """Add a line of text, hidden until there is something to say."""
    return gui.add_markdown("", visible=False)


def say(line: Any, text: str | None) -> None:
    """Show a text in a line; None hides it."""
    line.visible, line.content = text is not None, text or ""


def noticed(action: Callable[[], str | None], line: Any, begins: str | None = None) -> Callable[[Any], None]:
    """An action as a callback: its outcome in a line, its complaints as a notice, too; the training goes on.

    Args:
        action: does it, and says what came of it.
        line: line of this action alone.
        begins: words while it lasts.
    """

    def callback(event: Any) -> None:
        if begins is not None:
            say(line, begins)
        try:
            with named_memory_errors(FREE_MEMORY):
                said = action()
        except InputError as error:
            said = str(error)
            CONSOLE.log(f"Viewer: {said}")
            if event.client is not None:
                event.client.add_notification("Not possible", said, auto_close=NOTICE_MS)
        except Exception as error:
            say(line, f"Failed, the log says where: {error!r}")
            raise
        say(line, said)

    return callback
