"""Keeps the quarantine within its size, and tells Prometheus what is in it and what has left it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from psycopg import Connection

from store import quarantine

log = logging.getLogger("misto.keeper")

_EVERY_S = 60.0
#: Counting a large quarantine takes seconds: it must not take more than one in fifty.
_REST = 50
#: Shrunk a little below its size, so that it does not have to be done again at once.
_FILLED = 0.9
_MEGABYTE = 1024 * 1024


class _Figures:
    """The last figures, for Prometheus."""

    def __init__(self) -> None:
        self.most_bytes = 0
        self.sizes: dict[str, tuple[int, int]] = {}
        self.gone: dict[tuple[str, str], int] = {}

    def collect(self) -> Iterator[Metric]:
        """The metrics. Nothing before they were counted."""
        if not self.most_bytes:
            return
        messages = GaugeMetricFamily("misto_keeper_quarantine_messages", "Messages in quarantine", labels=["reason"])
        size = GaugeMetricFamily("misto_keeper_quarantine_bytes", "Space that they take", labels=["reason"])
        for reason, (count, its_bytes) in self.sizes.items():
            messages.add_metric([reason], count)
            size.add_metric([reason], its_bytes)
        left = CounterMetricFamily(
            "misto_keeper_quarantine_removed", "Messages that have left it, by cause", labels=["reason", "cause"]
        )
        for (reason, cause), count in self.gone.items():
            left.add_metric([reason, cause], count)
        most = GaugeMetricFamily("misto_keeper_quarantine_limit_bytes", "Space that they may take", self.most_bytes)
        yield from (messages, size, most, left)


_FIGURES = _Figures()
REGISTRY.register(_FIGURES)


class QuarantineLimit:
    """Looks once a minute whether the quarantine has outgrown its size."""

    def __init__(self, most_megabytes: int) -> None:
        self._most_bytes = most_megabytes * _MEGABYTE
        self._due_at = float("-inf")

    def keep(self, connection: Connection[Any]) -> int:
        """If it is time, count, and remove what is too much; returns how many messages."""
        started = time.monotonic()
        if started < self._due_at:
            return 0
        removed = self.enforce(connection)
        now = time.monotonic()
        self._due_at = now + max(_EVERY_S, _REST * (now - started))
        return removed

    def enforce(self, connection: Connection[Any]) -> int:
        """Count, and remove what is too much; returns how many messages."""
        with connection.transaction():
            sizes = quarantine.sizes(connection)
        removed = 0
        if sum(its_bytes for _, its_bytes in sizes.values()) > self._most_bytes:
            removed = quarantine.shrink(connection, round(_FILLED * self._most_bytes))
            with connection.transaction():
                sizes = quarantine.sizes(connection)
            log.warning(
                "the quarantine had more than MISTO_QUARANTINE_MB (%d): %d messages dropped, the oldest of those who "
                "filled it most",
                self._most_bytes // _MEGABYTE,
                removed,
            )
        with connection.transaction():
            gone = quarantine.gone(connection)
        # A reason that has nothing left is told as 0, not forgotten.
        known = dict.fromkeys(sorted({*_FIGURES.sizes, *(row["reason"] for row in gone)}), (0, 0))
        _FIGURES.sizes = known | sizes
        _FIGURES.gone = {(row["reason"], row["cause"]): row["messages"] for row in gone}
        _FIGURES.most_bytes = self._most_bytes
        return removed
