"""Publishing with QoS 1: what counts as sent is what the broker has acknowledged."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from pathlib import Path
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

log = logging.getLogger("misto.simulators")

_MOST_WAITING = 2_000
#: What the broker refuses is given to it again after this long.
_AGAIN_S = 1.0


class Publisher:
    """A session with the broker that reconnects by itself; `send` waits while too much is unacknowledged.

    `state` is a sentence for a person. What the broker refuses (its quota is used up, or it does not allow the topic)
    is not acknowledged: it is given to it again. `ca_file` is the authority of an `mqtts://` broker.
    """

    def __init__(self, url: str, client_id: str, stop: threading.Event, ca_file: Path | None = None) -> None:
        self._stop = stop
        self._lock = threading.Condition()
        self.sent = 0
        self.acknowledged = 0
        self._waiting: dict[int, tuple[str, bytes]] = {}
        self._early: dict[int, ReasonCode] = {}
        self._refused: deque[tuple[float, str, bytes]] = deque()
        parts = urlsplit(url)
        port = parts.port or (8883 if parts.scheme == "mqtts" else 1883)
        self.place = f"{parts.hostname}:{port}"
        self.state = f"connecting to the broker at {self.place}"
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5)
        if parts.username:
            self._client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
        if parts.scheme == "mqtts":
            self._client.tls_set(ca_certs=str(ca_file) if ca_file is not None else None)
        self._client.max_inflight_messages_set(500)
        self._client.reconnect_delay_set(1, 10)
        self._client.on_publish = self._on_publish
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.connect_async(parts.hostname or "127.0.0.1", port)
        self._client.loop_start()

    def send(self, topic: str, payload: bytes) -> None:
        """Publish; waits while the broker is away, full or slow."""
        told = False
        while not self._stop.is_set():
            self._give_again()
            with self._lock:
                if self.sent - self.acknowledged < _MOST_WAITING:
                    break
                if not self._lock.wait(5) and not told:
                    log.warning("%s; waiting, nothing is lost", self._why_waiting())
                    told = True
        self.sent += 1
        self._give(topic, payload)

    def settle(self, wait_s: float) -> bool:
        """Wait until everything is acknowledged, at most `wait_s`."""
        deadline = time.monotonic() + wait_s
        while self.acknowledged < self.sent and time.monotonic() < deadline:
            self._give_again()
            with self._lock:
                self._lock.wait(0.2)
        if self.acknowledged < self.sent:
            log.warning("%s; %d messages are not acknowledged", self._why_waiting(), self.sent - self.acknowledged)
        return self.acknowledged >= self.sent

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def _why_waiting(self) -> str:
        return f"the broker at {self.place} is slow" if self.state == "connected" else self.state

    def _give(self, topic: str, payload: bytes) -> None:
        number = self._client.publish(topic, payload, qos=1).mid
        with self._lock:
            # The answer may be faster than we are.
            if number in self._early:
                self._settle_one(topic, payload, self._early.pop(number))
            else:
                self._waiting[number] = (topic, payload)

    def _give_again(self) -> None:
        while self._refused and self._refused[0][0] <= time.monotonic():
            _, topic, payload = self._refused.popleft()
            self._give(topic, payload)

    def _on_publish(self, client: object, data: object, number: int, reason: ReasonCode, *unused: object) -> None:
        with self._lock:
            if number in self._waiting:
                self._settle_one(*self._waiting.pop(number), reason)
            else:
                self._early[number] = reason

    def _settle_one(self, topic: str, payload: bytes, reason: ReasonCode) -> None:
        if reason.is_failure:
            refusal = (
                f"the broker at {self.place} refuses messages to {topic} ({reason}); check its quota and its rights"
            )
            if self.state != refusal:
                log.warning("%s; trying again", refusal)
            self.state = refusal
            self._refused.append((time.monotonic() + _AGAIN_S, topic, payload))
            return
        if "refuses messages" in self.state:
            self.state = "connected"
        self.acknowledged += 1
        self._lock.notify_all()

    def _on_connect(self, client: object, data: object, flags: object, reason: ReasonCode, *unused: object) -> None:
        if reason.is_failure:
            self.state = f"the broker at {self.place} refuses the login ({reason}); check MISTO_MQTT_URL"
            log.warning("%s", self.state)
        else:
            self.state = "connected"

    def _on_disconnect(self, *unused: object) -> None:
        if not self._stop.is_set():
            self.state = f"the broker at {self.place} is away"
