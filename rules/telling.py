"""What may be told of the alerts, and what is withheld and why. Pure: firing is not telling, and what is withheld here
never stops an alert's state.

`plan` looks at the alerts that are open or have something to be told, and says which marks begin and end, which rows
of the outbox are released, and which rows are new.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from rules.lifecycle import Flap, Inhibitor, Lifecycle
from store.telling import Due, Episode, Mark, NewRow, Plan, Silence, Verdict

SILENCED, INHIBITED, FLAPPING, NOT_TOLD = "silenced", "inhibited", "flapping", "not_told"

#: Why an alert is told that was withheld, by the mark that ended.
_AGAIN = {
    SILENCED: "the silence has ended",
    INHIBITED: "the alert that hid it has ended",
    FLAPPING: "it has come to rest",
}


class Block(NamedTuple):
    """What keeps an alert from being told, and which silence or alert."""

    kind: str
    cause: int | None


def fits(silence: Silence, episode: Episode) -> bool:
    """True if every given part of the silence fits the alert; of the values of a part one must."""
    parts: tuple[tuple[Sequence[str], str | None], ...] = (
        (silence.rules, episode.rule_id),
        (silence.points, episode.point),
        (silence.sites, episode.site),
        (silence.zones, episode.zone),
        (silence.kinds, episode.kind),
        (silence.contractors, episode.contractor),
        (silence.severities, episode.severity),
    )
    if any(wanted and own not in wanted for wanted, own in parts):
        return False
    return all(episode.labels.get(name) == value for name, value in silence.labels.items())


def is_flapping(flap: Flap, already: bool, flips: Iterable[datetime], now: datetime) -> bool:
    """`flips`: when the alert fired and ended. It goes on until there was none for the rule's `hold`."""
    times = list(flips)
    if sum(time > now - timedelta(seconds=flap.within) for time in times) > flap.transitions:
        return True
    return already and any(time > now - timedelta(seconds=flap.hold_s) for time in times)


def ack_ended(until: datetime | None, now: datetime) -> bool:
    """True if the time is over for which somebody took an alert over; None: until it ends."""
    return until is not None and until <= now


def hidden_by(rules: Mapping[str, Lifecycle], episodes: Sequence[Episode]) -> dict[int, int]:
    """Hidden open alert → the open alert that hides it; two never hide each other."""
    firing = sorted((one for one in episodes if one.state == "firing"), key=lambda one: one.episode_id)
    by_rule: dict[str, list[Episode]] = {}
    for one in firing:
        by_rule.setdefault(one.rule_id, []).append(one)
    hidden: dict[int, int] = {}
    for one in firing:
        rule = rules.get(one.rule_id)
        for inhibitor in rule.inhibited_by if rule else ():
            causes = (other for other in by_rule.get(inhibitor.rule, ()) if _alike(inhibitor, other, one))
            cause = next((other for other in causes if not _leads_to(hidden, other.episode_id, one.episode_id)), None)
            if cause is not None:
                hidden[one.episode_id] = cause.episode_id
                break
    return hidden


def _alike(inhibitor: Inhibitor, one: Episode, other: Episode) -> bool:
    return all(
        getattr(one, name) is not None and getattr(one, name) == getattr(other, name) for name in inhibitor.equal
    )


def _leads_to(hidden: Mapping[int, int], start: int, end: int) -> bool:
    """True if `start` is hidden by `end`, over however many others."""
    at: int | None = start
    while at is not None:
        if at == end:
            return True
        at = hidden.get(at)
    return False


