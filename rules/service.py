"""The rules process: reading log in, alerts out, states and place in the log in the same transaction.

Several of them share the points (docs/operations.md, "Several rules workers"). What the log brings is worked out first
and written afterwards, in a transaction that begins at the fence: a worker that has lost its points writes nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
from psycopg import Connection

from rules import metrics
from rules.anew import begin_anew
from rules.applied import begin, take
from rules.engine import Decided, Engine, Machine
from rules.leases import LEASE_S, Partition, groups
from rules.loader import Shipped, over_shipped
from rules.membership import Membership
from rules.model import Rule
from rules.record import change_of
from rules.telling import plan
from rules.unjudged import Waiting
from store import alerts, telling
from store.alerts import PointInfo
from store.reading_log import BEGINNING, Position, lag_after, read_after
from store.registry import REGISTRY_CHANNEL
from store.rules_leases import Fenced, fence, move
from store.service_state import beat, last_beat
from store.serving import DatabaseService

# What is judged at once: many batches where each is small, for saving the states costs nearly as much for few.
_BATCHES = 500
_READINGS = 240_000
_IDLE_S = 0.25
_TELL_S = 2.0
_DUE_AT_ONCE = 5_000
_TICK_S = 1.0
_TEND_S = 1.0
_BEAT_S = 5.0
#: Without a heartbeat of ingest for this long nobody knows whether silence is the device's.
_BLIND_AFTER = timedelta(seconds=30)
_OUTAGES_BACK = timedelta(days=14)


@dataclass(frozen=True)
class RulesConfig:
    """Everything that the rules process is told. `shipped` gives the rules that come with this Misto; `own`: the files
    that are taken if nothing has been applied yet, the text of each by its name; `worker`: its name, for people."""

    database_url: str
    shipped: Shipped
    time_zone: str
    worker: str = "rules"
    lease_s: float = LEASE_S
    judge_history: bool = False
    own: Mapping[str, str] | None = None


class RulesService(DatabaseService):
    """Runs until `stop` is set."""

    def __init__(self, config: RulesConfig, stop: threading.Event) -> None:
        super().__init__(config.database_url, stop, service="rules")
        self._config = config
        self._zone = ZoneInfo(config.time_zone)
        self._started_at = datetime.now(UTC)
        self._rules: Sequence[Rule] = over_shipped(config.shipped, {}, config.time_zone)
        self._membership = Membership(config.database_url, config.worker, self._rules, config.lease_s)
        self._unreadable = ""
        self._told_of_files = False
        self._forget()
        self._ticked = self._beaten = self._told = 0.0

    def _fresh_engine(self) -> Engine:
        return Engine(self._rules, judge_history=self._config.judge_history)

    def health(self) -> tuple[bool, str]:
        """(well, sentence)."""
        watched = f"{len(self._engine.machines)} pairs of rule and point are watched"
        return not self.failure, self.failure or self._membership.waits or watched

    def serve(self, connection: Connection[Any]) -> None:
        """Judge over this connection until it breaks or `stop` is set."""
        connection.execute(f"LISTEN {REGISTRY_CHANNEL}")
        connection.commit()
        if not begin(connection, self._config.own) and not self._told_of_files:
            self._told_of_files = True
            self._log.warning("the own rule files are others than those in force; `misto rules apply` takes them")
        while not self._stop.is_set():
            self._take_rules(connection)
            with self._membership.on(connection):
                while not self._stop.is_set() and not self._membership.outdated:
                    try:
                        self._work(connection)
                        self.failure = ""
                    except Fenced:
                        metrics.FENCED.inc()
                        self._log.warning(
                            "another worker has taken over points of this one, which did not move for long"
                        )
                        self._forget()

    def _take_rules(self, connection: Connection[Any]) -> None:
        """Judge by the newest applied version from here on."""
        taken = take(connection, self._config.shipped, self._config.time_zone)
        connection.commit()
        if taken.unreadable and taken.unreadable != self._unreadable:
            self._log.error("%s; version %d goes on", taken.unreadable, taken.version)
        self._unreadable = taken.unreadable
        self._log.info(
            "version %d of the rules, applied by %s: %d rules", taken.version, taken.author, len(taken.rules)
        )
        self._rules = taken.rules
        self._membership = self._membership.with_rules(taken)
        self._forget()

    def _forget(self) -> None:
        """Hold nothing: what was worked out and not written is gone, what is held is read anew."""
        self._engine = self._fresh_engine()
        self._held: dict[int, Partition] = {}
        self._points: dict[int, list[PointInfo]] = {}
        self._masks: dict[frozenset[int], npt.NDArray[np.bool_]] = {}
        self._tended = float("-inf")
        metrics.PARTITIONS.set(0)

    def _work(self, connection: Connection[Any]) -> None:
        if time.monotonic() - self._tended > _TEND_S:
            self._tended = time.monotonic()
            self._hold(connection, self._membership.tend(connection))
            if self._membership.outdated:
                return
        if self._judge(connection):
            self._clock(connection)
            if any(True for _ in connection.notifies(timeout=_IDLE_S, stop_after=1)):
                self._take_points(connection, set(self._held))
            connection.commit()
        self._beat(connection)

    def _hold(self, connection: Connection[Any], held: dict[int, Partition]) -> None:
        """Watch the points of these partitions and no others."""
        kept = {number for number, one in self._held.items() if number in held and held[number].token == one.token}
        new = held.keys() - kept
        if len(kept) < len(self._held):
            self._points = {number: self._points[number] for number in kept}
            self._engine.set_points(chain.from_iterable(self._points.values()), {})
            self._masks.clear()
        changed = bool(new) or len(kept) < len(self._held)
        self._held = {number: self._held[number] if number in kept else one for number, one in held.items()}
        if new:
            self._take_points(connection, new)
        metrics.PARTITIONS.set(len(held))
        if changed:
            metrics.TAKEN.inc(len(new))
            pairs = len(self._engine.machines)
            self._log.info(
                "%d of the partitions held, %d of them new: %d pairs of rule and point", len(held), len(new), pairs
            )

    def _take_points(self, connection: Connection[Any], partitions: Collection[int]) -> None:
        """Read the points of these partitions, and the states of those that are not watched yet."""
        self._masks.clear()
        self._points |= alerts.load_partitions(connection, partitions)
        saved = alerts.load_states(connection, partitions)
        connection.commit()
        anew = self._engine.set_points(chain.from_iterable(self._points.values()), saved)
        theirs = {point.point_id for number in partitions for point in self._points[number]}
        watched = [key for key in self._engine.machines if key[1] in theirs]
        with connection.transaction():
            fence(connection, self._tokens(partitions))
            closed = alerts.drop_unwatched(connection, partitions, watched)
        if closed:
            self._log.info("%d open alerts closed, for their points are no longer watched", closed)
        for sentence in self._engine.take_wrong_labels():
            self._log.warning("%s", sentence)
        for decided in self._begin_anew(connection, anew):
            self._write(connection, decided, self._tokens(partitions))
        metrics.KEYS.set(len(self._engine.machines))

    def _begin_anew(
        self, connection: Connection[Any], machines: list[Machine], *, imported: bool = False
    ) -> Iterator[list[Decided]]:
        """As `rules.anew.begin_anew`. Before the first batch is judged, all that is stored is still in the log."""
        begun = {
            number: {point.point_id for point in self._points[number]}
            for number, one in self._held.items()
            if imported or one.position != BEGINNING
        }
        waiting = None if imported else Waiting((self._held[number], its) for number, its in begun.items())
        known = set().union(*begun.values())
        yield from begin_anew(connection, self._engine, machines, known, waiting, imported=imported)

    def _judge(self, connection: Connection[Any]) -> bool:
        """Judge the next batches; True if the log's end is reached with all that is held.

        Partitions that were taken over stand elsewhere in the log until they have caught up with the others.
        """
        caught_up = True
        behind: list[Partition] = []
        places = groups(self._held)
        for index, (position, there) in enumerate(places):
            # Who has come here meanwhile goes on together with those who were here.
            partitions = [self._held[one.number] for one in behind] + there
            until = places[index + 1][0] if index + 1 < len(places) else None
            more = self._judge_group(connection, position, partitions, until)
            behind = [] if more else partitions
            caught_up &= not more
        return caught_up

    def _judge_group(
        self, connection: Connection[Any], position: Position, partitions: list[Partition], until: Position | None
    ) -> bool:
        """Judge the next batches, none after `until`; True if there may be more of them."""
        batches = read_after(connection, position, _BATCHES, until, _READINGS)
        connection.commit()
        live = sum(batch.reading_count for batch in batches if batch.origin == "live")
        more = len(batches) == _BATCHES or live >= _READINGS
        reached = batches[-1].position if batches and (more or until is None) else until
        if reached is None:
            return False
        wanted = self._mask(frozenset(one.number for one in partitions))
        decided: list[Decided] = []
        judged = 0
        for batch in batches:
            made, count = self._engine.fold(batch.of_points(wanted))
            decided += made
            judged += count
        for anew in self._begin_anew(connection, self._engine.take_imported(), imported=True):
            decided += anew
        connection.commit()
        self._write(connection, decided, [(one.number, one.token) for one in partitions], reached)
        for one in partitions:
            self._held[one.number] = one._replace(position=reached)
        metrics.READINGS.inc(judged)
        metrics.LATE_UNJUDGED.inc(self._engine.late_unjudged)
        metrics.HISTORY.inc(self._engine.history)
        self._engine.late_unjudged = self._engine.history = 0
        return more

    def _mask(self, partitions: frozenset[int]) -> npt.NDArray[np.bool_]:
        """Which points are in these partitions, by id; False at the end, for all ids beyond."""
        if partitions not in self._masks:
            ids = [point.point_id for number in partitions for point in self._points[number]]
            wanted = np.zeros(max(ids, default=0) + 2, np.bool_)
            wanted[ids] = True
            self._masks[partitions] = wanted
        return self._masks[partitions]

    def _clock(self, connection: Connection[Any]) -> None:
        if time.monotonic() - self._ticked < _TICK_S or not self._held:
            return
        self._ticked = time.monotonic()
        now = datetime.now(UTC)
        heard = last_beat(connection, "ingest")
        blind = heard is None or now - heard > _BLIND_AFTER
        outages = [(_us(down), _us(up)) for down, up in alerts.outages(connection, now - _OUTAGES_BACK)]
        # While another transaction is open, batches may be stored that the log does not show yet: what they bring
        # was received, and the clock must not overtake it.
        waiting = lag_after(connection, self._hindmost())
        connection.commit()
        judged_until_us = _us(now) - round(waiting.age_s * 1e6)
        decided = self._engine.tick(judged_until_us, outages, blind)
        self._write(connection, decided, self._tokens(self._held))
        if time.monotonic() - self._told > _TELL_S:
            self._told = time.monotonic()
            self._tell(connection)

    def _tell(self, connection: Connection[Any]) -> None:
        """Decide what of the outbox may be told, and what the clock brings; any worker that holds points may."""
        rules = self._engine.rules
        with connection.transaction():
            now = telling.lock(connection)
            if now is None:
                return
            due = telling.due_rows(connection, _DUE_AT_ONCE)
            flaps = {
                rule.id: max(rule.flap.within, rule.flap.hold_s) for rule in rules.values() if rule.flap is not None
            }
            todo = plan(
                now,
                rules,
                telling.active_silences(connection),
                telling.episodes(connection, due),
                due,
                telling.flips(connection, flaps),
            )
            telling.write(connection, todo)

    def _write(
        self,
        connection: Connection[Any],
        decided: Sequence[Decided],
        held: Sequence[tuple[int, int]],
        position: Position | None = None,
    ) -> None:
        """Write what was decided for these partitions and every state that changed, and move on to `position`."""
        changes = [change_of(one, self._zone) for one in decided]
        states = self._engine.take_changed()
        if not changes and not states and position is None:
            return
        with connection.transaction():
            if position is None:
                fence(connection, held)
            else:
                move(connection, held, position)
            for rule in {one.rule.hash: one.rule for one in decided}.values():
                if rule is not self._engine.rules.get(rule.id):
                    # With the numbers of a point's labels.
                    alerts.save_rule(connection, rule.id, rule.hash, rule.definition)
            for change in changes:
                alerts.write_change(connection, change)
            alerts.save_states(connection, states)
        for change in changes:
            metrics.TRANSITIONS.labels(change.kind).inc()

    def _beat(self, connection: Connection[Any]) -> None:
        if time.monotonic() - self._beaten < _BEAT_S:
            return
        self._beaten = time.monotonic()
        with connection.transaction():
            batches, age_s = 0, 0.0
            if self._held:
                behind = lag_after(connection, self._hindmost())
                batches, age_s = behind.batches, behind.age_s
            metrics.LAG_BATCHES.set(batches)
            metrics.LAG_SECONDS.set(age_s if batches else 0)
            metrics.OPEN_ALERTS.set(alerts.open_alerts(connection))
            info = {"behind_batches": batches, "partitions": len(self._held)}
            beat(connection, "rules", self._config.worker, self._started_at, info)

    def _hindmost(self) -> Position:
        return min(one.position for one in self._held.values())

    def _tokens(self, partitions: Iterable[int]) -> list[tuple[int, int]]:
        return [(number, self._held[number].token) for number in partitions]


def _us(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)
