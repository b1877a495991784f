"""The load generator's packets, what it makes of the broker's answers, and how it goes on after a bad connection."""

from __future__ import annotations

import random
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from catalogue.metrics import Quality, metrics
from ingest.decoder import Decoder
from ingest.envelopes import all_envelopes
from ingest.line import Line
from ingest.message import Message
from ingest.one_device import OneDevice
from ingest.profile import load_profiles
from simulators.errors import SimulatorError
from simulators.load import Load, LoadConfig, Summary
from simulators.load.answers import Answers, BrokenAnswer, SessionEnded
from simulators.load.encode import Ring, remaining_length

START_US = 1_795_428_000_000_000
OK_5, OK_4 = b"\x20\x03\0\0\0", b"\x20\x02\0\0"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, b"\x00"), (127, b"\x7f"), (128, b"\x80\x01"), (16_383, b"\xff\x7f"), (16_384, b"\x80\x80\x01"),
        (2_097_152, b"\x80\x80\x80\x01"), (268_435_455, b"\xff\xff\xff\x7f"),
    ],
)  # fmt: skip
def test_remaining_length(value: int, expected: bytes) -> None:
    assert remaining_length(value) == expected


def messages_of(data: bytes, *, version_5: bool) -> list[Message]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        line = Line(ours, version_5=version_5)
        for start in range(0, len(data), 10_000):
            theirs.sendall(data[start : start + 10_000])
            line.receive()
        return line.messages


@pytest.mark.parametrize("version_5", [False, True])
def test_packets_are_read_by_ingest_as_they_are_meant(version_5: bool) -> None:
    ring = Ring(7, 400, version_5=version_5)
    assert 170 <= ring.packet_bytes <= 190
    decoder = Decoder(all_envelopes(ZoneInfo("Europe/Kyiv")), load_profiles(), OneDevice(None, None), thorough=True)
    wanted = {metrics()[name].id for name in ("energy_kwh", "power_w", "voltage_v")}
    registers: dict[str, float] = {}
    # The times go over a second's end, and the second piece over the first one's rows.
    for number, count, first_us in ((0, 400, START_US - 150), (400, 250, START_US + 5_000_000)):
        ring.write(number, count, first_us)
        messages = messages_of(bytes(ring.view(number, count)), version_5=version_5)
        assert len(messages) == count
        for place, message in enumerate(messages):
            device = f"load-{(number + place) % 7 + 1:06d}"
            assert (message.topic, message.packet_id) == (f"misto/{device}/up", (number + place) % 400 + 1)
            assert (message.qos, message.duplicate, message.retained) == (1, False, False)
            (decoded,) = decoder.decode(Message(message.topic, message.payload, START_US + 60_000_000))
            assert (decoded.device.address, decoded.envelope, decoded.time_us) == (
                device, "plain_json", first_us + place,
            )  # fmt: skip
            assert (decoded.problems, decoded.unknown_fields) == ([], ())
            values = {metric: value for _, metric, value, _ in decoded.readings}
            assert set(values) == wanted
            assert {quality for *_, quality in decoded.readings} == {Quality.GOOD}
            assert 2_000 <= values[metrics()["power_w"].id] < 3_000
            assert 220 <= values[metrics()["voltage_v"].id] < 240
            register = values[metrics()["energy_kwh"].id]
            assert register >= registers.get(device, 0)
            registers[device] = register
    assert all(register < 1e9 for register in registers.values())


def test_a_register_rises_by_what_the_meter_s_power_is() -> None:
    ring = Ring(1, 2, version_5=False)
    for number, hours in ((0, 0), (1, 3)):
        ring.write(number, 1, START_US + hours * 3_600_000_000)
    first, last = (
        float(message.payload.split(b'"energy_kwh": ')[1].split(b",")[0])
        for message in messages_of(bytes(ring.view(0, 2)), version_5=False)
    )
    assert last - first == pytest.approx(7.5)


