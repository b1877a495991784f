"""The city live: played fast until it has caught up with the clock, then as time goes."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

from simulators.city import City
from simulators.messages import GARBAGE, encoder_for
from simulators.publisher import Publisher

#: City time that is computed at once.
_SLICE_US = 600_000_000
_GARBAGE_EVERY = 400
_DUPLICATE_EVERY = 150
_STRANGER_EVERY_US = 600_000_000


@dataclass
class Summary:
    """What was sent: messages, and among them garbage and copies on purpose."""

    sent: int = 0
    acknowledged: int = 0
    garbage: int = 0
    duplicates: int = 0
    city_time_us: int = 0
    caught_up: bool = False
    by_format: Counter[str] = field(default_factory=Counter)

    def write(self, path: Path) -> None:
        """As JSON, whole or not at all."""
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(self.__dict__), encoding="utf-8")
        fresh.replace(path)


@dataclass
class Player:
    """Plays a city from `from_us` on at `speed` times the clock; its times never lie in the future."""

    city: City
    publisher: Publisher
    from_us: int
    speed: float
    faults: bool
    summary_file: Path | None = None
    on_progress: Callable[[Summary], None] = lambda summary: None

    def __post_init__(self) -> None:
        zone = ZoneInfo(self.city.inventory.city.time_zone)
        self._encoders = [encoder_for(meter, zone) for meter in self.city.meters]
        self._began = time.monotonic()
        self._told = 0.0
        self._count = 0
        self.summary = Summary()

    def play(self, stop: threading.Event) -> Summary:
        """Publish until `stop`; then wait for the broker's last acknowledgements."""
        at_us = self.from_us
        while not stop.is_set():
            end_us = at_us + _SLICE_US
            for time_us, index, values in self._slice(at_us, end_us):
                self._wait_for(time_us, stop)
                if stop.is_set():
                    break
                self._publish(time_us, index, values)
            self._wait_for(end_us, stop)
            at_us = end_us
        self.publisher.settle(20)
        self._progress(force=True)
        return self.summary

    def _slice(self, start_us: int, end_us: int) -> list[tuple[int, int, dict[str, float]]]:
        queue: list[tuple[int, int, dict[str, float]]] = []
        for index, meter in enumerate(self.city.meters):
            times = meter.times_us(start_us, end_us)
            if len(times) == 0:
                continue
            measured = meter.measure(times)
            for place, time_us in enumerate(times.tolist()):
                queue.append((time_us, index, {name: float(values[place]) for name, values in measured.items()}))
        if self.faults:
            first = -(-start_us // _STRANGER_EVERY_US) * _STRANGER_EVERY_US
            queue += [(time_us, -1, {}) for time_us in range(first, end_us, _STRANGER_EVERY_US)]
        queue.sort(key=lambda item: item[:2])
        return queue

    def _clock_us(self) -> int:
        """The city's clock: fast from `from_us`, and never ahead of the world's."""
        fast = self.from_us + round((time.monotonic() - self._began) * 1e6 * self.speed)
        now = time.time_ns() // 1000
        self.summary.caught_up = fast >= now
        return min(fast, now)

    def _wait_for(self, time_us: int, stop: threading.Event) -> None:
        while (ahead_us := time_us - self._clock_us()) > 0 and not stop.is_set():
            self._progress()
            speed = 1.0 if self.summary.caught_up else self.speed
            stop.wait(min(0.5, ahead_us / 1e6 / speed))
        self.summary.city_time_us = time_us
        self._progress()

    def _publish(self, time_us: int, index: int, values: dict[str, float]) -> None:
        self._count += 1
        number = self._count
        if index < 0:
            # A device that no inventory knows.
            time_text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_us // 1_000_000))
            content = {"time": time_text, "temperature_c": 21.5, "humidity_pct": 40, "co2_ppm": 640}
            self._send("plain JSON", "misto/new-room-sensor/up", json.dumps(content).encode())
            return
        meter = self.city.meters[index]
        topic, payload = self._encoders[index](meter, time_us, values, time_us // meter.interval_us % 65_536)
        kind = {"milesight-em400-mud": "ChirpStack", "milesight-em300-di": "ChirpStack"}.get(
            meter.profile or "", "Tasmota" if meter.profile else "plain JSON"
        )
        self._send(kind, topic, payload)
        if not self.faults:
            return
        if number % _DUPLICATE_EVERY == 0:
            self.summary.duplicates += 1
            self._send(kind, topic, payload)
        if number % _GARBAGE_EVERY == _GARBAGE_EVERY // 4:
            self.summary.garbage += 1
            which = self.summary.garbage
            topic, payload = GARBAGE[which % len(GARBAGE)]
            self._send("garbage", topic.format(n=which % 200), payload)

    def _send(self, kind: str, topic: str, payload: bytes) -> None:
        self.publisher.send(topic, payload)
        self.summary.by_format[kind] += 1

    def _progress(self, force: bool = False) -> None:
        now = time.monotonic()
        if now - self._told < 1 and not force:
            return
        self._told = now
        self.summary.sent = self.publisher.sent
        self.summary.acknowledged = self.publisher.acknowledged
        if self.summary_file is not None:
            self.summary.write(self.summary_file)
        self.on_progress(self.summary)
