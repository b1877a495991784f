"""The devices that the city knows, kept in memory, and what devices tell about themselves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from psycopg import Connection

from store.devices import write_suggestions
from store.registry import RegisteredDevice, RegistryMirror, register_unclaimed
from store.text import storable

#: Devices announce themselves as often as they like; one more row an hour is enough.
_NOT_AGAIN_FOR_S = 3600.0
_MOST_WAITING = 10_000
_MOST_REMEMBERED = 100_000
_MOST_FACTS = 16
_LONGEST_NAME = 40
_LONGEST_FACT = 200
_ROWS_AT_ONCE = 1000

#: What `unclaimed` keeps beside the facts.
_RESERVED = frozenset({"envelope", "metrics", "names"})


class CachedRegistry:
    """Answers from memory; `reload` takes over what changed. Unknown devices are kept in the database at once."""

    def __init__(self, connect: Callable[[], Connection[Any]]) -> None:
        self._connect = connect
        self._mirror = RegistryMirror()
        self._lock = threading.Lock()
        self.suggestions = Suggestions()

    def reload(self, connection: Connection[Any]) -> int:
        """Take over what changed; returns how many devices there are."""
        self._mirror.refresh(connection)
        return len(self._mirror.devices)

    def device(self, address: str) -> RegisteredDevice | None:
        """The device of this address, if it is known."""
        return self._mirror.devices.get(address)

    def announced(self, address: str, facts: Mapping[str, str]) -> None:
        """Keep what is told about a device, as a suggestion for whoever places it. Never waits for the database."""
        self.suggestions.tell(address, facts)

    def unclaimed(self, address: str, profile: str | None, kind: str, guess: Mapping[str, Any]) -> RegisteredDevice:
        """Keep an unknown device. Raises psycopg.Error or `StoreError` if the database is away."""
        with self._lock:
            known = self._mirror.devices.get(address)
            if known is None:
                with self._connect() as connection:
                    known = register_unclaimed(connection, address, profile=profile, kind=kind, guess=guess)
                self._mirror.devices[address] = known
            return known


class Suggestions:
    """What devices told about themselves and is not written yet: for each device at most once an hour.

    Bounded: where too many devices wait, a new one has to tell again later. Used by several threads.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: dict[str, dict[str, str]] = {}
        self._written: dict[str, tuple[float, int]] = {}  # when, and a digest of what was told last
        self._lock = threading.Lock()

    def tell(self, address: str, facts: Mapping[str, str]) -> None:
        """Keep facts to be written."""
        told = _kept(facts)
        with self._lock:
            waiting = self._waiting.get(address)
            if waiting is not None:
                if len(waiting | told) <= 2 * _MOST_FACTS:
                    waiting |= told
                return
            last = self._written.get(address)
            again = last is not None and last[1] == _digest(told)
            if told and not again and len(self._waiting) < _MOST_WAITING:
                self._waiting[address] = told

    def write(self, connection: Connection[Any]) -> int:
        """Write what is due; returns of how many devices. Raises psycopg.Error, and keeps it then."""
        due = self._take()
        rows = list(due.items())
        try:
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                write_suggestions(connection, rows[start : start + _ROWS_AT_ONCE])
        except Exception:
            with self._lock:
                for address, told in due.items():
                    self._waiting[address] = told | self._waiting.get(address, {})
                    self._written.pop(address, None)
            raise
        return len(rows)

    def _take(self) -> dict[str, dict[str, str]]:
        now = self._clock()
        with self._lock:
            if len(self._written) + len(self._waiting) > _MOST_REMEMBERED:
                recent = {name: last for name, last in self._written.items() if now - last[0] < _NOT_AGAIN_FOR_S}
                self._written = recent
            room = _MOST_REMEMBERED - len(self._written)
            due: dict[str, dict[str, str]] = {}
            for address, told in self._waiting.items():
                last = self._written.get(address)
                if last is None and len(due) >= room:
                    continue
                if last is None or now - last[0] >= _NOT_AGAIN_FOR_S:
                    due[address] = told
            for address, told in due.items():
                del self._waiting[address]
                self._written[address] = (now, _digest(told))
        return due


def _kept(facts: Mapping[str, str]) -> dict[str, str]:
    """The facts as they can be stored: a few, short, without blanks at their ends."""
    kept: dict[str, str] = {}
    for name, text in facts.items():
        if len(kept) == _MOST_FACTS:
            break
        text = storable(text.strip(), _LONGEST_FACT)
        if text and name not in _RESERVED and len(name) <= _LONGEST_NAME:
            kept[storable(name)] = text
    return kept


def _digest(told: Mapping[str, str]) -> int:
    return hash(frozenset(told.items()))
