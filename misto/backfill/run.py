"""Taking a file over: read and understood in one thread, stored in another, from where it was left."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar
from zoneinfo import ZoneInfo

from psycopg import Connection

from catalogue.metrics import metrics_by_id
from misto.backfill.errors import BackfillError
from misto.backfill.lines import open_records
from misto.backfill.places import FUTURE_TOLERANCE_US, Claim, Places
from misto.backfill.records import Part, Refused
from misto.backfill.rejects import RejectFile
from misto.backfill.understand import Understanding
from misto.backfill.wide import WideFile
from simulators.replay.mapping import Mapping
from simulators.replay.messages import Account
from store.backfill import HistoryWriter, Import
from store.writer import ReadingBatch

OnUnknown = Literal["stop", "skip", "unclaimed"]

#: Records of a block, which is one transaction: long enough to be fast, short enough to keep nobody waiting.
BLOCK = 20_000
_AHEAD = 3

Item = TypeVar("Item")


@dataclass(frozen=True)
class Plan:
    """What is to be taken over, and how. `rate`: records a second at the most; 0 is no limit."""

    path: Path
    mapping: Mapping | None
    zone: ZoneInfo
    rejects: Path
    on_unknown: OnUnknown
    rate: int
    readings_days: int


@dataclass
class Found:
    """What is in a file, for the account of a dry run."""

    readings: int = 0
    first_us: int | None = None
    last_us: int | None = None
    points: set[int] = field(default_factory=set)
    metrics: set[str] = field(default_factory=set)

    def add(self, batch: ReadingBatch) -> None:
        if len(batch):
            self.readings += len(batch)
            first, last = int(batch.time_us.min()), int(batch.time_us.max())
            self.first_us = first if self.first_us is None else min(first, self.first_us)
            self.last_us = last if self.last_us is None else max(last, self.last_us)
            self.points |= set(batch.point_id.tolist())
            self.metrics |= {metrics_by_id()[its].name for its in set(batch.metric_id.tolist())}


class Watcher(Protocol):
    """Who is told how it goes."""

    def reading(self, records: int) -> None:
        """A file that must be read whole first: so many records so far."""

    def taken_up(self, state: Import) -> None:
        """It goes on from where it was left."""

    def progress(self, share: float, position: int, stored: int, duplicates: int, refused: int) -> None:
        """A block is done."""


@dataclass
class Outcome:
    """How it ended. `records` and the counts are of this go, `state` of the whole import (None in a dry run)."""

    state: Import | None
    found: Found
    refused: Account
    unused: list[str]
    repeated: int
    stopped: bool
    seconds: float
    records: int = 0
    stored: int = 0
    duplicates: int = 0


def file_digest(plan: Plan) -> bytes:
    """Of the content, and of what else decides which readings it makes."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        with plan.path.open("rb") as file:
            while piece := file.read(1 << 22):
                digest.update(piece)
    except OSError as error:
        raise BackfillError(f"{plan.path} cannot be read: {error.strerror}") from None
    digest.update(plan.zone.key.encode())
    if plan.mapping is not None:
        digest.update(plan.mapping.spec.model_dump_json().encode())
    return digest.digest()


class Importer:
    """Takes one file over. `stop` ends it after the block at hand; started again it goes on."""

    def __init__(self, plan: Plan, watcher: Watcher, stop: threading.Event) -> None:
        self._plan = plan
        self._watcher = watcher
        self._stop = stop
        self._refused = Account()
        self._found = Found()

    def places(self, registry: Any, points: Any, claim: Claim | None) -> Places:
        """Where this file's readings may go, by the inventory and the bounds of time."""
        now_us = time.time_ns() // 1000
        days = self._plan.readings_days
        return Places(
            registry,
            points,
            oldest_us=now_us - days * 86_400_000_000,
            newest_us=now_us + FUTURE_TOLERANCE_US,
            too_old=f"the time is more than the {days} days ago that readings are kept (MISTO_READINGS_DAYS)",
            claim=claim,
        )

    def check(self, places: Places) -> Outcome:
        """Read everything and store nothing."""
        began = time.monotonic()
        records = 0
        with _Source(self._plan, places, 0, self._watcher) as source:
            for part in source.parts:
                batch, refused = _settled(places, part)
                self._account(refused)
                self._found.add(batch)
                records += part.records
                self._watcher.progress(source.progress(), part.position, 0, 0, len(refused))
                if self._stop.is_set():
                    break
            return self._outcome(None, source, began, records)

    def run(self, connection: Connection[Any], places: Places) -> Outcome:
        """Store everything that is not stored yet.

        Raises `BackfillError` at an unknown name if the plan says stop; what stands before it is stored by then.
        """
        began = time.monotonic()
        plan = self._plan
        writer = HistoryWriter(connection, str(plan.path.absolute()), file_digest(plan))
        if writer.taken_up:
            self._watcher.taken_up(writer.state)
        before = (writer.state.position, writer.state.stored, writer.state.duplicates)
        finished = False
        try:
            with _Source(plan, places, writer.state.position, self._watcher) as source:
                rejects = RejectFile(plan.rejects, source.columns, writer.state.reject_bytes)
                for part, batch, refused in _ahead(_blocks(source.parts, places, before[0]), self._stop):
                    self._account(refused)
                    if plan.on_unknown == "stop" and any(one.unknown for one in refused):
                        raise BackfillError(_unknown(plan.path, refused, writer.state.position))
                    rejects.write(refused)
                    stored, duplicates = writer.write(
                        batch, position=part.position, rejected=len(refused), reject_bytes=rejects.length
                    )
                    self._found.add(batch)
                    self._watcher.progress(source.progress(), part.position, stored, duplicates, len(refused))
                    self._pace(began, part.position - before[0])
                    if self._stop.is_set():
                        break
                else:
                    finished = not self._stop.is_set()
                outcome = self._outcome(writer.state, source, began, writer.state.position - before[0])
        finally:
            if not connection.closed and not connection.broken:
                writer.tell_log(finished=finished)
        outcome.stopped = not finished
        outcome.stored, outcome.duplicates = writer.state.stored - before[1], writer.state.duplicates - before[2]
        return outcome

    def _pace(self, began: float, records: int) -> None:
        if self._plan.rate:
            self._stop.wait(max(0.0, began + records / self._plan.rate - time.monotonic()))

    def _account(self, refused: list[Refused]) -> None:
        for one in refused:
            self._refused.skip(one.reason, one.line, one.example)

    def _outcome(self, state: Import | None, source: _Source, began: float, records: int) -> Outcome:
        seconds = time.monotonic() - began
        return Outcome(state, self._found, self._refused, source.unused, source.repeated(), False, seconds, records)


