"""`baseh3d capture | synth | models | export | turntable | evaluate | prior | bench | report`, beside nerfstudio's."""

from __future__ import annotations

import io
import sys
import warnings
from typing import Annotated

import tyro

from baseh3d_ns.bounds import check_bounds
from baseh3d_ns.commands.benchmarks import Bench, Report
from baseh3d_ns.commands.data import Capture, Models, Synth
from baseh3d_ns.commands.heads import Evaluate, Export, Prior, Turntable
from baseh3d_ns.errors import ended_by_interrupt, exit_on_input_error
from baseh3d_ns.quiet import quiet_libraries

Commands = (
    Annotated[Synth, tyro.conf.subcommand(name="synth")]
    | Annotated[Capture, tyro.conf.subcommand(name="capture")]
    | Annotated[Export, tyro.conf.subcommand(name="export")]
    | Annotated[Turntable, tyro.conf.subcommand(name="turntable")]
    | Annotated[Evaluate, tyro.conf.subcommand(name="evaluate")]
    | Annotated[Prior, tyro.conf.subcommand(name="prior")]
    | Annotated[Models, tyro.conf.subcommand(name="models")]
    | Annotated[Bench, tyro.conf.subcommand(name="bench")]
    | Annotated[Report, tyro.conf.subcommand(name="report")]
)

STOPPED = "Stopped: the same command starts it again, and a benchmark goes on where it was."


def entrypoint() -> None:
    """Console script `baseh3d`."""
    # nerfstudio uses names that torch is giving up: nothing that a user could act on.
    warnings.filterwarnings("ignore", category=FutureWarning)
    quiet_libraries()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # Names of files may hold bytes that are no UTF-8.
    command = tyro.cli(Commands, prog="baseh3d", description=__doc__)  # type: ignore[arg-type]
    with exit_on_input_error(), ended_by_interrupt(lambda: STOPPED):
        check_bounds(command)
        command.main()


if __name__ == "__main__":
    entrypoint()
