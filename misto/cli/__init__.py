"""The command `misto`."""

from __future__ import annotations

import sys
from importlib import import_module

import typer

from catalogue.errors import CatalogueError
from store.errors import StoreError

#: One module per group of commands; each has `register(app)`.
_GROUPS = ("store", "ingest", "rules", "keeper", "board")

app = typer.Typer(
    name="misto",
    help="City meters and bins: MQTT to TimescaleDB, rules, alerts, dashboards.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

for _group in _GROUPS:
    import_module(f"misto.cli.{_group}").register(app)


def main() -> None:
    """Entry point: errors that Misto knows end as one sentence and exit status 1."""
    try:
        app()
    except (CatalogueError, StoreError) as error:
        print(f"misto: {error}", file=sys.stderr)
        sys.exit(1)