class _Source:
    """The file as parts: first exactly up to `start`, which is done already, then on."""

    def __init__(self, plan: Plan, places: Places, start: int, watcher: Watcher) -> None:
        block = min(BLOCK, max(100, plan.rate // 2)) if plan.rate else BLOCK
        if plan.mapping is not None:
            wide = WideFile(plan.path, plan.mapping, watcher.reading)
            self.columns: list[str] = ["device", "metric"]
            self.unused: list[str] = []
            self.parts = wide.parts(places.number, _sizes(start, block))
            self.progress = wide.progress
            self.repeated: Callable[[], int] = lambda: 0
            self._close: Callable[[], None] = lambda: None
        else:
            file = open_records(plan.path)
            understanding = Understanding(plan.zone, places.number)
            self.columns, self.unused = list(file.columns), list(file.unused)
            self.parts = understanding.parts(file.blocks(_sizes(start, block)))
            self.progress, self._close = file.progress, file.close
            self.repeated = lambda: understanding.repeated

    def __enter__(self) -> _Source:
        return self

    def __exit__(self, *unused: object) -> None:
        self._close()


def _sizes(start: int, block: int) -> Iterator[int]:
    while start > 0:
        yield min(start, BLOCK)
        start -= BLOCK
    while True:
        yield block


def _blocks(parts: Iterator[Part], places: Places, start: int) -> Iterator[tuple[Part, ReadingBatch, list[Refused]]]:
    for part in parts:
        # What is done already is understood again and not stored: repeated hours are told apart by what came before.
        if part.position > start:
            yield part, *_settled(places, part)


def _settled(places: Places, part: Part) -> tuple[ReadingBatch, list[Refused]]:
    batch, nowhere = places.place(part.rows)
    return batch, sorted([*part.refused, *nowhere], key=lambda one: one.line)


def _ahead(items: Iterator[Item], stop: threading.Event) -> Iterator[Item]:
    """The same items, worked out in a thread of their own a little ahead of whoever takes them."""
    end: Any = object()
    step: Callable[[], Any] = lambda: end if stop.is_set() else next(items, end)  # noqa: E731
    with ThreadPoolExecutor(1, thread_name_prefix="import-reader") as pool:
        waiting = [pool.submit(step) for _ in range(_AHEAD)]
        try:
            while (item := waiting.pop(0).result()) is not end:
                waiting.append(pool.submit(step))
                yield item
        finally:
            for future in waiting:
                future.cancel()


def _unknown(path: Path, refused: list[Refused], position: int) -> str:
    account = Account()
    for one in refused:
        if one.unknown:
            account.skip(one.reason, one.line)
    told = "".join(
        f"\n  {entry.count:,} × {reason}: line {', '.join(map(str, entry.lines))}{' …' if entry.count > 5 else ''}"
        for reason, entry in account.reasons.items()
    )
    return (
        f"{path} has names that are not known; its first {position:,} records are stored, and started again it goes on "
        f"from there:{told}\nadd them to the inventory (`misto import --dry-run` lists all of them), or start again "
        "with --on-unknown skip (to the reject file) or --on-unknown unclaimed (unknown devices are kept to be placed)"
    )