def test_repeated_messages_say_so_and_new_ones_in_their_rows_do_not() -> None:
    ring = Ring(3, 10, version_5=True)
    ring.write(0, 10, START_US)
    ring.mark_repeated(4, 2)
    seen = messages_of(bytes(ring.view(0, 10)), version_5=True)
    assert [message.duplicate for message in seen] == [place in (4, 5) for place in range(10)]
    ring.write(10, 10, START_US)
    assert not any(message.duplicate for message in messages_of(bytes(ring.view(10, 10)), version_5=True))


def puback(packet_id: int, reason: int | None = None, properties: bytes | None = None) -> bytes:
    body = struct.pack("!H", packet_id)
    body += b"" if reason is None else bytes([reason])
    body += b"" if properties is None else remaining_length(len(properties)) + properties
    return b"\x40" + remaining_length(len(body)) + body


def test_acknowledgements_are_cut_out_wherever_the_line_divides_them() -> None:
    chance = random.Random(7)
    long_text = b"\x1f" + struct.pack("!H", 200) + b"x" * 200
    data, expected = b"", []
    for _ in range(40):
        for _ in range(chance.choice([1, 2, 70, 700])):
            packet_id = chance.randrange(1, 65_536)
            data += puback(packet_id)
            expected.append((packet_id, 0))
        for reason, properties in ((0x10, None), (0x97, b""), (0x87, long_text)):
            packet_id = chance.randrange(1, 65_536)
            data += puback(packet_id, reason, properties)
            expected.append((packet_id, reason))
        data += b"\xd0\x00"
    for sizes in ([1, 2, 3, 50, 5_000], [len(data)]):
        answers, got, at = Answers(), [], 0
        while at < len(data):
            size = chance.choice(sizes)
            for ids, reasons in answers.feed(data[at : at + size]):
                got += list(zip(ids.tolist(), reasons.tolist(), strict=True))
            at += size
        assert got == expected


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        (b"\xe0\x01\x8e", SessionEnded, r"it ended the session \(Session taken over\)"),
        (b"\xe0\x00", SessionEnded, r"it ended the session \(Normal disconnection\)"),
        (b"\xe0\x02\x33\x00", SessionEnded, r"it ended the session \(reason 0x33\)"),
        (b"\x90\x03\x00\x01\x00", BrokenAnswer, "0x90 of 3 bytes"),
        (b"\x40\x01\x00", BrokenAnswer, "0x40 of 1 bytes"),
        (b"\x40\xff\xff\xff\xff\x01", BrokenAnswer, "more than four bytes"),
    ],
)
def test_what_is_no_acknowledgement_is_told_after_those_before_it(
    data: bytes, error: type[Exception], text: str
) -> None:
    answers = Answers().feed(puback(5) + puback(6) + data)
    ids, _ = next(answers)
    assert ids.tolist() == [5, 6]
    with pytest.raises(error, match=text):
        next(answers)


class Peer:
    """The broker's side of one connection."""

    def __init__(self, line: socket.socket, login: bytes) -> None:
        self.plain = line
        self.login = login
        self.version_5 = login[8] == 5
        self._line: Line | None = None

    def accept(self, answer: bytes) -> None:
        self.plain.sendall(answer)
        self.plain.setblocking(False)
        self._line = Line(self.plain, version_5=self.version_5)

    def read(self, wait_s: float = 5.0) -> list[Message]:
        """Messages that have arrived; none if the client says nothing for `wait_s` or hangs up."""
        assert self._line is not None
        select.select([self.plain], [], [], wait_s)
        self._line.receive()
        messages, self._line.messages = self._line.messages, []
        return messages

    def others(self) -> bytes:
        assert self._line is not None
        try:
            return self._line.recv(1000)
        except BlockingIOError:
            return b""

    def all_of(self, count: int) -> list[Message]:
        messages: list[Message] = []
        while len(messages) < count:
            messages += self.read()
        return messages

    def acknowledge(self, messages: list[Message], reason: int | None = None) -> None:
        self.plain.setblocking(True)
        self.plain.sendall(b"".join(puback(message.packet_id, reason) for message in messages))
        self.plain.setblocking(False)


