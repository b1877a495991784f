"""The city over MQTT: played fast until it has caught up with the clock, then as time goes."""

from __future__ import annotations

import heapq
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from simulators.city import City, Meter
from simulators.messages import FORMATS, damaged, encoder_for
from simulators.publisher import Publisher
from simulators.transport import Deliveries

#: Reports of a device that are worked out at once.
_AHEAD = 16
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
    paused: bool = False
    by_format: Counter[str] = field(default_factory=Counter)

    def write(self, path: Path) -> None:
        """As JSON, whole or not at all."""
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(self.__dict__), encoding="utf-8")
        fresh.replace(path)


@dataclass(frozen=True)
class Parcel:
    """A message in the order of sending; `meter` is None for a device that no inventory knows."""

    sent_us: int
    meter: Meter | None
    number: int
    topic: str
    payload: bytes
    garbage: bool = False
    copy: bool = False


def parcels(city: City, from_us: int, to_us: int | None = None) -> Iterator[Parcel]:
    """What the city's devices send of what they measure from `from_us` until `to_us` (or for ever), as it is sent.

    A few reports of each device are worked out ahead, at moments spread over time, so that a hundred thousand devices
    neither stall nor fill the memory.
    """
    encoders = [encoder_for(meter, city.zone) for meter in city.meters]
    # (moment, meter, serial number, place in the deliveries, deliveries): place -1 fetches the next ones.
    # Each device fetches for the first time when it first reports.
    queue: list[tuple[int, int, int, int, Deliveries | None]] = [
        (meter.first_us(from_us), index, -1, -1, None) for index, meter in enumerate(city.meters)
    ]
    heapq.heapify(queue)
    serial = 0
    strangers = _strangers(city, from_us)
    stranger = next(strangers, None)
    garbled = 0
    while queue or stranger is not None:
        at_us = queue[0][0] if queue else None
        if stranger is not None and (at_us is None or stranger.sent_us <= at_us):
            if to_us is not None and stranger.sent_us >= to_us:
                stranger = None
                continue
            yield stranger
            stranger = next(strangers, None)
            continue
        at_us, index, _, place, sent = heapq.heappop(queue)
        meter = city.meters[index]
        if place < 0 or sent is None:
            if to_us is not None and at_us >= to_us:
                continue
            # The first portions differ in size, so that devices do not all fetch at the same moment.
            reports = _AHEAD if at_us - from_us >= meter.interval_us else 1 + index % _AHEAD
            end = at_us + reports * meter.interval_us
            new = meter.deliveries(at_us, end if to_us is None else min(end, to_us))
            for number, sent_us in enumerate(new.sent_us.tolist()):
                serial += 1
                heapq.heappush(queue, (sent_us, index, serial, number, new))
            heapq.heappush(queue, (end, index, -1, -1, None))
            continue
        values = {name: float(column[place]) for name, column in sent.values.items()}
        measured_us, time_us = int(sent.measured_us[place]), int(sent.time_us[place])
        number = measured_us // meter.interval_us % 65_536
        topic, payload = encoders[index](meter, time_us, values, number)
        garbage = bool(sent.garbage[place])
        if garbage:
            garbled += 1
            payload = damaged(payload, garbled)
        yield Parcel(at_us, meter, number, topic, payload, garbage, bool(sent.copy[place]))


def _strangers(city: City, from_us: int) -> Iterator[Parcel]:
    """Devices that no inventory knows: room sensors that somebody has switched on."""
    count = city.scenario.unknown_devices
    at_us = -(-from_us // _STRANGER_EVERY_US) * _STRANGER_EVERY_US
    while count:
        text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_us // 1_000_000))
        content = {"time": text, "temperature_c": 21.5, "humidity_pct": 40, "co2_ppm": 640}
        for number in range(count):
            name = "new-room-sensor" if number == 0 else f"new-room-sensor-{number + 1}"
            yield Parcel(at_us, None, number, f"misto/{name}/up", json.dumps(content).encode())
        at_us += _STRANGER_EVERY_US


@dataclass
class Player:
    """Plays a city from `from_us` on at `speed` times the clock (0: as fast as it goes); never ahead of the world.

    `to_us` ends it; while `paused` is set nothing is sent and the city's clock stands still.
    """

    city: City
    publisher: Publisher
    from_us: int
    speed: float
    to_us: int | None = None
    summary_file: Path | None = None
    on_progress: Callable[[Summary], None] = lambda summary: None
    paused: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._told = 0.0
        self.summary = Summary()

    def play(self, stop: threading.Event) -> Summary:
        """Publish until `stop` or the end; then wait for the broker's last acknowledgements."""
        self._began, self._base_us = time.monotonic(), self.from_us
        for parcel in parcels(self.city, self.from_us, self.to_us):
            self._wait_for(parcel.sent_us, stop)
            if stop.is_set():
                break
            self._publish(parcel)
        if not stop.is_set() and self.to_us is not None:
            self.summary.city_time_us = self.to_us
        self.publisher.settle(20)
        self._progress(force=True)
        return self.summary

    def _clock_us(self) -> int:
        """The city's clock: fast from `from_us`, and never ahead of the world's."""
        now = time.time_ns() // 1000
        if self.speed == 0:
            self.summary.caught_up = self.summary.city_time_us >= now - 1_000_000
            return now
        fast = self._base_us + round((time.monotonic() - self._began) * 1e6 * self.speed)
        self.summary.caught_up = fast >= now
        return min(fast, now)

    def _wait_for(self, time_us: int, stop: threading.Event) -> None:
        if self.paused.is_set():
            self._pause(stop)
        while (ahead_us := time_us - self._clock_us()) > 0 and not stop.is_set():
            self._progress()
            speed = 1.0 if self.summary.caught_up or not self.speed else self.speed
            stop.wait(min(0.5, ahead_us / 1e6 / speed))
            if self.paused.is_set():
                self._pause(stop)
        self.summary.city_time_us = time_us
        self._progress()

    def _pause(self, stop: threading.Event) -> None:
        stands_us = self._clock_us()
        self.summary.paused = True
        while self.paused.is_set() and not stop.is_set():
            self._progress(force=True)
            stop.wait(0.2)
        self.summary.paused = False
        # The city's clock goes on from where it stood, and catches up with the world at its speed.
        self._began, self._base_us = time.monotonic(), stands_us

    def _publish(self, parcel: Parcel) -> None:
        kind = "garbage" if parcel.garbage else FORMATS[parcel.meter.profile if parcel.meter else None]
        self.summary.by_format[kind] += 1
        self.summary.garbage += parcel.garbage
        self.summary.duplicates += parcel.copy
        self.publisher.send(parcel.topic, parcel.payload)

    def _progress(self, *, force: bool = False) -> None:
        now = time.monotonic()
        if now - self._told < 1 and not force:
            return
        self._told = now
        self.summary.sent = self.publisher.sent
        self.summary.acknowledged = self.publisher.acknowledged
        if self.summary_file is not None:
            self.summary.write(self.summary_file)
        self.on_progress(self.summary)
