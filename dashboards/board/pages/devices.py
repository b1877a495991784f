"""Devices that need somebody, messages that nobody could read, and the services themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_args

from starlette.responses import Response

from catalogue.inventory import PointKind
from dashboards.board.visit import Visit
from store import board as store
from store import quarantine
from store.board import BATTERY_LOW_PCT, Row
from store.devices import seeming
from store.reading_log import lag
from store.redaction import redacted

_QUARANTINE_HOURS = 7 * 24
_SAMPLE_BYTES = 160
_LOG_READERS = ("rules", "keeper")
_POINT_KINDS = frozenset(get_args(PointKind))


def device_page(visit: Visit) -> Response:
    """`/devices`."""
    health = store.device_health(visit.connection)
    return visit.page(
        "devices.html",
        health=health,
        unclaimed=[(row, inventory_lines(row), seeming(row)) for row in _standing_alone(health.unclaimed)],
        battery_low_pct=BATTERY_LOW_PCT,
        quarantine=unreadable_by_reason(visit),
        services=visit.services,
        lags={reader: lag(visit.connection, reader) for reader in _LOG_READERS},
    )


def unreadable_by_reason(visit: Visit) -> list[tuple[Row, str]]:
    """Reasons of the last 7 days, each with its newest message and the start of its content without secrets."""
    rows = quarantine.by_reason(visit.connection, _QUARANTINE_HOURS)
    payloads = quarantine.payloads(visit.connection, [row["quarantine_id"] for row in rows], _SAMPLE_BYTES)
    return [(row, readable(redacted(payloads.get(row["quarantine_id"], b"")))) for row in rows]


def _standing_alone(rows: list[Row]) -> list[Row]:
    """Without devices that have only told about themselves and whose channels, address/channel, stand for them."""
    parents = {row["address"].rpartition("/")[0] for row in rows}
    return [row for row in rows if row["point_id"] is not None or row["address"] not in parents]


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