@dataclass
class _Planner:
    """One look at everything."""

    now: datetime
    rules: Mapping[str, Lifecycle]
    plan: Plan = field(default_factory=Plan)

    def add(self, one: Episode, due: Sequence[Due], blocks: Mapping[str, Block], flaps_newly: bool) -> None:
        """What is to be told of one alert."""
        marks = blocks if one.state == "firing" else {FLAPPING: blocks[FLAPPING]} if FLAPPING in blocks else {}
        ended = self._mark(one, marks)
        told, ever_told = one.told, one.told or one.ever_told
        first = next(iter(blocks.values()), None)
        for row in due:
            verdict = self._verdict(row, first, blocks.get(FLAPPING), told=told, ever_told=ever_told)
            self.plan.verdicts.append(verdict)
            if verdict.because is None:
                told = row.kind not in ("ended", "retracted")
                ever_told |= told
        if flaps_newly and not blocks.keys() & {SILENCED, INHIBITED}:
            self._new(one, "flapping", "it changes often")
            told = True
        if ended and told != (one.state == "firing") and FLAPPING not in blocks:
            if one.state != "firing":
                self._new(one, "ended", _AGAIN[ended])
            elif first is None:
                self._new(one, "firing", _AGAIN[ended])
        if one.state == "firing":
            self._by_the_clock(one, quiet=first is not None)

    def _mark(self, one: Episode, marks: Mapping[str, Block]) -> str | None:
        """Write what has changed of the marks; returns the kind of one that ended."""
        ended = None
        for kind in (SILENCED, INHIBITED, FLAPPING):
            had, has = one.marks.get(kind), marks.get(kind)
            if has is not None and (had is None or had.cause != has.cause):
                self.plan.marks.append(Mark(one.episode_id, kind, True, has.cause))
            elif had is not None and has is None:
                self.plan.marks.append(Mark(one.episode_id, kind, False, had.cause))
                ended = kind
        return ended

    def _verdict(self, row: Due, block: Block | None, flaps: Block | None, *, told: bool, ever_told: bool) -> Verdict:
        if row.kind in ("ended", "retracted"):
            # Whoever was told of it is told of its end, silenced or not; of what flaps once it has come to rest.
            block = flaps
            if block is None and not (told or (row.kind == "retracted" and ever_told)):
                return Verdict(row.outbox_id, NOT_TOLD, None)
        return Verdict(row.outbox_id, block.kind, block.cause) if block else Verdict(row.outbox_id, None, None)

    def _by_the_clock(self, one: Episode, *, quiet: bool) -> None:
        acked = one.acked and not ack_ended(one.acked_until, self.now)
        if one.acked and not acked:
            self.plan.ended_acks.append(one.episode_id)
            if not quiet and one.told:
                self._new(one, "reminder", "the time to take care of it is over")
                return
        rule = self.rules.get(one.rule_id)
        if rule is None or quiet or not one.told or one.opened_by is None or one.released_at is None:
            return
        for step, escalation in enumerate(rule.escalate):
            due = one.released_at + timedelta(seconds=escalation.after) <= self.now
            if due and step not in one.steps and not (acked and escalation.unless == "acknowledged"):
                reason = "open for long and nobody takes care" if escalation.unless else "open for long"
                self._new(one, "escalation", reason, escalation.to, one.opened_by, step)
        last = one.last_released_at or one.released_at
        if rule.repeat is not None and not acked and last + timedelta(seconds=rule.repeat) <= self.now:
            self._new(one, "reminder", "still open")

    def _new(
        self,
        one: Episode,
        kind: str,
        reason: str,
        recipient: str | None = None,
        escalates: int | None = None,
        step: int | None = None,
    ) -> None:
        self.plan.rows.append(NewRow(one.episode_id, kind, one.severity, reason, recipient, escalates, step))


def plan(
    now: datetime,
    rules: Mapping[str, Lifecycle],
    silences: Sequence[Silence],
    episodes: Sequence[Episode],
    due: Sequence[Due],
    flips: Mapping[tuple[str, int], Sequence[datetime]],
) -> Plan:
    """`silences`: those that are active; `due`: rows of the outbox that nobody has decided, oldest first; `flips`: by
    rule and point, when alerts fired and ended lately."""
    hidden = hidden_by(rules, episodes)
    rows: dict[int, list[Due]] = {}
    for row in due:
        rows.setdefault(row.episode_id, []).append(row)
    were_flapping = {one.key for one in episodes if FLAPPING in one.marks}
    newest: dict[tuple[str, int], int] = {}
    for one in episodes:
        newest[one.key] = max(one.episode_id, newest.get(one.key, 0))
    planner = _Planner(now, rules)
    for one in episodes:
        blocks: dict[str, Block] = {}
        silence = next((silence for silence in silences if fits(silence, one)), None)
        if silence is not None:
            blocks[SILENCED] = Block(SILENCED, silence.silence_id)
        if one.episode_id in hidden:
            blocks[INHIBITED] = Block(INHIBITED, hidden[one.episode_id])
        flap = rules[one.rule_id].flap if one.rule_id in rules else None
        already = one.key in were_flapping
        flaps = flap is not None and is_flapping(flap, already, flips.get(one.key, ()), now)
        if flaps:
            blocks[FLAPPING] = Block(FLAPPING, None)
        begins = flaps and not already and newest[one.key] == one.episode_id
        planner.add(one, rows.get(one.episode_id, ()), blocks, begins)
    return planner.plan
