"""What is not told of for a time: the list, a new one, and ending one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.responses import Response

from dashboards.board.forms import done, one_line, refused, signed
from dashboards.board.pages.care import MAX_ID
from dashboards.board.visit import Visit
from store import board
from store import silences as store
from store.silences import KINDS, SEVERITIES, NewSilence, SilenceRefused, parse_labels

HOURS = [1, 4, 12, 24, 72, 168, 720]

#: Field of the form → part of a silence, as the page lists them.
PARTS = {
    "rule": "rules",
    "point": "points",
    "site": "sites",
    "zone": "zones",
    "kind": "kinds",
    "contractor": "contractors",
    "severity": "severities",
}


def silence_page(visit: Visit) -> Response:
    """`/silences`; `?point=…` and its like fill the form."""
    asked = visit.request.query_params
    return visit.page(
        "silences.html",
        silences=[(row, _parts(row)) for row in store.silences(visit.connection)],
        given={name: one_line(asked.get(name, ""))[:120] for name in (*PARTS, "labels")},
        rules=store.known_rules(visit.connection),
        zones=board.zones(visit.connection),
        contractors=board.contractors(visit.connection),
        kinds=KINDS,
        severities=SEVERITIES,
        hours=HOURS,
    )


def add(visit: Visit, form: Mapping[str, str]) -> Response:
    """`POST /silences`."""
    sender = signed(visit, form)
    if isinstance(sender, Response):
        return sender
    name, reason = sender
    now = datetime.now(UTC)
    values = {field: one_line(form.get(field, "")) for field in (*PARTS, "labels")}
    if "\0" in "".join(form.values()) or not reason:
        return refused(visit, "silence_incomplete", 400)
    try:
        begins_at = _local(visit, form.get("begins", ""))
        hours = {str(hours): hours for hours in HOURS}.get(form.get("hours", ""), HOURS[0])
        parts: dict[str, Any] = {part: [values[field]] for field, part in PARTS.items() if values[field]}
        new = NewSilence(
            ends_at=(begins_at or now) + timedelta(hours=hours),
            author=name,
            reason=reason,
            begins_at=begins_at,
            labels=parse_labels([text for text in values["labels"].split(",") if text.strip()]),
            **parts,
        )
        store.add(visit.connection, new, now)
    except SilenceRefused as error:
        named = {"name": error.name} if error.why in ("unknown", "label") else {}
        return refused(visit, f"silence_{error.why}", 400, **named)
    except (ValueError, OverflowError):
        return refused(visit, "silence_times", 400)
    return done(visit, "/silences", name)


def end(visit: Visit, form: Mapping[str, str]) -> Response:
    """`POST /silences/{id}/end`."""
    sender = signed(visit, form)
    if isinstance(sender, Response):
        return sender
    silence_id = visit.request.path_params["silence_id"]
    if silence_id > MAX_ID or not store.end(visit.connection, silence_id, sender[0]):
        return refused(visit, "silence_over", 409)
    return done(visit, "/silences", sender[0])


def _local(visit: Visit, text: str) -> datetime | None:
    """A moment as the browser writes it, in the city's time. Raises ValueError."""
    return datetime.fromisoformat(text).replace(tzinfo=visit.formatter.zone) if text else None


def _parts(row: board.Row) -> list[tuple[str, list[str]]]:
    """Field and values of each part that is given."""
    parts = [(field, row[part]) for field, part in PARTS.items() if row[part]]
    labels = [f"{name}={value}" for name, value in row["labels"].items()]
    return parts + ([("labels", labels)] if labels else [])
