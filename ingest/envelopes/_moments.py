"""Gathers what a message tells into one uplink for each device, channel and moment."""

from __future__ import annotations

from typing import Any

from catalogue.metrics import Quality
from ingest.envelopes._names import value_of
from ingest.envelopes.base import Announcement, Uplink, device_address
from ingest.errors import Reason, Undecodable

#: A list of a hundred thousand broken entries is told by its first ones.
_MOST_PROBLEMS = 50
_MOST_UNKNOWN = 200


class Moments:
    """Uplinks by (device, channel, time), in the order of the message; what cannot be read is kept as problems."""

    def __init__(self) -> None:
        self._uplinks: dict[tuple[str, str, int | None], Uplink] = {}
        self._problems: list[tuple[Reason, str]] = []
        self._unknown: dict[str, None] = {}
        self._facts: dict[str, dict[str, str]] = {}

    def problem(self, reason: Reason, detail: str) -> None:
        """Something that cannot be read, while the rest can."""
        if len(self._problems) < _MOST_PROBLEMS:
            self._problems.append((reason, detail))

    def unknown(self, field: str) -> None:
        """A field that nobody understands."""
        if len(self._unknown) < _MOST_UNKNOWN:
            self._unknown[field[:200]] = None

    def tell(self, address: str, facts: dict[str, str]) -> None:
        """What is told of the device itself."""
        if facts:
            self._facts.setdefault(address, {}).update(facts)

    def add(
        self,
        address: str,
        time_us: int | None,
        metric: str,
        told: Any,
        *,
        field: str,
        symbol: str | None = None,
        channel: str = "",
        suspect: bool = False,
    ) -> None:
        """A reading of `metric` in the unit `symbol` (None: the metric's own). A value that is null is not there."""
        if told is None:
            return
        try:
            value = value_of(metric, told, symbol)
        except ValueError as error:
            self.problem(Reason.BAD_VALUE, f"{field[:100]}: {error}")
            return
        uplink = self._uplinks.get((address, channel, time_us))
        if uplink is None:
            uplink = Uplink(address, time_us, metrics={}, channel=channel)
            self._uplinks[address, channel, time_us] = uplink
        assert uplink.metrics is not None
        kept = uplink.metrics.setdefault(metric, value)
        if kept != value:
            self.problem(Reason.BAD_VALUE, f"{field[:100]}: {metric} is told twice for one moment; {kept:g} is kept")
        if suspect:
            uplink.quality = Quality.SUSPECT

    def result(self, address: str | None = None) -> list[Uplink | Announcement]:
        """Everything of the message.

        Without any reading: what its devices tell of themselves; else raises `Undecodable` for the first problem; else
        an uplink of `address` without readings, or an empty list.
        """
        facts: list[Uplink | Announcement] = [Announcement(name, told) for name, told in self._facts.items()]
        uplinks = list(self._uplinks.values())
        if uplinks:
            uplinks[0].unknown = tuple(self._unknown)
            uplinks[0].problems = self._problems
            return [*facts, *uplinks]
        if self._problems:
            reason, _ = self._problems[0]
            raise Undecodable(reason, "; ".join(detail for _, detail in self._problems[:5]), address)
        if self._unknown and address is not None:
            return [*facts, Uplink(address, None, metrics={}, unknown=tuple(self._unknown))]
        return facts


def address_of(told: object, what: str) -> str:
    """A device's address from a value that should name one. Raises `Undecodable`."""
    if not isinstance(told, str):
        raise Undecodable(Reason.NO_DEVICE, f"{what} is no text")
    return device_address(told)
