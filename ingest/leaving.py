"""A session that goes for good: it takes no more, brings home what it holds, and the broker forgets it.

Without this, a session of a shared subscription that nobody fetches goes on taking its share. Sources: MQTT 5.0,
sections 3.1.2.11.2 (expiry), 3.10 and 3.14.2.2.2; MQTT 3.1.1, section 3.1.2.4 (clean session).
"""

from __future__ import annotations

import logging
import select
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as mqtt

from ingest.errors import SessionInUse
from ingest.line import Line
from ingest.refusals import TAKEN_OVER, Refusal
from ingest.session import KEEPALIVE_S, PINGREQ, Session, SessionClient

log = logging.getLogger("misto.ingest")

#: So long must nothing come before the broker's queue counts as empty.
_DRY_S = 3.0
_GOODBYE_S = 10.0
#: Reason code of UNSUBACK (MQTT 5.0, section 3.11.3).
_NO_SUBSCRIPTION = 17
_DISCONNECT = b"\xe0\x00"
#: With Session Expiry Interval (0x11) 0.
_DISCONNECT_FOR_GOOD = b"\xe0\x07\x00\x05\x11\x00\x00\x00\x00"


@dataclass(kw_only=True)
class LeavingSession(Session):
    """Ends the session `config.client_id` at the broker once it is empty; `run` returns then, or at `stop`.

    `unfinished()` says how many messages were received and are not yet committed and acknowledged. Afterwards `gone`
    says whether the broker has forgotten the session, `existed` whether it had one, `acknowledged` how many messages
    came home. Stopped before that, the session is as it was, but for its subscription.
    """

    unfinished: Callable[[], int]
    existed: bool = False
    gone: bool = False
    _unsubscribed: bool = False
    _taken_over: bool = False
    _quiet_since: float = 0.0
    _pinged_at: float = 0.0

    def run(self, stop: threading.Event) -> None:
        """Raises `SessionInUse` if a worker that runs has the session."""
        super().run(stop)
        if self._taken_over:
            raise SessionInUse(
                f"another process has the session {self.config.client_id} at the broker: stop that worker first"
            )

    def _subscribe(self, client: mqtt.Client, session_present: bool) -> None:
        if session_present:
            self.existed = True
            self._unsubscribed = False
            client.unsubscribe(self.config.filters)
            return
        if self.existed:
            log.warning("the broker at %s has lost the session: what waited in it is gone", self.config.place)
        self._over = True

    def _on_unsubscribe(self, client: mqtt.Client, data: Any, mid: int, reasons: Any, properties: Any) -> None:
        for topic, reason in zip(self.config.filters, reasons, strict=False):
            if reason.value == _NO_SUBSCRIPTION:
                log.warning(
                    "the session %s was not subscribed to %s: unless it was leaving already, MISTO_MQTT_SHARE and "
                    "MISTO_MQTT_TOPICS must be those that it was made with",
                    self.config.client_id,
                    topic,
                )
            elif reason.is_failure:
                self._refused = Refusal(f"refuses to end the subscription to {topic} ({reason})")
                return
        log.info("the session %s takes nothing new; bringing home what it holds", self.config.client_id)
        self.state = "leaving"
        self.connected = self._unsubscribed = True
        self._quiet_since = time.monotonic()
        self.on_connected(True)

    def _on_disconnect(self, client: mqtt.Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.value == TAKEN_OVER:
            self._taken_over = self._over = True
        super()._on_disconnect(client, data, flags, reason, properties)

    def _acknowledge(self, line: Line) -> None:
        before = self.acknowledged
        super()._acknowledge(line)
        now = time.monotonic()
        if not self._unsubscribed or self.acknowledged != before or self.unfinished():
            self._quiet_since = now
        elif now - self._quiet_since > _DRY_S:
            # Silence alone may be a broker that stands still: it must have answered meanwhile.
            if line.received_at - self._quiet_since > _DRY_S:
                self._over = True
            elif self._pinged_at < self._quiet_since + _DRY_S:
                line.send(PINGREQ)
                self._pinged_at = now

    def _part(self, client: SessionClient, line: Line) -> None:
        if not self._over or self._taken_over:
            super()._part(client, line)
            return
        self._over = False  # until the broker has hung up
        five = self._protocol.five
        # paho's own closes the line at once, and whether the broker got it stays unknown.
        line.send(_DISCONNECT_FOR_GOOD if five else _DISCONNECT)
        if _exchange(client, line, lambda: line.ended):
            if not five:
                self._clean()
            else:
                self.gone = True
        self._over = self.gone

    def _clean(self) -> None:
        """MQTT 3.1.1 has no expiry: a clean session in its place is what ends it."""
        client = self._make_client(clean=True)
        client.on_connect = client.on_disconnect = None
        client.connect(self.config.host, self.config.port, KEEPALIVE_S)
        line = client.line
        assert line is not None
        try:
            self.gone = _exchange(client, line, client.is_connected)
            line.send(_DISCONNECT)
            _exchange(client, line, lambda: line.ended)
        finally:
            line.close()


def _exchange(client: SessionClient, line: Line, until: Callable[[], bool]) -> bool:
    """Send and read until something is so; False if it did not become so."""
    deadline = time.monotonic() + _GOODBYE_S
    while not until():
        if time.monotonic() > deadline:
            return False
        try:
            writable = [] if line.flush() else [line.fileno()]
            select.select([line.fileno()], writable, [], 0.2)
            line.receive()
        except ConnectionError:
            line.ended = True
            return until()
        if not until() and line.has_packets and client.loop_read() != mqtt.MQTT_ERR_SUCCESS:
            return until()
    return True
