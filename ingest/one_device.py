"""A registry without a city: whatever device speaks, it is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from catalogue.geometry import BinGeometry
from catalogue.inventory import normal_address
from store.registry import Assignment, RegisteredDevice


class OneDevice:
    """Every address is a device with this profile (None: it is found) and bin, and a point for each channel."""

    def __init__(self, profile: str | None, geometry: BinGeometry | None, channels: Sequence[str] = ()) -> None:
        self._profile = profile
        #: The bin of every device.
        self.geometry = geometry
        self._assignments = [
            Assignment(point_id, channel, float("-inf"), float("inf"), geometry)
            for point_id, channel in enumerate(("", *channels))
        ]

    def device(self, address: str) -> RegisteredDevice:
        """The device."""
        return RegisteredDevice(0, normal_address(address), self._profile, "claimed", self._assignments)

    def unclaimed(self, address: str, profile: str | None, kind: str, guess: Mapping[str, Any]) -> RegisteredDevice:
        """Never asked for: every device is known."""
        return self.device(address)

    def announced(self, address: str, facts: Mapping[str, str]) -> None:
        """What is told of a device is kept by nobody."""
