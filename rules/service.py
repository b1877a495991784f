"""The rules process: reading log in, alerts out, states and cursor in the same transaction."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from psycopg import Connection

from rules import metrics
from rules.engine import Decided, Engine, Machine
from rules.model import Rule
from rules.refold import Open, refold, relisten
from rules.step import Reading
from rules.text import Place, tell
from store import alerts
from store.alerts import Change, PointInfo
from store.connection import connect
from store.errors import DatabaseUnreachable, is_temporary
from store.migrate import check_schema
from store.reading_log import advance, has_read, lag, read_batches
from store.registry import REGISTRY_CHANNEL
from store.service_state import beat, last_beat

log = logging.getLogger("misto.rules")

READER = "rules"
_BATCHES = 20
_POINTS_AT_ONCE = 200
_IDLE_S = 0.25
_TICK_S = 1.0
_BEAT_S = 5.0
#: Without a heartbeat of ingest for this long nobody knows whether silence is the device's.
_BLIND_AFTER = timedelta(seconds=30)
_OUTAGES_BACK = timedelta(days=14)


@dataclass(frozen=True)
class RulesConfig:
    """Everything that the rules process is told."""

    database_url: str
    rules: list[Rule]
    time_zone: str
    worker: str = "rules"
    judge_history: bool = False


class RulesService:
    """Runs until `stop` is set."""

    def __init__(self, config: RulesConfig, stop: threading.Event) -> None:
        self._config = config
        self._stop = stop
        self._zone = ZoneInfo(config.time_zone)
        self._started_at = datetime.now(UTC)
        self._engine = self._fresh_engine()
        self._failure = "it has not connected to the database yet"
        self._ticked = self._beaten = 0.0

    def _fresh_engine(self) -> Engine:
        return Engine(self._config.rules, judge_history=self._config.judge_history)

    def health(self) -> tuple[bool, str]:
        """(well, sentence)."""
        return not self._failure, self._failure or f"{len(self._engine.machines)} pairs of rule and point are watched"

    def run(self) -> None:
        """Judge until `stop`. Raises `StoreError` where waiting does not help."""
        told = ""
        while not self._stop.is_set():
            try:
                with connect(self._config.database_url, service="rules") as connection:
                    check_schema(connection)
                    self._serve(connection)
            except DatabaseUnreachable as error:
                self._failure = str(error)
            except psycopg.Error as error:
                if not is_temporary(error):
                    log.exception("a batch could not be judged; trying again")
                self._failure = str(error).strip() or type(error).__name__
            if self._failure and self._failure != told and not self._stop.is_set():
                log.warning("the database is away: %s; nothing is lost meanwhile", self._failure)
                told = self._failure
            self._stop.wait(1)

    def _serve(self, connection: Connection[Any]) -> None:
        """Work over one connection until it breaks or `stop`. All state is read anew: a broken commit leaves none."""
        self._engine = self._fresh_engine()
        with connection.transaction():
            for rule in self._config.rules:
                alerts.save_rule(connection, rule.id, rule.hash, rule.definition)
            closed = alerts.drop_states(connection, [rule.id for rule in self._config.rules])
            self._take_points(connection)
        if closed:
            log.info("%d open alerts closed, for their rules are no longer in force", closed)
        connection.execute(f"LISTEN {REGISTRY_CHANNEL}")
        connection.commit()
        log.info("%d rules watch %d pairs of rule and point", len(self._config.rules), len(self._engine.machines))
        self._failure = ""
        while not self._stop.is_set():
            caught_up = self._judge(connection)
            if caught_up:
                self._clock(connection)
                if any(True for _ in connection.notifies(timeout=_IDLE_S, stop_after=1)):
                    with connection.transaction():
                        self._take_points(connection)
                connection.commit()
            self._beat(connection, caught_up)

    def _take_points(self, connection: Connection[Any]) -> None:
        saved, first = {}, not self._engine.machines
        if first:
            # Later on, memory knows everything that is saved.
            saved = {(row[0], row[1]): (row[2], row[3]) for row in alerts.load_states(connection)}
        anew = self._engine.set_points(alerts.load_points(connection), saved)
        closed = alerts.drop_unwatched(connection, self._engine.machines) if first or self._engine.lost else 0
        if closed:
            log.info("%d open alerts closed, for their points are no longer watched", closed)
        # Before the first batch is judged, all that is stored is still in the log.
        self._begin_anew(connection, anew, stored=has_read(connection, READER))
        metrics.KEYS.set(len(self._engine.machines))

    def _begin_anew(
        self, connection: Connection[Any], machines: list[Machine], *, stored: bool, imported: bool = False
    ) -> None:
        """Let new and changed rules, and rules at new or imported points, know what is `stored` already."""
        if not machines:
            return
        opened = {
            key: Open(_us(breached_at), _us(fired_at))
            for key, (breached_at, fired_at) in alerts.open_episodes(connection).items()
        }
        heard = alerts.last_received(connection)
        now = datetime.now(UTC)
        decided: list[Decided] = []
        by_rule: dict[str, list[Machine]] = {}
        for machine in machines:
            by_rule.setdefault(machine.rule.id, []).append(machine)
        for rule_id, its in by_rule.items():
            rule = self._engine.rules[rule_id]
            for start in range(0, len(its), _POINTS_AT_ONCE):
                chunk = its[start : start + _POINTS_AT_ONCE]
                readings = self._stored(connection, rule, chunk, now) if stored else {}
                for machine in chunk:
                    point_id, interval_s = machine.point.point_id, machine.point.interval_s
                    its_open = opened.get((rule_id, point_id))
                    if rule.when.absent is not None:
                        last_us = _us(heard[point_id]) if point_id in heard else 0
                        state, made = relisten(rule, interval_s, last_us, _us(now), its_open)
                    else:
                        state, made = refold(rule, interval_s, readings.get(point_id, ()), its_open, imported=imported)
                    if state != machine.state:
                        self._engine.replace_state(machine, state)
                    decided += [Decided(rule, machine.point, transition) for transition in made]
        self._write(connection, decided)
        alerts.save_states(connection, self._engine.take_changed())

    def _stored(
        self, connection: Connection[Any], rule: Rule, machines: list[Machine], now: datetime
    ) -> dict[int, list[Reading]]:
        """Good readings within the rule's memory, by point and time."""
        metric_ids = rule.when.metric_ids()
        if not metric_ids:
            return {}
        memory_s = max(rule.memory_s(machine.point.interval_s) for machine in machines)
        readings: dict[int, list[Reading]] = {}
        point_ids = [machine.point.point_id for machine in machines]
        since = now - timedelta(seconds=memory_s)
        for point_id, time_us, metric_id, value in alerts.readings_of(connection, point_ids, metric_ids, since):
            readings.setdefault(point_id, []).append(Reading(time_us, metric_id, value))
        return readings

    def _judge(self, connection: Connection[Any]) -> bool:
        """Judge the next batches; True if the log's end is reached."""
        with connection.transaction():
            batches = read_batches(connection, READER, _BATCHES)
            judged = 0
            for batch in batches:
                decided, count = self._engine.fold(batch)
                judged += count
                self._write(connection, decided)
            imported = self._engine.take_imported()
            if imported:
                self._begin_anew(connection, imported, stored=True, imported=True)
            if batches:
                alerts.save_states(connection, self._engine.take_changed())
                advance(connection, READER, batches[-1])
        metrics.READINGS.inc(judged)
        metrics.LATE_UNJUDGED.inc(self._engine.late_unjudged)
        metrics.HISTORY.inc(self._engine.history)
        self._engine.late_unjudged = self._engine.history = 0
        return len(batches) < _BATCHES

    def _clock(self, connection: Connection[Any]) -> None:
        if time.monotonic() - self._ticked < _TICK_S:
            return
        self._ticked = time.monotonic()
        now = datetime.now(UTC)
        with connection.transaction():
            heard = last_beat(connection, "ingest")
            blind = heard is None or now - heard > _BLIND_AFTER
            outages = [(_us(down), _us(up)) for down, up in alerts.outages(connection, now - _OUTAGES_BACK)]
            # While another transaction is open, batches may be stored that the log does not show yet: what they bring
            # was received, and the clock must not overtake it.
            waiting = lag(connection, READER)
            judged_until_us = _us(now) - round(waiting.age_s * 1e6)
            decided = self._engine.tick(judged_until_us, outages, blind)
            self._write(connection, decided)
            alerts.save_states(connection, self._engine.take_changed())

    def _write(self, connection: Connection[Any], decided: list[Decided]) -> None:
        for one in decided:
            alerts.write_change(connection, self._change(one))
            metrics.TRANSITIONS.labels(one.transition.kind).inc()

    def _change(self, one: Decided) -> Change:
        texts: dict[str, str] = {}
        for language in ("en", "uk"):
            told = tell(one.rule, language, place_of(one.point, language), one.transition, self._zone)
            texts |= {
                f"title_{language}": told.title,
                f"sentence_{language}": told.sentence,
                f"advice_{language}": told.advice,
            }
        transition = one.transition
        evidence = {"value": transition.value, "limit": transition.limit, "when": one.rule.definition["when"]}
        return Change(
            kind=transition.kind,
            rule_id=one.rule.id,
            rule_hash=one.rule.hash,
            point_id=one.point.point_id,
            severity=one.rule.severity,
            breached_at=datetime.fromtimestamp(transition.breached_us / 1e6, UTC),
            event_at=datetime.fromtimestamp(transition.event_us / 1e6, UTC),
            reason=transition.reason,
            value=transition.value,
            texts=texts,
            evidence=evidence,
        )

    def _beat(self, connection: Connection[Any], caught_up: bool) -> None:
        if time.monotonic() - self._beaten < _BEAT_S:
            return
        self._beaten = time.monotonic()
        with connection.transaction():
            behind = lag(connection, READER)
            metrics.LAG_BATCHES.set(behind.batches)
            metrics.LAG_SECONDS.set(behind.age_s if behind.batches else 0)
            metrics.OPEN_ALERTS.set(alerts.open_alerts(connection))
            beat(connection, "rules", self._config.worker, self._started_at, {"behind_batches": behind.batches})


def _us(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)


def place_of(point: PointInfo, language: str) -> Place:
    """A point as a sentence in this language names it."""
    uk = language == "uk"
    return Place(
        point=point.name_uk if uk else point.name_en,
        site=point.site_name_uk if uk else point.site_name_en,
        address=(point.address_uk if uk else point.address_en) or "",
        fraction=point.fraction,
        contractor=(point.contractor_name_uk if uk else point.contractor_name_en) or "",
    )
