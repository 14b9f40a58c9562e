"""Warnings of nerfstudio and torch that no user of ours can act on."""

from __future__ import annotations

import warnings

KNOWN: tuple[tuple[str, type[Warning], str], ...] = (
    (r".*torch\.cuda\.amp", FutureWarning, r"nerfstudio\."),
    (r".*weights_only", FutureWarning, r"nerfstudio\."),
    (r".*non-tuple sequence for multidimensional indexing", UserWarning, r"nerfstudio\."),
    (r".*requires_grad=True to a scalar", UserWarning, r"nerfstudio\.utils\.writer"),
)
"""Beginning of the message, kind and module, as regular expressions: how nerfstudio 1.1.5 calls newer torch."""


def quiet_libraries() -> None:
    """Keep these from the log; all other warnings are shown as ever."""
    for message, kind, module in KNOWN:
        warnings.filterwarnings("ignore", message, kind, module)
