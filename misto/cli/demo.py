"""`misto demo`."""

from __future__ import annotations

from typing import Annotated

import typer

from catalogue.inventory import parse_duration
from misto.demo import Demo, DemoError
from misto.service import stop_on_signals
from misto.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("demo")(demo)


def demo(
    for_: Annotated[
        str | None, typer.Option("--for", help="end by itself after this time (60s, 5m), with a summary")
    ] = None,
    history_days: Annotated[float, typer.Option(min=1, help="days of history to fill at the first start")] = 30,
) -> None:
    """Run a simulated city on this machine: private servers, all services, history; until Ctrl-C.

    MISTO_DATABASE_URL and MISTO_MQTT_URL take existing servers instead of private ones.
    """
    try:
        for_s = parse_duration(for_) if for_ is not None else None
    except ValueError as error:
        raise DemoError(f"--for {for_}: {error}") from None
    raise typer.Exit(Demo(Settings(), stop_on_signals(), for_s, history_days).run())
