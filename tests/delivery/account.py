"""Compares what was published with what was stored, quarantined, logged and judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg

from tests.delivery.messages import Kind, Numbered, Plan
from tests.straight import alerts_in, straight

_MOST_TOLD = 5
_READINGS = """
SELECT d.address, m.name, (extract(epoch FROM r.time) * 1e6)::bigint, r.value
FROM readings AS r JOIN metric AS m USING (metric_id) JOIN assignment AS a USING (point_id)
JOIN device AS d USING (device_id)
"""
_LOG = """
WITH logged AS (
    SELECT point_id, metric_id, time_us, count(*) AS times
    FROM reading_log, unnest(times_us, point_ids, metric_ids) AS one (time_us, point_id, metric_id)
    GROUP BY 1, 2, 3
), stored AS (SELECT point_id, metric_id, (extract(epoch FROM time) * 1e6)::bigint AS time_us FROM readings)
SELECT point_id, metric_id, time_us, coalesce(times, 0), stored.point_id IS NOT NULL
FROM logged FULL JOIN stored USING (point_id, metric_id, time_us)
WHERE coalesce(times, 0) <> 1 OR stored.point_id IS NULL
ORDER BY time_us
"""


@dataclass(frozen=True)
class Published:
    """What the publisher knows: by number, when the broker acknowledged it (monotonic), and how often it was sent.

    `began` is when the run began.
    """

    began: float
    acknowledged: Mapping[int, float]
    sendings: Mapping[int, int]
    #: Spans in which the broker, killed before it had saved, may have forgotten what it acknowledged.
    forgettable: list[tuple[float, float]] = field(default_factory=list)

    def may_be_forgotten(self, number: int) -> bool:
        at = self.acknowledged[number]
        return any(since <= at <= until for since, until in self.forgettable)


@dataclass
class Account:
    """The outcome. `wrong` are sentences, the first message's first; empty if all is right."""

    messages: int = 0
    readings: int = 0
    quarantined: int = 0
    alerts: int = 0
    sent_again: int = 0
    forgotten: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.messages:,} messages acknowledged ({self.sent_again:,} of them sent more than once): "
            f"{self.readings:,} readings, {self.quarantined:,} in quarantine, {self.alerts:,} alerts; "
            f"{self.forgotten} without a time of their own forgotten by the killed broker; "
            + (f"{len(self.wrong)} WRONG" if self.wrong else "none lost, none doubled, each alert once")
        )


def settle_account(
    plan: Plan, published: Published, database: psycopg.Connection[Any], reference: psycopg.Connection[Any]
) -> Account:
    """Compare. `reference` is an empty migrated database, in which the alerts are worked out anew."""
    account = Account(messages=len(published.acknowledged))
    account.sent_again = sum(count > 1 for count in published.sendings.values())
    _check_messages(account, plan, published, database)
    _check_log(account, database)
    made, expected = alerts_in(database), straight(database, reference, *plan.sites)
    account.alerts = len(made)
    _tell(
        account,
        "alert raised that one engine would not raise, or raised otherwise",
        [a for a in made if a not in expected],
    )
    _tell(account, "alert missing", [a for a in expected if a not in made])
    if len(made) != len(set(map(repr, made))):
        account.wrong.append("an alert is there twice")
    return account


def _check_messages(account: Account, plan: Plan, published: Published, database: psycopg.Connection[Any]) -> None:
    stored: dict[tuple[str, str, int], float] = {}
    clockless: Counter[tuple[str, str, float]] = Counter()
    for address, metric, time_us, value in database.execute(_READINGS):
        if metric == "apparent_power_va":
            clockless[address, metric, value] += 1
        else:
            stored[address, metric, time_us] = value
    quarantine = Counter(
        (topic, bytes(payload)) for topic, payload in database.execute("SELECT topic, payload FROM quarantine")
    )
    account.readings = len(stored) + clockless.total()
    account.quarantined = quarantine.total()
    last = max(published.sendings, default=-1)
    lost: list[str] = []
    for one in plan.messages():
        if one.number > last:
            break
        taken = one.number in published.acknowledged
        most = published.sendings.get(one.number, 0)
        found = _take(one, stored, clockless, quarantine)
        if found > most:
            account.wrong.append(f"doubled: {_name(one)} was sent {most} times and is there {found} times")
        elif taken and found == 0:
            if one.kind is not Kind.TIMED and published.may_be_forgotten(one.number):
                account.forgotten += 1
            else:
                at_s = published.acknowledged[one.number] - published.began
                lost.append(f"{_name(one)}, acknowledged at {at_s:.2f} s, is not there")
    _tell(account, "lost", lost)
    _tell(account, "reading that nobody published", list(stored.items()))
    _tell(account, "reading without clock that nobody published", list(clockless.items()))
    _tell(account, "entry in quarantine that is no poison", list(quarantine.items()))


def _take(
    one: Numbered,
    stored: dict[tuple[str, str, int], float],
    clockless: Counter[tuple[str, str, float]],
    quarantine: Counter[tuple[str, bytes]],
) -> int:
    """How often the message is there, whole; takes it away, so that what nobody published remains."""
    if one.kind is Kind.POISON:
        return quarantine.pop((one.topic, one.payload), 0)
    if one.kind is Kind.CLOCKLESS:
        return clockless.pop(one.readings[0], 0)
    values = [stored.pop((address, metric, one.time_us), None) for address, metric, _ in one.readings]
    return int(values == [value for _, _, value in one.readings])


def _check_log(account: Account, database: psycopg.Connection[Any]) -> None:
    rows = database.execute(_LOG).fetchall()
    _tell(account, "reading whose place in the log is wrong (point, metric, time, times logged, is stored)", rows)


def _tell(account: Account, what: str, found: list[Any]) -> None:
    account.wrong += [f"{what}: {one}" for one in found[:_MOST_TOLD]]
    if len(found) > _MOST_TOLD:
        account.wrong.append(f"{what}: {len(found)} in all, the last: {found[-1]}")


def _name(one: Numbered) -> str:
    return f"message {one.number} ({one.kind}, {one.topic}, {one.payload.decode()})"
