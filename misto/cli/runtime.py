"""`misto runtime`: the private PostgreSQL and Mosquitto of `misto demo` and the tests."""

from __future__ import annotations

import typer

from misto.runtime import Interrupted, ensure_binaries
from misto.runtime.binaries import runtime_dir
from misto.service import stop_on_signals
from misto.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(help="The private PostgreSQL and Mosquitto of the demo and the tests.", no_args_is_help=True)
    # A callback keeps it a group although it has one command.
    group.callback()(lambda: None)
    group.command("fetch")(fetch)
    app.add_typer(group, name="runtime")


def fetch() -> None:
    """Fetch the programs into MISTO_RUNTIME_DIR, unless this machine has them installed or they are there already."""
    stop = stop_on_signals()
    try:
        binaries = ensure_binaries(runtime_dir(Settings().runtime_dir, print), print, stop.is_set)
    except Interrupted:
        raise typer.Exit(130) from None
    print(f"PostgreSQL and Mosquitto: {binaries.origin}")
