"""A bounded memory for formats that describe themselves: what was not asked for longest goes first."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

#: Descriptions that an envelope keeps: a metric, property or entity each. A few hundred bytes each.
MOST_ENTRIES = 100_000


class Remembered(Generic[K, V]):
    """Entries by key, up to a total weight. It has no lock: its owner's holds around every use."""

    def __init__(self, limit: int = MOST_ENTRIES) -> None:
        self._limit = limit
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._total = 0

    def get(self, key: K) -> V | None:
        """The entry, which counts as used now, or None."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: K, value: V, weight: int = 1) -> list[V]:
        """Keep an entry; returns those that went for it. A single one that is too heavy is not kept."""
        earlier = self.pop(key)
        gone = [] if earlier is None else [earlier]
        self._entries[key] = (value, weight)
        self._total += weight
        while self._total > self._limit:
            _, (dropped, its_weight) = self._entries.popitem(last=False)
            self._total -= its_weight
            gone.append(dropped)
        return gone

    def pop(self, key: K) -> V | None:
        """Forget an entry."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return None
        self._total -= entry[1]
        return entry[0]

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def total(self) -> int:
        """The weight of all entries."""
        return self._total
