"""`misto import`: history from files into the database."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, get_args
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from typer.core import TyperGroup

from ingest.decoder import kind_of
from misto.backfill.errors import BackfillError
from misto.backfill.places import Claim
from misto.backfill.run import Importer, OnUnknown, Outcome, Plan
from misto.cli.replay import told_reasons
from misto.service import stop_on_signals
from misto.settings import Settings
from simulators.replay.load import find_mapping, load_mapping
from store.backfill import Import, imports, points_by_code
from store.connection import connect
from store.migrate import check_schema
from store.registry import RegisteredDevice, load_registry, register_unclaimed


class _FileOrCommand(TyperGroup):
    """`misto import FILE` without a word between."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["file", *args]
        return super().parse_args(ctx, args)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(
        cls=_FileOrCommand, no_args_is_help=True, help="History from files: `misto import FILE`, `misto import list`."
    )
    group.command("file")(import_file)
    group.command("list")(list_imports)
    app.add_typer(group, name="import")


def import_file(
    file: Annotated[Path, typer.Argument(help=".csv, .csv.gz, .parquet, .jsonl or .jsonl.gz")],
    mapping: Annotated[
        str | None, typer.Option(help="for a file of another shape: a shipped mapping's name, or a YAML file")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="list what is wrong, store nothing")] = False,
    on_unknown: Annotated[
        str, typer.Option(help="unknown names: stop, skip (to the reject file), unclaimed (keep unknown devices)")
    ] = "stop",
    rejects: Annotated[
        Path | None, typer.Option(help="where records go that are not stored; else FILE.rejected.csv beside the file")
    ] = None,
    rate: Annotated[int, typer.Option(min=0, help="records a second at the most; 0 is no limit")] = 0,
) -> None:
    """Take readings of the past over from a file. Stopped or killed, it goes on where it was when started again.

    Nothing is stored twice, and what is history raises no alerts (`misto rules backtest` says what it would have).
    """
    if on_unknown not in get_args(OnUnknown):
        raise BackfillError(f"--on-unknown {on_unknown}: there are {', '.join(get_args(OnUnknown))}")
    settings = Settings()
    plan = Plan(
        path=file,
        mapping=load_mapping(find_mapping(mapping)) if mapping is not None else None,
        zone=ZoneInfo(settings.time_zone),
        rejects=rejects or file.with_name(f"{file.name}.rejected.csv"),
        on_unknown="stop" if on_unknown == "stop" else "skip" if on_unknown == "skip" else "unclaimed",
        rate=rate,
        readings_days=settings.readings_days,
    )
    stop = stop_on_signals()
    errors = Console(stderr=True)
    columns = (TextColumn("import"), BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"))
    with (
        connect(settings.database_url, service="import") as connection,
        connect(settings.database_url, service="import-registry", autocommit=True) as registry,
        Progress(*columns, TimeRemainingColumn(), console=errors) as bar,
    ):
        check_schema(connection)
        connection.rollback()
        importer = Importer(plan, _Bar(bar, errors), stop)
        claim = _claim(registry) if on_unknown == "unclaimed" and not dry_run else None
        places = importer.places(load_registry(registry), points_by_code(registry), claim)
        outcome = importer.check(places) if dry_run else importer.run(connection, places)
    _tell(outcome, plan)
    if dry_run and outcome.refused.reasons:
        raise typer.Exit(1)


class _Bar:
    """Progress on the screen."""

    def __init__(self, bar: Progress, errors: Console) -> None:
        self._bar = bar
        self._errors = errors
        self._task = bar.add_task("", total=1.0)
        self._stored = self._duplicates = self._refused = 0

    def reading(self, records: int) -> None:
        self._bar.update(self._task, description=f"reading, {records:,} rows")

    def taken_up(self, state: Import) -> None:
        when = state.updated_at.astimezone().strftime("%Y-%m-%d %H:%M")
        self._errors.print(
            f"going on after {state.position:,} records, where the import of {state.file} was left at {when}",
            highlight=False, soft_wrap=True,
        )  # fmt: skip

    def progress(self, share: float, position: int, stored: int, duplicates: int, refused: int) -> None:
        self._stored += stored
        self._duplicates += duplicates
        self._refused += refused
        self._bar.update(
            self._task,
            completed=share,
            description=f"{position:,} records: {self._stored:,} readings stored, {self._duplicates:,} were there, "
            f"{self._refused:,} rejected",
        )


def _claim(registry: Any) -> Claim:
    known: dict[str, RegisteredDevice] = {}

    def claim(address: str, metric: str) -> RegisteredDevice:
        if address not in known:
            guess = {"envelope": "import", "metrics": [metric]}
            known[address] = register_unclaimed(registry, address, profile=None, kind=kind_of([metric]), guess=guess)
        return known[address]

    return claim


def _tell(outcome: Outcome, plan: Plan) -> None:
    found, state = outcome.found, outcome.state
    for name in outcome.unused:
        print(f"the column {name!r} means nothing to Misto and was not read", file=sys.stderr)
    if outcome.repeated:
        print(
            f"{outcome.repeated:,} times lie in the hour that autumn repeats in {plan.zone.key}; they were told apart "
            "by the order of each series' records",
            file=sys.stderr,
        )
    for line in told_reasons(outcome.refused):
        print(line, file=sys.stderr)
    span = (
        "" if found.first_us is None or found.last_us is None else f", {_day(found.first_us)} to {_day(found.last_us)}"
    )
    refused = sum(entry.count for entry in outcome.refused.reasons.values())
    what = f"{len(found.points):,} points, {', '.join(sorted(found.metrics)) or 'no metric'}{span}"
    if state is None:
        print(f"{outcome.records:,} records, {found.readings:,} readings of {what}; {refused:,} rejected; none stored")
        return
    rate = outcome.records / outcome.seconds if outcome.seconds else 0
    print(
        f"{outcome.records:,} records in {outcome.seconds:.0f} s ({rate:,.0f}/s): {outcome.stored:,} readings stored, "
        f"{outcome.duplicates:,} were there already, {refused:,} rejected"
    )
    if outcome.records and not outcome.stopped and outcome.stored == 0:
        print("nothing was new")
    elif found.readings:
        print(f"of {what}")
    if refused:
        print(f"what was not stored, with the reasons: {plan.rejects}")
    if outcome.stopped:
        print(f"stopped after {state.position:,} records; started again it goes on from there")


def _day(us: int) -> str:
    return datetime.fromtimestamp(us / 1e6, UTC).date().isoformat()


def list_imports(most: Annotated[int, typer.Option(min=1, help="so many at the most")] = 20) -> None:
    """List the imports, newest first, with where each stands."""
    zone = ZoneInfo(Settings().time_zone)
    with connect(Settings().database_url, service="import") as connection:
        check_schema(connection)
        rows = imports(connection, most)
    if not rows:
        print("nothing has been imported yet")
    for row in rows:
        state = "finished " if row["finished_at"] else f"left after {row['position']:,} records "
        when = (row["finished_at"] or row["updated_at"]).astimezone(zone).strftime("%Y-%m-%d %H:%M")
        span = f", {row['first_at'].date()} to {row['last_at'].date()}" if row["first_at"] else ""
        print(
            f"#{row['import_id']}  {state}{when}  {row['file']}: {row['stored']:,} readings stored, "
            f"{row['duplicates']:,} were there already, {row['rejected']:,} records rejected{span}"
        )
