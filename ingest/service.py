"""The ingest process: session, pipeline and housekeeping wired together."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from psycopg import Connection

from ingest import metrics
from ingest.decoder import Decoder
from ingest.envelopes import all_envelopes
from ingest.errors import NotLeft
from ingest.leaving import LeavingSession
from ingest.pins import parse_pins
from ingest.pipeline import Pipeline
from ingest.profile import load_profiles
from ingest.registry import CachedRegistry
from ingest.session import Session, SessionConfig
from store.connection import connect
from store.devices import settle_placed
from store.errors import StoreError, in_words, is_temporary
from store.migrate import check_schema
from store.registry import REGISTRY_CHANNEL
from store.service_state import beat, last_beat, record_outage, write_device_status
from store.writer import forget_deliveries, load_deliveries

log = logging.getLogger("misto.ingest")

_BEAT_S = 5.0
_RELOAD_S = 60.0
#: A worker that is put to sleep in the middle of a batch would hold up the rules, which read behind open transactions.
_IDLE_TRANSACTION_S = 60
#: Shorter breaks make no device look silent.
_OUTAGE_FROM = timedelta(seconds=30)


@dataclass(frozen=True)
class IngestConfig:
    """Everything that the ingest process is told."""

    database_url: str
    session: SessionConfig
    time_zone: str
    profiles_dir: Path | None
    envelopes: str
    batch_messages: int
    batch_linger_s: float
    writers: int


class Ingest:
    """Runs until `stop` is set. `health()` says whether messages become readings now."""

    def __init__(self, config: IngestConfig, stop: threading.Event) -> None:
        self._config = config
        self._stop = stop
        self._started_at = datetime.now(UTC)
        self._registry = CachedRegistry(self._connect)
        profiles = load_profiles(config.profiles_dir, ZoneInfo(config.time_zone))
        envelopes = all_envelopes(ZoneInfo(config.time_zone))
        pins = parse_pins(config.envelopes, envelopes)
        descriptions = tuple(each for envelope in envelopes for each in envelope.descriptions)
        decoder = Decoder(envelopes, profiles, self._registry, pins=pins)
        self._pipeline = Pipeline(
            decoder,
            self._connect,
            config.session.client_id,
            config.writers,
            config.batch_messages,
            config.batch_linger_s,
            # Some brokers send more than receive-maximum allows, and QoS 0 knows no limit.
            most_messages=2 * config.session.receive_maximum + 20_000,
        )
        self._wiring: dict[str, Any] = {
            "config": replace(config.session, descriptions=descriptions),
            "on_messages": self._pipeline.put,
            "finished": self._pipeline.finished,
            "has_room": self._pipeline.has_room,
            "wake": self._pipeline.wake,
            "drain": self._pipeline.drain,
            "on_connected": self._on_connected,
            "on_disconnected": self._on_disconnected,
        }
        self._session = Session(**self._wiring)
        self._down_since: datetime | None = None
        self._up_at: datetime | None = None
        self._waits_for = "the database has not been asked yet"

    def _connect(self) -> Connection[Any]:
        return connect(self._config.database_url, service="ingest", idle_transaction_s=_IDLE_TRANSACTION_S)

    def health(self) -> tuple[bool, str]:
        """(well, sentence)."""
        if self._waits_for:
            return False, self._waits_for
        if self._pipeline.failure:
            return False, f"the database cannot be written to: {self._pipeline.failure}"
        return self._session.connected, self._session.state

    def run(self) -> None:
        """Receive until `stop`. Raises `StoreError` or `BrokerRefused` at the start where waiting does not help."""
        self._run(self._session)

    def leave(self) -> str:
        """End the session for good once the broker's queue for it is empty; returns a sentence about it.

        Raises `NotLeft` if stopped before that, `SessionInUse`, and `StoreError`.
        """
        session = self._session = LeavingSession(**self._wiring, unfinished=self._pipeline.unfinished)
        if not self._config.session.share:
            log.warning("MISTO_MQTT_SHARE is empty: until another worker subscribes, nobody keeps what is published")
        self._run(session)
        name, place = self._config.session.client_id, self._config.session.place
        if not session.gone:
            raise NotLeft(
                f"stopped before the session {name} had left: what it holds waits at the broker; run "
                "`misto ingest --leave` again, or start its worker again"
            )
        if not session.existed:
            return f"the broker at {place} has no session {name}: there was nothing to bring home"
        with self._connect() as connection:
            forget_deliveries(connection, name)
        return f"the session {name} has left the broker at {place}; it brought home {session.acknowledged} messages"

    def _run(self, session: Session) -> None:
        if not self._wait_for_database():
            return
        self._pipeline.start()
        housekeeping = threading.Thread(target=self._keep_house, name="housekeeping", daemon=True)
        housekeeping.start()
        try:
            session.run(self._stop)
        finally:
            self._stop.set()
            self._pipeline.close()
            housekeeping.join(10)
            try:
                with self._connect() as connection:
                    self._write_status(connection)
                    self._registry.suggestions.write(connection)
            except (psycopg.Error, StoreError) as error:
                log.warning("the last status of devices could not be written: %s", error)

    def _wait_for_database(self) -> bool:
        """For as long as waiting helps: the broker keeps what comes, and a restart would bring nothing.

        False if it was told to stop meanwhile. Raises `StoreError` where a person must change something.
        """
        while not self._stop.is_set():
            try:
                with self._connect() as connection:
                    check_schema(connection, writes=True)
                    log.info("%d devices are known", self._registry.reload(connection))
                    deliveries = load_deliveries(connection, self._config.session.client_id)
                    self._pipeline.deliveries.update(
                        {packet_id: (digest, round(at * 1e6)) for packet_id, (digest, at) in deliveries.items()}
                    )
                    self._down_since = last_beat(connection, "ingest")
                self._waits_for = ""
                return True
            except (StoreError, psycopg.Error) as error:
                if not (is_temporary(error) if isinstance(error, psycopg.Error) else error.waiting_helps):
                    raise
                sentence = in_words(error)
                if sentence != self._waits_for:
                    log.warning("%s (waiting for it)", sentence)
                self._waits_for = sentence
                self._stop.wait(1)
        return False

    def _on_connected(self, session_present: bool) -> None:
        metrics.CONNECTED.set(1)
        self._up_at = datetime.now(UTC)

    def _on_disconnected(self) -> None:
        metrics.CONNECTED.set(0)
        if self._down_since is None:
            self._down_since = datetime.now(UTC)

    def _keep_house(self) -> None:
        """Heartbeats, outages, device status and the registry, over a connection of its own."""
        reloaded = 0.0
        while not self._stop.is_set():
            try:
                with connect(self._config.database_url, service="ingest", autocommit=True) as connection:
                    connection.execute(f"LISTEN {REGISTRY_CHANNEL}")
                    beaten = 0.0
                    while not self._stop.is_set():
                        self._note_outage(connection)
                        if self._session.connected and time.monotonic() - beaten > _BEAT_S:
                            info = {"unacknowledged": self._pipeline.unfinished(), "state": self._session.state}
                            beat(connection, "ingest", self._config.session.client_id, self._started_at, info)
                            self._write_status(connection)
                            self._registry.suggestions.write(connection)
                            beaten = time.monotonic()
                        changed = any(True for _ in connection.notifies(timeout=0.5, stop_after=1))
                        if changed or time.monotonic() - reloaded > _RELOAD_S:
                            self._registry.reload(connection)
                            settle_placed(connection)
                            reloaded = time.monotonic()
            except Exception as error:
                # Without heartbeats and the registry's changes the rest would soon be wrong: this thread never ends.
                if isinstance(error, StoreError) or (isinstance(error, psycopg.Error) and is_temporary(error)):
                    log.debug("housekeeping waits: %s", error)
                else:
                    log.exception("housekeeping failed; trying again")
                self._stop.wait(1)

    def _note_outage(self, connection: Connection[Any]) -> None:
        if self._session.connected and self._up_at is not None:
            if self._down_since is not None and self._up_at - self._down_since > _OUTAGE_FROM:
                record_outage(connection, self._down_since, self._up_at)
                log.info("nothing could be received for %s", self._up_at - self._down_since)
            self._down_since = self._up_at = None

    def _write_status(self, connection: Connection[Any]) -> None:
        rows = [
            {
                "device_id": device_id,
                "received_at": datetime.fromtimestamp(seen.received_us / 1e6, UTC),
                "event_at": datetime.fromtimestamp(seen.event_us / 1e6, UTC),
                "messages": seen.messages,
                "envelope": seen.envelope,
                "unknown_fields": sorted(seen.unknown_fields)[:50],
            }
            for device_id, seen in self._pipeline.take_seen().items()
        ]
        if rows:
            write_device_status(connection, rows)
