"""Quarantined messages go through ingest's own door again: decoder, batch, writer, with their time of reception.

A message that is read now leaves the quarantine in the transaction that stores its readings. Killed at any moment, the
rest is still there; done twice, nothing is stored twice, for a reading is known by point, metric and time.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import psycopg
from psycopg import Connection

from ingest.batch import DecodedBatch, Seen, decode_batch
from ingest.decoder import Decoder
from ingest.envelopes import Announcement, Envelope, Uplink, all_envelopes
from ingest.message import Message
from ingest.pins import parse_pins
from ingest.profile import load_profiles
from ingest.registry import CachedRegistry
from store import quarantine
from store.connection import connect
from store.errors import StoreError
from store.quarantine import Entry, Key, Selection
from store.service_state import write_device_status
from store.writer import ReadingBatch, ReadingWriter, Unreadable

_MOST_ENTRIES = 500
_MOST_BYTES = 16 * 1024 * 1024
#: What is written together is taken for received together: rules about silence go by it.
_TOGETHER_US = 5_000_000
_RELOAD_S = 60.0
_ATTEMPTS = 5

#: Formats whose memory must be whole. Replay sees few of a device's messages: an alias of Sparkplug B could be taken
#: for that of another birth.
_WITHOUT_MEMORY = frozenset({"sparkplug_b"})


class ReplayRefused(StoreError):
    """Nothing can be replayed now. Its text is a sentence for a person."""


@dataclass
class Account:
    """What became of the entries. `failing` counts by the reason that they have now."""

    read: int = 0
    no_reading: int = 0
    failing: Counter[str] = field(default_factory=Counter)
    vanished: int = 0
    stored_readings: int = 0
    known_readings: int = 0

    @property
    def entries(self) -> int:
        """How many were looked at."""
        return self.read + self.no_reading + self.failing.total() + self.vanished


@dataclass(frozen=True)
class _Window:
    """Entries that were received together, decoded."""

    entries: Sequence[Entry]
    decoded: DecodedBatch
    problems: dict[int, Unreadable]


class Replay:
    """Replays entries over connections of its own. Raises `ReplayRefused` while another replay runs."""

    def __init__(self, database_url: str, time_zone: str, profiles_dir: Path | None, pins: str = "") -> None:
        zone = ZoneInfo(time_zone)
        envelopes = _envelopes(zone)
        self._url = database_url
        self._registry = CachedRegistry(self._connect)
        self._reloaded_at = float("-inf")
        self._decoder = Decoder(
            envelopes, load_profiles(profiles_dir, zone), self._registry, pins=parse_pins(pins, envelopes)
        )
        self._connection = self._connect()
        if not quarantine.begin_replay(self._connection):
            self._connection.close()
            raise ReplayRefused("another replay is running; wait for its end")
        self._connection.commit()
        self._writer = ReadingWriter(self._connection)
        #: What has been done so far.
        self.account = Account()

    def _connect(self) -> Connection[Any]:
        return connect(self._url, service="quarantine")

    def __enter__(self) -> Replay:
        return self

    def __exit__(self, *unused: object) -> None:
        self._connection.close()

    def run(self, chosen: Selection, stop: threading.Event, progress: Callable[[Account], None]) -> None:
        """Replay the entries in order of reception until the last one or `stop`.

        Raises psycopg.Error or `StoreError` if the database goes away: what was replayed until then is.
        """
        account = self.account
        after: Key | None = None
        while not stop.is_set():
            with self._connection.transaction():
                keys = _within(quarantine.keys(self._connection, chosen, after, _MOST_ENTRIES))
                entries = quarantine.load(self._connection, [key.entry_id for key in keys])
                if time.monotonic() - self._reloaded_at > _RELOAD_S:
                    self._registry.reload(self._connection)
                    self._reloaded_at = time.monotonic()
            if not keys:
                break
            after = keys[-1]
            account.vanished += len(keys) - len(entries)
            seen: dict[int, Seen] = {}
            for together in _windows(entries):
                if stop.is_set():
                    break
                window = self._decode(together)
                self._store(window, account)
                for device_id, its in window.decoded.devices.items():
                    _add(seen.setdefault(device_id, Seen()), its)
            self._tell_status(seen)
            progress(account)

    def _decode(self, entries: Sequence[Entry]) -> _Window:
        messages = [
            Message(entry.topic, entry.payload, entry.received_us, retained=entry.retained) for entry in entries
        ]
        decoded = decode_batch(messages, self._decoder, {})
        place = {id(source): index for index, source in enumerate(decoded.batch.sources)}
        problems = {place[id(unreadable.source)]: unreadable for unreadable in decoded.batch.unreadable}
        decoded.batch.unreadable = ()  # their entries are there already
        return _Window(entries, decoded, problems)

    def _store(self, window: _Window, account: Account) -> None:
        """Readings and entries in one transaction, tried again where it met another one's locks."""
        for attempt in range(1, _ATTEMPTS + 1):
            done = Account()
            try:
                with self._connection.transaction():
                    self._store_once(window, done)
            except psycopg.Error as error:
                if (error.sqlstate or "")[:2] != "40" or attempt == _ATTEMPTS:
                    raise
                continue
            account.read += done.read
            account.no_reading += done.no_reading
            account.failing += done.failing
            account.vanished += done.vanished
            account.stored_readings += done.stored_readings
            account.known_readings += done.known_readings
            return

    def _store_once(self, window: _Window, account: Account) -> None:
        batch = window.decoded.batch
        there = quarantine.lock(self._connection, [entry.entry_id for entry in window.entries])
        result = self._writer.write(batch)
        account.stored_readings += result.stored
        account.known_readings += result.duplicates
        refused = self._refused(batch) if result.quarantined else frozenset()
        with_readings = frozenset(batch.source.tolist())
        read, no_reading = [], []
        for index, entry in enumerate(window.entries):
            problem = window.problems.get(index)
            if entry.entry_id not in there:
                account.vanished += 1
            elif problem is not None:
                quarantine.reword(self._connection, entry, problem.reason, problem.detail, problem.device_address)
                account.failing[str(problem.reason)] += 1
            elif index in refused:
                self._keep_refused(entry)
                account.failing["unstorable"] += 1
            elif index in with_readings:
                read.append(entry.entry_id)
            else:
                no_reading.append(entry.entry_id)
        account.read += quarantine.remove(self._connection, read, "replayed")
        account.no_reading += quarantine.remove(self._connection, no_reading, "no_reading")

    def _refused(self, batch: ReadingBatch) -> frozenset[int]:
        """Which messages have a reading that the database refuses: written again, each message alone."""
        found = set()
        for index in np.unique(batch.source).tolist():
            begin, end = np.searchsorted(batch.source, [index, index + 1]).tolist()
            if self._writer.write(batch.part(begin, end)).quarantined:
                found.add(index)
        return frozenset(found)

    def _keep_refused(self, entry: Entry) -> None:
        # The writer has put an entry of its own beside this one, unless this is that one.
        detail = quarantine.refused_detail(self._connection, entry)
        if detail is not None:
            quarantine.reword(self._connection, entry, "unstorable", detail, None)

    def _tell_status(self, seen: dict[int, Seen]) -> None:
        """When devices were heard and what of theirs nobody understood. Their messages are not counted again."""
        for device_id, its in sorted(seen.items()):
            row = {
                "device_id": device_id,
                "received_at": datetime.fromtimestamp(its.received_us / 1e6, UTC),
                "event_at": datetime.fromtimestamp(its.event_us / 1e6, UTC),
                "messages": 0,
                "envelope": its.envelope,
                "unknown_fields": sorted(its.unknown_fields)[:50],
            }
            # One by one: ingest writes them too, in another order.
            with self._connection.transaction():
                write_device_status(self._connection, [row])
        with self._connection.transaction():
            self._registry.suggestions.write(self._connection)


