"""The keeper: derives consumption, newest readings, collections and forecasts from the reading log; retention."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby, pairwise
from typing import Any

import numpy as np
from prometheus_client import Counter, Gauge
from psycopg import Connection

from catalogue.metrics import Quality, metrics
from insights.collections import collections
from insights.consumption import REACH, Swap, hourly
from insights.forecast import forecast
from misto.quarantine.retention import QuarantineLimit
from store import derived
from store.backfill import tell_abandoned
from store.connection import connect
from store.derived import Affected, MeterInfo
from store.maintenance import drop_old
from store.reading_log import LogBatch, advance, lag, read_batches
from store.rollups import is_due, note_old, refresh_noted
from store.service_state import beat
from store.serving import DatabaseService

log = logging.getLogger("misto.keeper")

READER = "keeper"
_BATCHES = 40
_IDLE_S = 0.25
_BEAT_S = 5.0
_FORECAST_S = 15.0
_RETENTION_S = 3600.0
_LOOK_BACK_S = 10.0
#: Readings that are derived from in one transaction, about; and a gap that one run of new readings may have.
_READINGS = 400_000
_RUN_GAP_US = 2 * 86_400_000_000
_PAST_CYCLES = 12
_FILL = metrics()["fill_level_pct"].id
_COUNTERS = np.array([metric.id for metric in metrics().values() if metric.kind == "counter"], np.int16)

READINGS = Counter("misto_keeper_readings_total", "Readings of the log that were derived from")
LAG_BATCHES = Gauge("misto_keeper_log_lag_batches", "Batches of the reading log that are not derived from yet")
LAG_SECONDS = Gauge("misto_keeper_log_lag_seconds", "Age of the oldest batch that is not derived from yet")
DROPPED = Counter("misto_keeper_dropped_total", "What retention has dropped", ["what"])
LAST_RETENTION = Gauge("misto_keeper_last_retention_timestamp_seconds", "When retention last ran through")


@dataclass(frozen=True)
class KeeperConfig:
    """Everything that the keeper is told."""

    database_url: str
    readings_days: int
    log_days: int
    quarantine_days: int
    quarantine_mb: int = 1024


class Keeper(DatabaseService):
    """Runs until `stop` is set."""

    #: Metrics that anything but the newest reading is derived from.
    _DERIVED = frozenset([*_COUNTERS.tolist(), _FILL])

    def __init__(self, config: KeeperConfig, stop: threading.Event) -> None:
        super().__init__(config.database_url, stop, service="keeper")
        self._config = config
        self._started_at = datetime.now(UTC)
        self._bins: set[int] = set()
        self._more = False
        self._quarantine_limit = QuarantineLimit(config.quarantine_mb)
        self._beaten = self._forecast_at = self._kept_at = self._looked_back_at = float("-inf")

    def health(self) -> tuple[bool, str]:
        """(well, sentence)."""
        return not self.failure, self.failure or "deriving"

    def serve(self, connection: Connection[Any]) -> None:
        """Derive over this connection until it breaks or `stop` is set."""
        self.failure = ""
        while not self._stop.is_set():
            self.derive(connection)
            if not self._more:
                self._idle(connection)
                connection.commit()
                self._stop.wait(_IDLE_S)
            self._beat(connection)

    def derive(self, connection: Connection[Any]) -> int:
        """Derive from the next batches, in one transaction with the cursor; returns how many there were."""
        with connection.transaction():
            read = read_batches(connection, READER, _BATCHES)
            batches = _some(read)
            self._more = len(read) == _BATCHES or len(batches) < len(read)
            if batches:
                derived.hold_registry(connection)
            # What an import brought and what has just come are months apart: each is derived from by itself.
            for _, alike in groupby(batches, lambda batch: batch.origin):
                self._from(connection, list(alike))
            if batches:
                advance(connection, READER, batches[-1])
        READINGS.inc(sum(batch.reading_count for batch in batches))
        return len(batches)

    def _from(self, connection: Connection[Any], batches: list[LogBatch]) -> None:
        times = np.concatenate([batch.times_us for batch in batches])
        points = np.concatenate([batch.point_ids for batch in batches])
        metric_ids = np.concatenate([batch.metric_ids for batch in batches])
        values = np.concatenate([batch.values for batch in batches])
        qualities = np.concatenate([batch.qualities for batch in batches])
        received = np.repeat([batch.received_at.timestamp() for batch in batches], [len(batch) for batch in batches])
        # By series, each in order of time.
        order = np.lexsort((times, metric_ids, points))
        series = points[order].astype(np.int64) << 16 | metric_ids[order].astype(np.int64)
        starts = np.flatnonzero(np.concatenate([[True], np.diff(series) != 0]))
        ends = np.concatenate([starts[1:], [len(series)]])
        newest = order[ends - 1]
        derived.write_latest(
            connection,
            [
                (int(points[i]), int(metric_ids[i]), int(times[i]), float(values[i]), int(qualities[i]),
                 datetime.fromtimestamp(float(received[i]), UTC))
                for i in newest
            ],
        )  # fmt: skip
        counters, fills = [], []
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            mine = order[start:end]
            if metric_ids[mine[0]] not in self._DERIVED:
                continue
            good = mine[qualities[mine] == Quality.GOOD]
            if len(good) == 0:
                continue
            for run in [good] if batches[0].origin == "import" else _runs(good, times):
                one = Affected(int(points[run[0]]), int(metric_ids[run[0]]), int(times[run[0]]), int(times[run[-1]]))
                if one.metric_id in _COUNTERS:
                    counters.append(one)
                elif one.metric_id == _FILL:
                    fills.append(one)
        note_old(connection, int(times.min()), int(times.max()))
        self._consumption(connection, counters)
        for one in fills:
            self._collections(connection, one)

    def _consumption(self, connection: Connection[Any], affected: list[Affected]) -> None:
        if not affected:
            return
        meters = derived.meters(connection, [one.point_id for one in affected])
        amounts: list[derived.Amounts] = []
        for series in derived.series_around(connection, affected, REACH):
            meter = meters.get(series.point_id)
            interval_s = meter.interval_s if meter else 900.0
            result = hourly(
                series.times_us,
                series.values,
                digits=meter.register_digits if meter else None,
                swaps=_swaps(meter),
                long_gap_us=round(max(3 * interval_s, 3600) * 1e6),
            )
            here = (result.bucket_us >= series.from_us) & (result.bucket_us < series.to_us)
            amounts.append(derived.Amounts(series, result.bucket_us[here], result.amount[here], result.estimated[here]))
        derived.write_consumption(connection, amounts)

    def _collections(self, connection: Connection[Any], one: Affected) -> None:
        times, fill = derived.fill_readings(connection, one.point_id, _FILL, one.first_us, one.last_us, before=3)
        if len(times) < 3:
            return
        # The first reading has no one before it and the last none after it: neither can be a collection here.
        found = [(event.time_us, event.fill_before_pct, event.fill_after_pct) for event in collections(times, fill)]
        derived.write_collections(connection, one.point_id, int(times[0]), int(times[-1]), found)
        self._bins.add(one.point_id)

    def _idle(self, connection: Connection[Any]) -> None:
        """What can wait until the log's end is reached."""
        now = time.monotonic()
        if now - self._forecast_at > _FORECAST_S:
            self._forecast_at = now
            self.forecast_all(connection)
        if now - self._kept_at > _RETENTION_S:
            self._kept_at = now
            with connection.transaction():
                dropped = drop_old(
                    connection,
                    readings_days=self._config.readings_days,
                    log_days=self._config.log_days,
                    quarantine_days=self._config.quarantine_days,
                )
            for what, count in dropped.items():
                DROPPED.labels(what).inc(count)
            LAST_RETENTION.set_to_current_time()
            if any(dropped.values()):
                log.info("retention dropped %s", ", ".join(f"{count} {what}" for what, count in dropped.items()))
        if now - self._looked_back_at > _LOOK_BACK_S:
            self._looked_back_at = now
            if tell_abandoned(connection):
                log.info("an import was left unfinished; what it has stored is derived from")
            if is_due(connection):
                with connect(self._config.database_url, service="keeper-rollups", autocommit=True) as its:
                    refresh_noted(its)
                self._looked_back_at = float("-inf")
        DROPPED.labels("surplus_quarantined_messages").inc(self._quarantine_limit.keep(connection))

    def forecast_all(self, connection: Connection[Any]) -> None:
        """Forecast every bin that has new readings."""
        with connection.transaction():
            for point_id in self._bins:
                self._forecast(connection, point_id)
        self._bins.clear()

    def _forecast(self, connection: Connection[Any], point_id: int) -> None:
        past = derived.past_collections(connection, point_id, _PAST_CYCLES)
        rates = [(later[1] - earlier[2]) / ((later[0] - earlier[0]) / 3.6e9) for earlier, later in pairwise(past)]
        since_us = past[-1][0] if past else round((time.time() - 14 * 86400) * 1e6)
        times, fill = derived.fill_readings(connection, point_id, _FILL, since_us, None, before=0)
        said = forecast(times, fill, rates)
        if said is None:
            derived.write_forecast(connection, point_id, None, None, None, None)
        else:
            derived.write_forecast(connection, point_id, said.rate_pct_per_h, said.full_us, said.early_us, said.late_us)

    def _beat(self, connection: Connection[Any]) -> None:
        if time.monotonic() - self._beaten < _BEAT_S:
            return
        self._beaten = time.monotonic()
        with connection.transaction():
            behind = lag(connection, READER)
            LAG_BATCHES.set(behind.batches)
            LAG_SECONDS.set(behind.age_s if behind.batches else 0)
            beat(connection, "keeper", "keeper", self._started_at, {"behind_batches": behind.batches})


def _some(batches: list[LogBatch]) -> list[LogBatch]:
    """As many of the batches as may be derived from at once, at least one."""
    counted = np.cumsum([batch.reading_count for batch in batches])
    return batches[: int(np.searchsorted(counted, _READINGS)) + 1]


def _runs(places: derived.Ints, times: derived.Ints) -> list[derived.Ints]:
    """A series' new readings, cut where they lie far apart: what lies between has not changed."""
    if times[places[-1]] - times[places[0]] <= _RUN_GAP_US:
        return [places]
    return np.split(places, np.flatnonzero(np.diff(times[places]) > _RUN_GAP_US) + 1)


def _swaps(meter: MeterInfo | None) -> list[Swap]:
    if meter is None:
        return []
    return [Swap(later[0], earlier[2], later[1]) for earlier, later in pairwise(meter.assignments)]
