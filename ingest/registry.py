"""The devices that the city knows, kept in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from psycopg import Connection

from store.registry import RegisteredDevice, load_registry, register_unclaimed


class CachedRegistry:
    """Answers from memory; `reload` takes over what changed. Unknown devices are kept in the database at once."""

    def __init__(self, connect: Callable[[], Connection[Any]]) -> None:
        self._connect = connect
        self._devices: dict[str, RegisteredDevice] = {}
        self._lock = threading.Lock()

    def reload(self, connection: Connection[Any]) -> int:
        """Read all devices again; returns how many there are."""
        self._devices = load_registry(connection)
        return len(self._devices)

    def device(self, address: str) -> RegisteredDevice | None:
        """The device of this address, if it is known."""
        return self._devices.get(address)

    def announced(self, address: str, facts: Mapping[str, str]) -> None:
        """Keep what is told about a device, as a suggestion for whoever places it."""

    def unclaimed(self, address: str, profile: str | None, kind: str, guess: Mapping[str, Any]) -> RegisteredDevice:
        """Keep an unknown device. Raises psycopg.Error or `StoreError` if the database is away."""
        with self._lock:
            known = self._devices.get(address)
            if known is None:
                with self._connect() as connection:
                    known = register_unclaimed(connection, address, profile=profile, kind=kind, guess=guess)
                self._devices[address] = known
            return known
