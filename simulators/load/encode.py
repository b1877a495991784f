"""PUBLISH packets in bulk: a ring of packets of one length, of which only the digits that differ are written.

Source of the packet layout: MQTT 5.0, sections 2.1 and 3.3 (3.1.1 is the same without properties).
"""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

from simulators.errors import SimulatorError

Bytes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]

MOST_DEVICES = 999_999
#: Packet ids are 1 … 65,535, and a row's id is its own.
MOST_ROWS = 65_535

_PUBLISH_QOS_1 = 0x32
_DUPLICATE = 0x08
_SECOND_US = 1_000_000
# Registers begin at 100,000 kWh in 2020 and rise by 2.5 kW: six digits before the point until 2061.
_REGISTER_SINCE_US = 1_577_836_800 * _SECOND_US
_REGISTER_MWH = 100_000_000_000
_US_PER_MWH = 1_440

_TOPIC = b"misto/load-000000/up"
_PAYLOAD = (
    b'{"device": "load-000000", "time": "2020-01-01T00:00:00.000000Z", "energy_kwh": 000000.000000, '
    b'"power_w": 2000.5, "voltage_v": 200.0, "quality": "good"}'
)
_DIGITS: Bytes = np.frombuffer(b"".join(b"%03d" % number for number in range(1_000)), np.uint8).reshape(1_000, 3)


def remaining_length(value: int) -> bytes:
    """A packet's length as MQTT writes it: seven bits a byte, the lowest first."""
    out = bytearray()
    while True:
        value, rest = divmod(value, 128)
        out.append(rest | (0x80 if value else 0))
        if not value:
            return bytes(out)


def address(device: int) -> str:
    """Address of the device with this number, from 1 on."""
    return f"load-{device:06d}"


class Ring:
    """`rows` PUBLISH packets (QoS 1), about 180 bytes each, one after the other in memory.

    Message `number` lies in row `number % rows`, has packet id row + 1 and comes from device `number % devices` + 1.
    Raises `SimulatorError` if there are too few or too many devices.
    """

    def __init__(self, devices: int, rows: int, *, version_5: bool) -> None:
        if not 1 <= devices <= MOST_DEVICES:
            raise SimulatorError(f"{devices} devices: the load generator has 1 to {MOST_DEVICES:,}")
        assert 1 <= rows <= MOST_ROWS
        self._devices = devices
        self.rows = rows
        body = len(_TOPIC).to_bytes(2) + _TOPIC + b"\0\0" + b"\0" * version_5 + _PAYLOAD
        packet = bytes([_PUBLISH_QOS_1]) + remaining_length(len(body)) + body
        self.packet_bytes = len(packet)
        self.packets: Bytes = np.empty((rows, self.packet_bytes), np.uint8)
        self.packets[:] = np.frombuffer(packet, np.uint8)
        id_at = packet.index(_TOPIC) + len(_TOPIC)
        self.packets[:, id_at : id_at + 2] = np.arange(1, rows + 1, dtype=">u2").view(np.uint8).reshape(rows, 2)
        self._memory = self.packets.reshape(-1).data
        self._topic_at = packet.index(b"load-") + 5
        self._device_at = packet.rindex(b"load-") + 5
        self._time_at = packet.index(b"2020-")
        self._energy_at = packet.index(b"000000.000000,")
        self._power_at = packet.index(b"2000.5") + 1
        self._voltage_at = packet.index(b"200.0") + 1

    def write(self, number: int, count: int, first_us: int) -> None:
        """Encode `count` messages from `number` on, measured at `first_us` and each a microsecond after the other.

        They lie in rows one after the other: `number % rows + count` is at most `rows`.
        """
        row = number % self.rows
        packets = self.packets[row : row + count]
        assert len(packets) == count
        numbers = np.arange(number, number + count)
        times_us = np.arange(first_us, first_us + count)
        packets[:, 0] = _PUBLISH_QOS_1
        _write_digits(packets, self._topic_at, numbers % self._devices + 1, 2)
        packets[:, self._device_at : self._device_at + 6] = packets[:, self._topic_at : self._topic_at + 6]
        self._write_times(packets, first_us)
        _write_digits(packets, self._time_at + 20, times_us % _SECOND_US, 2)
        kilowatt_hours, rest = np.divmod(_REGISTER_MWH + (times_us - _REGISTER_SINCE_US) // _US_PER_MWH, 1_000_000)
        _write_digits(packets, self._energy_at, kilowatt_hours, 2)
        _write_digits(packets, self._energy_at + 7, rest, 2)
        _write_digits(packets, self._power_at, numbers * 37 % 1_000, 1)
        tenths = _DIGITS[200 + numbers * 7 % 200]
        packets[:, self._voltage_at : self._voltage_at + 2] = tenths[:, :2]
        packets[:, self._voltage_at + 3] = tenths[:, 2]

    def _write_times(self, packets: Bytes, first_us: int) -> None:
        done = 0
        while done < len(packets):
            second, micros = divmod(first_us + done, _SECOND_US)
            end = done + _SECOND_US - micros
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()
            packets[done:end, self._time_at : self._time_at + 19] = np.frombuffer(text, np.uint8)
            done = end

    def mark_repeated(self, number: int, count: int) -> None:
        """Set the DUP flag of `count` messages from `number` on, which lie in rows one after the other."""
        row = number % self.rows
        self.packets[row : row + count, 0] |= _DUPLICATE

    def view(self, number: int, count: int) -> memoryview:
        """The bytes of `count` packets from `number` on, which lie in rows one after the other. Not a copy."""
        start = number % self.rows * self.packet_bytes
        return self._memory[start : start + count * self.packet_bytes]


def _write_digits(packets: Bytes, at: int, values: Integers, groups: int) -> None:
    """Write `values` with 3 × `groups` decimal digits from column `at` on."""
    for group in reversed(range(groups)):
        values, rest = np.divmod(values, 1_000) if group else (values, values)
        packets[:, at + 3 * group : at + 3 * group + 3] = _DIGITS[rest]
