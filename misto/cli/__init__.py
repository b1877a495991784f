"""The command `misto`."""

from __future__ import annotations

import sys
from importlib import import_module

import typer
from pydantic import ValidationError

from catalogue.errors import CatalogueError
from ingest.errors import IngestError
from misto.backfill.errors import BackfillError
from misto.runtime.errors import EmbeddedRuntimeError
from rules.errors import RulesError
from simulators.errors import SimulatorError
from store.errors import StoreError

#: One module per group of commands; each has `register(app)`.
_GROUPS = (
    "store", "ingest", "decode", "profile", "rules", "keeper", "board", "simulate", "score", "dashboards", "doctor",
    "runtime", "demo", "devices", "quarantine", "import_",
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
    """Entry point: errors that Misto knows end as one sentence and exit status 1."""
    try:
        app()
    except _KNOWN as error:
        print(f"misto: {error}", file=sys.stderr)
        sys.exit(1)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            name = "_".join(["MISTO", *map(str, item["loc"])]).upper()
            print(f"misto: {name}: {item['msg']} (it is {item['input']!r})", file=sys.stderr)
        sys.exit(1)
