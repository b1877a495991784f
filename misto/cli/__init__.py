"""The command `misto`."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import NoReturn

import psycopg
import typer
from pydantic import ValidationError

from catalogue.errors import CatalogueError
from ingest.errors import IngestError
from misto.backfill.errors import BackfillError
from misto.exit_status import exit_status_of
from misto.runtime.errors import EmbeddedRuntimeError
from rules.errors import RulesError
from simulators.errors import SimulatorError
from store.errors import StoreError, understood

#: One module per group of commands; each has `register(app)`.
_GROUPS = (
    "store", "ingest", "decode", "profile", "rules", "keeper", "board", "simulate", "score", "dashboards", "doctor",
    "runtime", "demo", "devices", "quarantine", "import_", "silences",
)  # fmt: skip

app = typer.Typer(
    name="misto",
    help="City meters and bins: MQTT to TimescaleDB, rules, alerts, dashboards.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

for _group in _GROUPS:
    import_module(f"misto.cli.{_group}").register(app)


_KNOWN = (CatalogueError, StoreError, IngestError, RulesError, SimulatorError, EmbeddedRuntimeError, BackfillError)


def main() -> None:
    """Entry point: errors that Misto knows end as one sentence and an exit status of their own."""
    try:
        app()
    except _KNOWN as error:
        _end(error)
    except psycopg.Error as error:
        known = understood(error)
        if known is None:
            raise
        _end(known)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            name = "_".join(["MISTO", *map(str, item["loc"])]).upper()
            # A URL may have a password in it.
            given = "" if "@" in str(item["input"]) else f" (it is {item['input']!r})"
            print(f"misto: {name}: {item['msg'].removeprefix('Value error, ')}{given}", file=sys.stderr)
        sys.exit(exit_status_of(error))


def _end(error: Exception) -> NoReturn:
    print(f"misto: {error}", file=sys.stderr)
    sys.exit(exit_status_of(error))
