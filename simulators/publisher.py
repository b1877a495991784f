"""Publishing with QoS 1: what counts as sent is what the broker has acknowledged."""

from __future__ import annotations

import logging
import threading
import time
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

log = logging.getLogger("misto.simulators")

_MOST_WAITING = 2_000


class Publisher:
    """A session with the broker that reconnects by itself; `send` waits while too much is unacknowledged."""

    def __init__(self, url: str, client_id: str, stop: threading.Event) -> None:
        self._stop = stop
        self._lock = threading.Condition()
        self.sent = 0
        self.acknowledged = 0
        parts = urlsplit(url)
        self.place = f"{parts.hostname}:{parts.port or 1883}"
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5)
        if parts.username:
            self._client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
        if parts.scheme == "mqtts":
            self._client.tls_set()
        self._client.max_inflight_messages_set(500)
        self._client.reconnect_delay_set(1, 10)
        self._client.on_publish = self._on_publish
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.connect_async(parts.hostname or "127.0.0.1", parts.port or 1883)
        self._client.loop_start()
        self.state = f"connecting to the broker at {self.place}"

    def send(self, topic: str, payload: bytes) -> None:
        """Publish; waits while the broker is away or slow."""
        told = False
        with self._lock:
            while self.sent - self.acknowledged >= _MOST_WAITING and not self._stop.is_set():
                if not self._lock.wait(5) and not told:
                    log.warning("%s; waiting, nothing is lost", self.state)
                    told = True
            self.sent += 1
        self._client.publish(topic, payload, qos=1)

    def settle(self, wait_s: float) -> bool:
        """Wait until everything is acknowledged, at most `wait_s`."""
        deadline = time.monotonic() + wait_s
        with self._lock:
            while self.acknowledged < self.sent and time.monotonic() < deadline:
                self._lock.wait(0.2)
            return self.acknowledged >= self.sent

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_publish(self, *unused: object) -> None:
        with self._lock:
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
