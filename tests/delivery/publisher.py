"""Publishes a plan's messages at a rate, as gateways do: QoS 1, sent again until the broker has acknowledged them."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.delivery.messages import Kind, Numbered, Plan
from tests.processes import wait_for

_TICK_S = 0.01
#: While the broker is away, no more than this waits here.
_MOST_WAITING = 2_000
_JOURNAL = 20_000


class NumberedPublisher:
    """`acknowledged` maps a message's number to when the broker took it; `sendings` counts those sent more than once."""

    def __init__(self, plan: Plan, port: int, rate_per_s: float) -> None:
        self._messages = plan.messages()
        self._rate_per_s = rate_per_s
        # Only the publishing thread changes these; paho's thread, which calls back under a lock of paho's, leaves a note.
        self._waiting: dict[int, Numbered] = {}
        self._taken: deque[tuple[int, float]] = deque()
        self._journal: deque[Numbered] = deque(maxlen=_JOURNAL)
        self._running = threading.Event()
        self._end = threading.Event()
        self.published_at: dict[int, float] = {}
        self.acknowledged: dict[int, float] = {}
        self.sendings: Counter[int] = Counter()
        self.exhausted = False
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="delivery", protocol=mqtt.MQTTv5)
        self._client.max_inflight_messages_set(1_000)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_publish = self._on_publish
        self._client.on_connect = self._on_connect
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600
        self._client.connect("127.0.0.1", port, clean_start=False, properties=properties)
        self._client.loop_start()
        self._thread = threading.Thread(target=self._publish, name="publisher", daemon=True)
        self._thread.start()

    def resume(self) -> None:
        self._running.set()

    def pause(self) -> None:
        """Send nothing new."""
        self._running.clear()

    def settle(self, wait_s: float = 60) -> None:
        """Wait until the broker has acknowledged everything sent."""
        wait_for(lambda: not self._waiting, f"the broker has not acknowledged {len(self._waiting)} messages", wait_s)

    def repeat(self, since: float = 0.0, count: int | None = None) -> int:
        """Send messages again that the broker had taken since `since`, the last `count` of them; returns how many.

        Only those with a time: another sending of the others is another reading.
        """
        taken = [one for one in list(self._journal) if self.acknowledged.get(one.number, 0) >= since]
        again = [one for one in taken if one.kind is Kind.TIMED][-(count or _JOURNAL) :]
        for one in again:
            self._client.publish(one.topic, one.payload, qos=1)
            self.sendings[one.number] += 1
        return len(again)

    def close(self) -> None:
        self._end.set()
        self._thread.join()
        self._client.disconnect()
        self._client.loop_stop()

    def _publish(self) -> None:
        owed = 0.0
        before = time.monotonic()
        while not self._end.is_set():
            time.sleep(_TICK_S)
            now = time.monotonic()
            self._note_taken()
            if self._running.is_set() and not self.exhausted:
                owed = min(owed + (now - before) * self._rate_per_s, self._rate_per_s)
                while owed >= 1 and len(self._waiting) < _MOST_WAITING:
                    one = next(self._messages, None)
                    if one is None:
                        self.exhausted = True
                        break
                    self._send(one)
                    owed -= 1
            before = now

    def _send(self, one: Numbered) -> None:
        self.published_at[one.number] = time.monotonic()
        self.sendings[one.number] = 1
        handle = self._client.publish(one.topic, one.payload, qos=1)
        self._waiting[handle.mid] = one
        self._journal.append(one)

    def _note_taken(self) -> None:
        while self._taken:
            mid, at = self._taken.popleft()
            one = self._waiting.pop(mid, None)
            if one is not None:
                self.acknowledged[one.number] = at

    def _on_publish(self, client: Any, data: Any, mid: int, reason: Any, properties: Any) -> None:
        self._taken.append((mid, time.monotonic()))

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        # What was not acknowledged is sent again now; the broker may have taken it the first time.
        self.sendings.update([one.number for one in list(self._waiting.values())])
