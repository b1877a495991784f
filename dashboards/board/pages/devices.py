"""Devices that need somebody, messages that nobody could read, and the services themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_args

from starlette.responses import Response

from catalogue.inventory import PointKind
from dashboards.board.visit import Visit
from store import board as store
from store.board import BATTERY_LOW_PCT

_LOG_READERS = ("rules", "keeper")
_POINT_KINDS = frozenset(get_args(PointKind))


def device_page(visit: Visit) -> Response:
    """`/devices`."""
    health = store.device_health(visit.connection)
    return visit.page(
        "devices.html",
        health=health,
        unclaimed=[(row, inventory_lines(row)) for row in health.unclaimed],
        battery_low_pct=BATTERY_LOW_PCT,
        quarantine=[(row, readable(row["payload"])) for row in store.quarantine(visit.connection)],
        services=visit.services,
        lags={reader: store.log_lag(visit.connection, reader) for reader in _LOG_READERS},
    )


def readable(payload: bytes) -> str:
    """The start of a payload as text if it is text, else as hexadecimal digits."""
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        # A character cut in two at the end of the sample is no sign of a binary payload.
        if error.start >= len(payload) - 3:
            return payload[: error.start].decode()
        return payload[:48].hex(" ")


def inventory_lines(device: Mapping[str, Any]) -> str:
    """A point of the inventory file for an unclaimed device, to be pasted under `points:` of a site."""
    kind = device["kind"] if device["kind"] in _POINT_KINDS else "electricity"
    name = "".join(c if c.isascii() and c.isalnum() else "-" for c in device["address"].lower()).strip("-")
    interval = "30m" if kind == "bin" else "15m"
    lines = [f"- id: new-{name[:40].strip('-') or 'point'}", f"  kind: {kind}", f"  interval: {interval}"]
    if kind == "bin":
        lines += ["  fraction: mixed", "  bin: {empty_mm: 1500, full_mm: 300}"]
    # JSON's strings are YAML's, so that no address breaks the file.
    entry = f"address: {json.dumps(device['address'])}"
    if device["profile"]:
        entry += f", profile: {json.dumps(device['profile'])}"
    return "\n".join([*lines, "  devices:", f"  - {{{entry}}}"])
