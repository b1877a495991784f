"""What people do about an alert: take it over, give it back, say whether it was right."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from dashboards.board import security
from dashboards.board.forms import done, refused, signed
from dashboards.board.metrics import acknowledgements
from dashboards.board.visit import Visit
from store import board as store

#: For how many hours an alert can be taken over; 0 = until it ends.
REMIND_HOURS = [0, 4, 24, 72]

VERDICTS = ("right", "false")

MAX_ID = 2**63 - 1


def acknowledge(visit: Visit, form: Mapping[str, str]) -> Response:
    """`POST /alerts/{id}/acknowledge`: somebody takes care of it."""
    sender = signed(visit, form)
    if isinstance(sender, Response):
        return sender
    hours = {str(hours): hours for hours in REMIND_HOURS}.get(form.get("hours", ""), 0)
    episode_id = visit.request.path_params["episode_id"]
    if episode_id > MAX_ID or not store.acknowledge(visit.connection, episode_id, *sender, hours or None):
        return refused(visit, "ended", 409)
    acknowledgements.inc()
    return done(visit, security.safe_back(form.get("back", "/")), sender[0])


def withdraw(visit: Visit, form: Mapping[str, str]) -> Response:
    """`POST /alerts/{id}/withdraw`: nobody takes care of it any more."""
    sender = signed(visit, form)
    if isinstance(sender, Response):
        return sender
    episode_id = visit.request.path_params["episode_id"]
    if episode_id > MAX_ID or not store.withdraw(visit.connection, episode_id, *sender):
        return refused(visit, "not_taken", 409)
    return done(visit, f"/alerts/{episode_id}", sender[0])


def feedback(visit: Visit, form: Mapping[str, str]) -> Response:
    """`POST /alerts/{id}/feedback`: it was right, or a false alarm."""
    sender = signed(visit, form)
    if isinstance(sender, Response):
        return sender
    episode_id, verdict = visit.request.path_params["episode_id"], form.get("verdict", "")
    if verdict not in VERDICTS:
        return refused(visit, "verdict", 400)
    if episode_id > MAX_ID or not store.give_feedback(visit.connection, episode_id, verdict, *sender):
        return refused(visit, "no_alert", 404)
    return done(visit, f"/alerts/{episode_id}", sender[0])