@contextmanager
def broker(*scripts: Callable[[Peer], None]) -> Iterator[str]:
    """A broker that follows one script a connection; yields its URL."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(20)

    def serve() -> None:
        for script in scripts:
            line, _ = server.accept()
            with line:
                line.settimeout(20)
                script(Peer(line, line.recv(4096)))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"mqtt://anna:p%40ss@127.0.0.1:{server.getsockname()[1]}"
    finally:
        thread.join(25)
        server.close()
    assert not thread.is_alive()


def run(url: str, devices: int = 3, **config: object) -> Summary:
    return Load(LoadConfig(url, devices, **config)).run(threading.Event())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("version_5", "answer", "said"),
    [(True, b"\x20\x03\0\x86\0", "Bad user name or password"), (False, b"\x20\x02\0\x05", "Not authorized")],
)
def test_a_refused_login_is_a_sentence(version_5: bool, answer: bytes, said: str) -> None:
    logins = []

    def script(peer: Peer) -> None:
        logins.append(peer.login)
        peer.plain.sendall(answer)

    with broker(script) as url, pytest.raises(SimulatorError) as caught:
        run(url, version_5=version_5)
    place = url.partition("@")[2]
    assert str(caught.value) == (
        f"the broker at {place} refuses the login ({said}); check user and password in MISTO_MQTT_URL"
    )
    assert logins[0].endswith(b"\x00\x04anna\x00\x04p@ss")


@pytest.mark.parametrize("url", ["127.0.0.1:1883", "mqtt://", "mqtt://host:port", "http://host", "mqtt://h:99999"])
def test_a_url_that_names_no_broker_is_a_sentence(url: str) -> None:
    with pytest.raises(SimulatorError, match="MISTO_MQTT_URL names no broker"):
        Load(LoadConfig(url, 1))


@pytest.mark.parametrize("wrong", [{"devices": 0}, {"devices": 1_000_000}, {"window": 0}, {"count": 0}])
def test_a_load_that_cannot_be_is_a_sentence(wrong: dict[str, int]) -> None:
    with pytest.raises(SimulatorError):
        Load(LoadConfig(**({"url": "mqtt://127.0.0.1", "devices": 5} | wrong)))  # type: ignore[arg-type]


def takes_all(got: list[Message], count: int, answer: bytes = OK_5) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        peer.accept(answer)
        while len(got) < count:
            messages = peer.read()
            got.extend(messages)
            peer.acknowledge(messages)
        peer.read()

    return script


def test_a_second_run_repeats_no_time_and_none_lies_in_the_future() -> None:
    got: list[Message] = []
    for total in (5_000, 10_000):
        with broker(takes_all(got, total)) as url:
            summary = run(url, count=5_000)
        assert (summary.sent, summary.acknowledged, summary.repeated) == (5_000, 5_000, 0)
        assert summary.rate_per_s == 5_000 / summary.seconds
    decoder = Decoder(all_envelopes(ZoneInfo("Europe/Kyiv")), load_profiles(), OneDevice(None, None))
    times = [decoder.decode(message)[0].time_us for message in got]
    assert (np.diff(times) > 0).all()
    assert all(at <= message.received_us for at, message in zip(times, got, strict=True))
    assert time.time_ns() // 1000 - times[0] < 60_000_000


def test_a_broker_without_mqtt_5_gets_mqtt_3() -> None:
    got: list[Message] = []
    versions = []

    def refuses(peer: Peer) -> None:
        versions.append(peer.version_5)
        peer.plain.sendall(b"\x20\x02\0\x01")

    with broker(refuses, takes_all(got, 700, OK_4)) as url:
        assert run(url, count=700).acknowledged == 700
    assert versions == [True]


def test_what_a_lost_connection_did_not_acknowledge_is_sent_again_and_nothing_else() -> None:
    first: list[Message] = []
    second: list[Message] = []

    def breaks(peer: Peer) -> None:
        peer.accept(OK_5)
        first.extend(peer.all_of(100))
        # Out of order, one twice, and one that nobody sent.
        peer.acknowledge([*first[:40], first[60], first[50], first[50]])
        peer.plain.sendall(puback(150))
        first.extend(peer.all_of(40))

    def goes_on(peer: Peer) -> None:
        peer.accept(OK_5)
        while len(second) < 98 + 160:
            messages = peer.read()
            second.extend(messages)
            peer.acknowledge(messages)
        peer.read()

    with broker(breaks, goes_on) as url:
        summary = run(url, count=300, window=100)
    again = [message.payload for message in first[40:] if message not in (first[50], first[60])]
    assert [message.payload for message in second[:98]] == again
    assert [message.duplicate for message in second] == [True] * 98 + [False] * 160
    assert (summary.sent, summary.acknowledged, summary.repeated, summary.state) == (300, 300, 98, "connected")


def test_refused_messages_are_not_acknowledged_ones() -> None:
    def script(peer: Peer) -> None:
        peer.accept(OK_5)
        messages = peer.all_of(50)
        peer.acknowledge(messages[:30], 0x10)
        peer.acknowledge(messages[30:], 0x87)
        peer.read()

    with broker(script) as url:
        summary = run(url, count=50)
    assert (summary.sent, summary.acknowledged, summary.refused) == (50, 30, 20)


def test_never_more_wait_than_the_broker_allows() -> None:
    most = 0

    def script(peer: Peer) -> None:
        nonlocal most
        peer.accept(b"\x20\x06\0\0\x03\x21\x00\x07")
        done = 0
        while done < 40:
            waiting: list[Message] = []
            while messages := peer.read(0.05):
                waiting += messages
            most = max(most, len(waiting))
            done += len(waiting)
            peer.acknowledge(waiting)
        peer.read()

    with broker(script) as url:
        assert run(url, count=40).acknowledged == 40
    assert most == 7


def test_it_pings_a_silent_broker_and_leaves_one_that_is_gone() -> None:
    got: list[Message] = []
    pings: list[bytes] = []

    def silent(peer: Peer) -> None:
        peer.accept(OK_5)
        while len(pings) < 5:
            got.extend(peer.read(0.1))
            if other := peer.others():
                pings.append(other)
                if len(pings) < 3:
                    peer.plain.sendall(b"\xd0\x00")
            if peer._line is not None and peer._line.ended:
                break

    with broker(silent, takes_all(got, 60)) as url:
        summary = run(url, count=30, keepalive_s=1)
    assert pings[0] == b"\xc0\x00"
    assert len(pings) >= 3
    assert (summary.acknowledged, summary.repeated) == (30, 30)


def test_the_rate_is_kept() -> None:
    got: list[Message] = []
    with broker(takes_all(got, 300)) as url:
        assert 0.25 < run(url, count=300, rate_per_s=1_000).seconds < 2


def test_pausing_and_stopping() -> None:
    stop = threading.Event()
    got: list[Message] = []

    def script(peer: Peer) -> None:
        peer.accept(OK_5)
        while not (stop.is_set() and peer.others() == b"\xe0\x00"):
            messages = peer.read(0.05)
            got.extend(messages)
            peer.acknowledge(messages)

    with broker(script) as url:
        load = Load(LoadConfig(url, 3, rate_per_s=2_000))
        load.paused.set()
        thread = threading.Thread(target=load.run, args=(stop,))
        thread.start()
        time.sleep(0.3)
        assert load.summary.sent == 0
        load.paused.clear()
        while load.summary.acknowledged < 200:
            time.sleep(0.01)
        load.paused.set()
        time.sleep(0.3)
        sent = load.summary.sent
        time.sleep(0.3)
        assert load.summary.sent == sent
        load.paused.clear()
        while load.summary.sent == sent:
            time.sleep(0.01)
        stop.set()
        thread.join(10)
    assert load.summary.acknowledged == load.summary.sent == len(got)


def test_stopping_without_a_broker_ends() -> None:
    stop = threading.Event()
    load = Load(LoadConfig("mqtt://127.0.0.1:1", 3, settle_s=0.3))
    thread = threading.Thread(target=load.run, args=(stop,))
    thread.start()
    while "is away" not in load.summary.state:
        time.sleep(0.01)
    stop.set()
    thread.join(5)
    assert not thread.is_alive()
