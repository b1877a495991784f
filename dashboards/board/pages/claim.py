"""Placing a device that nobody has claimed: at a point that waits for one, or at a new point of a site."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, get_args

from starlette.responses import RedirectResponse, Response

from catalogue.inventory import Fraction
from dashboards.board import security
from dashboards.board.metrics import claims
from dashboards.board.visit import Visit, not_found
from store import devices as store
from store.devices import POINT_KINDS, DeviceRefused, Row, Seeming, seeming

FRACTIONS: tuple[str, ...] = get_args(Fraction)

#: What of a device's own words is shown, in this order.
FACTS = ("maker", "model", "name", "group", "site", "serial", "tags")

_MOST_POINTS = 2000
_MAX_ID = 2**31 - 1


def claim_page(visit: Visit) -> Response:
    """`/devices/{id}`: the form, with what the device seems to be chosen already."""
    device = _device(visit)
    seems = seeming(device)
    sites = store.sites(visit.connection)
    points = store.free_points(visit.connection, seems.kind, _MOST_POINTS)
    site = best_match(seems, ((row["id"], _names(row, "name")) for row in sites))
    mine = [row for row in points if seems.kind in (None, row["kind"])]
    point = best_match(seems, ((row["code"], _names(row, "name")) for row in mine))
    at_site = [row["code"] for row in mine if row["site_id"] == site]
    if point is None and len(at_site) == 1:
        point = at_site[0]
    return visit.page(
        "claim.html",
        device=device,
        seems=seems,
        facts=[(name, seems.facts[name]) for name in FACTS if name in seems.facts],
        sites=sites,
        groups=[
            (visit.formatter.pick(rows[0], "site_name"), rows)
            for rows in (list(group) for _, group in groupby(points, key=lambda row: row["site_id"]))
        ],
        kinds=POINT_KINDS,
        fractions=FRACTIONS,
        site=site,
        point=point,
    )


def claim(visit: Visit, form: Mapping[str, str]) -> Response:
    """`POST /devices/{id}/claim`."""
    if not security.same_origin(visit.request):
        return _refused(visit, "origin", 403)
    if not security.token_is_right(visit.request, form.get(security.TOKEN_FIELD, "")):
        return _refused(visit, "token", 403)
    device_id = visit.request.path_params["device_id"]
    if device_id > _MAX_ID:
        raise not_found()
    place = form.get("place", "")
    point, site = (form.get(name, "").strip() for name in ("point", "site"))
    kind, fraction = form.get("kind", ""), form.get("fraction", "")
    if place not in ("point", "new") or not (point if place == "point" else site):
        return _refused(visit, "incomplete", 400)
    if "\0" in point + site + kind + fraction:
        return _refused(visit, "no_point", 400)
    try:
        with visit.connection.transaction():
            # What a device has sent for months may take longer to move than a page may take to be made.
            visit.connection.execute("SET LOCAL statement_timeout = '120s'")
            if place == "new":
                point = store.add_point(
                    visit.connection, site, kind, fraction=(fraction or None) if kind == "bin" else None
                )
            store.claim_unclaimed(visit.connection, device_id, point)
    except DeviceRefused as error:
        return _refused(visit, error.why, 409)
    claims.inc()
    return RedirectResponse("/devices", 303)


def best_match(seems: Seeming, places: Iterable[tuple[str, Iterable[str]]]) -> str | None:
    """The place that a device names: by its id or its name, whole before in part; None where two fit alike.

    `places` are ids with names.
    """
    told = [folded for name in ("site", "name", "tags") if (folded := _folded(seems.facts.get(name, "")))]
    best: tuple[int, str | None] = (0, None)
    for place, names in places:
        score = 0
        for own in filter(None, map(_folded, (place, *names))):
            for text in told:
                if own == text:
                    score = max(score, 1000 + len(own))
                elif len(own) >= 4 and f" {own} " in f" {text} ":
                    score = max(score, len(own))
        if score > best[0]:
            best = (score, place)
        elif score and score == best[0]:
            best = (score, None)
    return best[1]


def _folded(text: str) -> str:
    return " ".join("".join(c if c.isalnum() else " " for c in text.casefold()).split())


def _names(row: Row, name: str) -> tuple[str, ...]:
    return tuple(text for language in ("en", "uk") if (text := row[f"{name}_{language}"]))


def _device(visit: Visit) -> dict[str, Any]:
    device_id = visit.request.path_params["device_id"]
    device = store.find_device(visit.connection, device_id=device_id) if device_id <= _MAX_ID else None
    if device is None or device["state"] != "unclaimed":
        raise not_found()
    return device


def _refused(visit: Visit, why: str, status: int) -> Response:
    write = visit.formatter
    return visit.page(
        "error.html",
        status=status,
        title=write.text("claim.error.title"),
        sentence=write.text(f"claim.error.{why}"),
        retry_s=None,
    )
