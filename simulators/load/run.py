"""Sending as fast as the broker acknowledges, or at a rate."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from paho.mqtt.packettypes import PacketTypes

from simulators.errors import SimulatorError
from simulators.load.answers import FAILURE_FROM, Answers, Bytes, Ids, reason_text
from simulators.load.connection import Broker, Connection, WrongVersion
from simulators.load.encode import MOST_ROWS, Ring

log = logging.getLogger("misto.simulators")

_PING = memoryview(b"\xc0\x00")
_PIECE = 2_000
_TELL_EVERY_S = 0.2
_SHORTEST_WAIT_S = 0.002
_LONGEST_WAIT_S = 0.1
# Acknowledgements that come one by one cost a pass each; while the broker has many messages to do, they are let gather.
_SMALL_READ_BYTES, _MANY, _TOGETHER_S = 4096, 500, 0.0005
_SHORTEST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 5.0


@dataclass(frozen=True)
class LoadConfig:
    """Which load. `count` None: until stopped; `rate_per_s` 0: as fast as the broker takes it.

    `window` is how many messages may wait for their acknowledgement, 1 to 32,767; a broker may allow fewer.
    Of the rate as much as `catch_up_s` is made up for after a delay; with infinity message n is due n / rate seconds
    after the first, whatever the broker does.
    `version_5` False: MQTT 3.1.1, which is also taken where the broker has no MQTT 5.
    """

    url: str
    devices: int
    count: int | None = None
    rate_per_s: float = 0.0
    window: int = 8_000
    version_5: bool = True
    ca_file: Path | None = None
    keepalive_s: int = 60
    settle_s: float = 10.0
    catch_up_s: float = 0.1


@dataclass
class Summary:
    """Messages sent, acknowledged, and refused by the broker; those sent again after a reconnect count once.

    `seconds` is from the first message to the last answer.
    """

    sent: int = 0
    acknowledged: int = 0
    refused: int = 0
    repeated: int = 0
    seconds: float = 0.0
    state: str = "connecting"

    @property
    def rate_per_s(self) -> float:
        """Mean rate of acknowledged messages a second."""
        return self.acknowledged / self.seconds if self.seconds else 0.0


class Load:
    """Messages of `devices` meters, in turn, each measured at the moment of sending to the microsecond.

    So no time lies in the future, and another run's are others, if it is not at the same time. A run in which more than
    a million messages a second would be sent is held back to that. `summary` can be read from other threads; while
    `paused` is set nothing new is sent. Raises `SimulatorError` for a configuration that cannot be.
    """

    def __init__(
        self,
        config: LoadConfig,
        *,
        on_connected: Callable[[], None] = lambda: None,
        on_progress: Callable[[Summary], None] = lambda summary: None,
    ) -> None:
        if not 1 <= config.window <= MOST_ROWS // 2:
            raise SimulatorError(f"a window of {config.window} messages; it is 1 to {MOST_ROWS // 2:,}")
        if config.rate_per_s < 0 or (config.count is not None and config.count < 1):
            raise SimulatorError("rate and count of the load are positive, or left out")
        self._config = config
        self._broker = Broker(config.url, f"misto-load-{os.getpid()}-{os.urandom(2).hex()}", ca_file=config.ca_file)
        self._on_connected, self._on_progress = on_connected, on_progress
        self._version_5 = config.version_5
        self._ring = Ring(config.devices, 2 * config.window, version_5=config.version_5)
        self._waits: npt.NDArray[np.bool_] = np.zeros(self._ring.rows, bool)
        # Messages by number: all before `_tail` are answered, those before `_sent` are on this connection's way, those
        # before `_made` have been on the way of any.
        self._tail = self._sent = self._made = 0
        self._wall_us = time.time_ns() // 1000 - time.monotonic_ns() // 1000
        self._last_us = self._now_us()
        self._tokens, self._counted_at = 1.0, 0.0
        self._began: float | None = None
        self._told_at = 0.0
        self._told = ""
        self._settled_by: float | None = None
        self.paused = threading.Event()
        self.summary = Summary()

    def run(self, stop: threading.Event) -> Summary:
        """Send until `count` or `stop`, and wait for the answers: after `stop` at most `settle_s`.

        While the broker is away it waits, says so, and sends again what was not acknowledged.
        Raises `SimulatorError` if the broker refuses the login.
        """
        pause_s = _SHORTEST_PAUSE_S
        while not self._done(stop):
            tail, version_5 = self._tail, self._version_5
            reason = self._session(stop)
            if reason is None or self._version_5 is not version_5:
                continue
            pause_s = _SHORTEST_PAUSE_S if self._tail > tail else min(2 * pause_s, _LONGEST_PAUSE_S)
            self._tell(f"the broker at {self._broker.place} is away: {reason}")
            until = time.monotonic() + pause_s * random.uniform(0.7, 1.3)
            while time.monotonic() < until and not self._done(stop):
                time.sleep(_LONGEST_WAIT_S)
        self._on_progress(self.summary)
        return self.summary

    def _session(self, stop: threading.Event) -> str | None:
        """One connection; returns why it ended too early."""
        try:
            connection = Connection(self._broker, version_5=self._version_5, keepalive_s=self._config.keepalive_s)
        except WrongVersion as error:
            if not self._version_5 or self._made:
                raise SimulatorError(f"the broker at {self._broker.place} refuses the session ({error})") from None
            log.warning("the broker at %s has no MQTT 5; going on with 3.1.1", self._broker.place)
            self._version_5 = False
            self._ring = Ring(self._config.devices, self._ring.rows, version_5=False)
            return str(error)
        except (OSError, ValueError) as error:
            return f"{error}; check that it runs and that MISTO_MQTT_URL is right"
        self._window = min(self._config.window, connection.most_waiting)
        orderly = False
        try:
            if connection.most_bytes is not None and connection.most_bytes < self._ring.packet_bytes:
                raise SimulatorError(
                    f"the broker at {self._broker.place} takes packets of {connection.most_bytes} bytes at the most; "
                    f"the load's have {self._ring.packet_bytes}"
                )
            self._greet()
            orderly = self._serve(connection, stop)
        except OSError as error:
            return str(error)
        finally:
            connection.close(orderly=orderly)
        return None

    def _greet(self) -> None:
        self.summary.state = "connected"
        if self._told:
            log.warning("connected to the broker at %s; going on", self._broker.place)
            self._told = ""
        self._sent = self._tail
        if self._began is None:
            if self._window < self._config.window:
                log.warning("the broker lets only %d messages wait for their acknowledgement", self._window)
            self._on_connected()
            self._began = self._counted_at = time.monotonic()

    def _serve(self, connection: Connection, stop: threading.Event) -> bool:
        """Send and receive until all is done; returns whether the line is between two packets."""
        answers, out = Answers(), memoryview(b"")
        sent_at = received_at = time.monotonic()
        while not self._done(stop):
            now, wait_s = time.monotonic(), 0.0
            if not out:
                out, wait_s = self._next(now, stop)
            if not out and now - max(sent_at, received_at) > connection.keepalive_s / 2:
                out = _PING
            if now - received_at > 1.5 * connection.keepalive_s:
                raise ConnectionError(f"it has not answered for {now - received_at:.0f} s")
            if out and (count := connection.send(out)):
                out, sent_at = out[count:], now
            connection.wait(_LONGEST_WAIT_S if out else wait_s, to_send=bool(out))
            if data := connection.receive():
                received_at = time.monotonic()
                for ids, reasons in answers.feed(data):
                    self._answered(ids, reasons)
                if len(data) < _SMALL_READ_BYTES and self._sent - self._tail > _MANY:
                    time.sleep(_TOGETHER_S)
            self._progress(now)
        return not out

    def _next(self, now: float, stop: threading.Event) -> tuple[memoryview, float]:
        """The next packets, or how many seconds to wait for an answer before asking again."""
        room = self._window - (self._sent - self._tail)
        if self._sent < self._made:
            return self._again(min(room, _PIECE)), _LONGEST_WAIT_S
        left = _PIECE if self._config.count is None else min(_PIECE, self._config.count - self._made)
        if stop.is_set() or self.paused.is_set() or left <= 0:
            self._counted_at, self._tokens = now, 1.0
            return memoryview(b""), _LONGEST_WAIT_S / 2
        # A few at a time would cost as much as many.
        if room < min(left, max(1, self._window // 8)):
            return memoryview(b""), _LONGEST_WAIT_S
        count = min(room, left, self._ring.rows - self._made % self._ring.rows)
        if rate := self._config.rate_per_s:
            self._tokens = min(self._tokens + (now - self._counted_at) * rate, max(1.0, self._config.catch_up_s * rate))
            self._counted_at = now
            if self._tokens < 1:
                return memoryview(b""), min(_LONGEST_WAIT_S, max((1 - self._tokens) / rate, _SHORTEST_WAIT_S))
            count = min(count, int(self._tokens))
        now_us = self._now_us()
        count = min(count, now_us - self._last_us)
        if count <= 0:
            return memoryview(b""), _SHORTEST_WAIT_S
        self._tokens -= count
        self._ring.write(self._made, count, now_us - count + 1)
        self._last_us = now_us
        row = self._made % self._ring.rows
        self._waits[row : row + count] = True
        packets = self._ring.view(self._made, count)
        self._made += count
        self._sent = self.summary.sent = self._made
        return packets, 0.0

    def _again(self, room: int) -> memoryview:
        """Packets of an earlier connection that nobody has acknowledged, marked as duplicates."""
        row = self._sent % self._ring.rows
        waits = self._waits[row : row + min(self._made - self._sent, self._ring.rows - row)]
        skipped = int(waits.argmax()) if waits.any() else len(waits)
        self._sent += skipped
        waits = waits[skipped : skipped + max(0, room - skipped)]
        count = len(waits) if waits.all() else int(waits.argmin())
        self._ring.mark_repeated(self._sent, count)
        packets = self._ring.view(self._sent, count)
        self._sent += count
        self.summary.repeated += count
        return packets

    def _answered(self, ids: Ids, reasons: Bytes) -> None:
        rows = ids - 1
        known = (rows >= 0) & (rows < self._ring.rows)
        known[known] = self._waits[rows[known]]
        rows, first = np.unique(rows[known], return_index=True)
        reasons = reasons[known][first]
        self._waits[rows] = False
        failed = reasons[reasons >= FAILURE_FROM]
        if len(failed):
            if not self.summary.refused:
                text = reason_text(PacketTypes.PUBACK, int(failed[0]))
                log.warning("the broker at %s refuses messages (%s)", self._broker.place, text)
            self.summary.refused += len(failed)
        self.summary.acknowledged += len(rows) - len(failed)
        if self._began is not None:
            self.summary.seconds = time.monotonic() - self._began
        while self._tail < self._made:
            row = self._tail % self._ring.rows
            waits = self._waits[row : row + min(self._made - self._tail, self._ring.rows - row)]
            if waits[0]:
                break
            self._tail += int(waits.argmax()) if waits.any() else len(waits)
        self._sent = max(self._sent, self._tail)

    def _done(self, stop: threading.Event) -> bool:
        if self._tail == self._made and (stop.is_set() or self._made == self._config.count):
            return True
        if not stop.is_set():
            return False
        if self._settled_by is None:
            self._settled_by = time.monotonic() + self._config.settle_s
        return time.monotonic() > self._settled_by

    def _now_us(self) -> int:
        """Microseconds since 1970 by a clock that is never set back."""
        return self._wall_us + time.monotonic_ns() // 1000

    def _progress(self, now: float) -> None:
        if now - self._told_at > _TELL_EVERY_S:
            self._told_at = now
            self._on_progress(self.summary)

    def _tell(self, state: str) -> None:
        self.summary.state = state
        if state != self._told:
            log.warning("%s; trying again, nothing is lost", state)
            self._told = state
        self._on_progress(self.summary)
