"""Messages that nobody could read: how many by reason, sender and time, samples, and one of them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from dashboards.board.visit import Visit, not_found
from store import quarantine
from store.quarantine import CAUSES, Row
from store.redaction import Shown, shown

#: Code → hours.
PERIODS = {"hour": 1, "day": 24, "week": 7 * 24, "all": 100 * 366 * 24}

#: Of each reason.
_MOST_SOURCES = 20
_MOST_SAMPLES = 50
#: What is shown of a content: the page is for a look; the command `misto quarantine show` tells all.
_SAMPLE_BYTES = 160
_CONTENT_BYTES = 4_000
_MAX_ID = 2**63 - 1


def quarantine_page(visit: Visit) -> Response:
    """`/devices/quarantine`."""
    period = visit.choice("period", list(PERIODS)) or "week"
    hours = PERIODS[period]
    sources = quarantine.by_source(visit.connection, hours, _MOST_SOURCES)
    reasons = list(dict.fromkeys(row["reason"] for row in sources))
    reason = visit.choice("reason", reasons)
    source = visit.request.query_params.get("device") or None
    if source is not None and "\0" in source:
        source = None
    samples = quarantine.newest_samples(visit.connection, hours, reason, source, _MOST_SAMPLES)
    payloads = quarantine.payloads(visit.connection, [row["quarantine_id"] for row in samples], _SAMPLE_BYTES)
    return visit.page(
        "quarantine.html",
        periods=list(PERIODS),
        period=period,
        reasons=sorted(reasons, key=lambda code: visit.formatter.term("quarantine", code)),
        reason=reason,
        device=source,
        sources=[(row, _address(period, row)) for row in sources],
        samples=[(row, _content(row, payloads)) for row in samples],
        gone=_gone(quarantine.gone(visit.connection)),
        causes=CAUSES,
    )


def unreadable_page(visit: Visit) -> Response:
    """`/devices/quarantine/{id}`."""
    entry_id = visit.request.path_params["entry_id"]
    row = quarantine.entry(visit.connection, entry_id) if entry_id <= _MAX_ID else None
    if row is None:
        raise not_found()
    payloads = quarantine.payloads(visit.connection, [entry_id], _CONTENT_BYTES)
    return visit.page(
        "unreadable.html", row=row, content=_content(row, payloads), is_cut=row["payload_bytes"] > _CONTENT_BYTES
    )


def _content(row: Row, payloads: dict[int, bytes]) -> Shown | None:
    """The content without secrets; None where there is none or the board's role may not read it."""
    payload = payloads.get(row["quarantine_id"])
    return shown(payload, cut=len(payload) < row["payload_bytes"]) if payload else None


def _address(period: str, row: Row) -> str:
    """The page with the samples of this reason and sender alone."""
    chosen = {"period": period, "reason": row["reason"], "device": row["source"]}
    return f"/devices/quarantine?{urlencode(chosen)}#samples"


def _gone(rows: list[Row]) -> dict[str, dict[str, Any]]:
    """Reason → cause → row."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        found.setdefault(row["reason"], {})[row["cause"]] = row
    return found