def _within(keys: list[Key]) -> list[Key]:
    """The first keys whose payloads fit into memory together; at least one."""
    size = 0
    for index, key in enumerate(keys):
        size += key.payload_bytes
        if size > _MOST_BYTES and index:
            return keys[:index]
    return keys


def _windows(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """Entries that were received within a few seconds."""
    start = 0
    for index, entry in enumerate(entries):
        if entry.received_us - entries[start].received_us > _TOGETHER_US:
            yield entries[start:index]
            start = index
    if entries:
        yield entries[start:]


def _add(all_of_it: Seen, one: Seen) -> None:
    all_of_it.received_us = max(all_of_it.received_us, one.received_us)
    all_of_it.event_us = max(all_of_it.event_us, one.event_us)
    all_of_it.envelope = one.envelope
    all_of_it.unknown_fields |= one.unknown_fields


def _envelopes(zone: ZoneInfo) -> list[Envelope]:
    def forgetful(name: str) -> Callable[[str, bytes, int], list[Uplink | Announcement]]:
        def decode(topic: str, payload: bytes, received_us: int) -> list[Uplink | Announcement]:
            fresh = next(envelope for envelope in all_envelopes(zone) if envelope.name == name)
            return fresh.decode(topic, payload, received_us)

        return decode

    return [
        replace(envelope, decode=forgetful(envelope.name)) if envelope.name in _WITHOUT_MEMORY else envelope
        for envelope in all_envelopes(zone)
    ]
