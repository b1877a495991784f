"""The buffered socket under paho, and what of paho it relies on."""

from __future__ import annotations

import inspect
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator

import paho.mqtt.client as mqtt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ingest.line import BrokenPacket, Line, parse_publish
from ingest.message import Message
from ingest.session import Session, SessionConfig, covers


@pytest.fixture
def pair() -> Iterator[tuple[Line, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    line = Line(ours, version_5=True)
    yield line, theirs
    line.close()
    theirs.close()


def test_paho_still_makes_its_socket_where_it_is_overridden() -> None:
    assert "_create_socket" in vars(mqtt.Client)
    assert "self._create_socket()" in inspect.getsource(mqtt.Client.reconnect)
    assert list(inspect.signature(mqtt.Client._create_socket).parameters) == ["self"]


def length(value: int) -> bytes:
    out = bytearray()
    while True:
        value, rest = divmod(value, 128)
        out.append(rest | (0x80 if value else 0))
        if not value:
            return bytes(out)


def publish(topic: bytes, payload: bytes, packet_id: int, *, head: int = 0x32, properties: bytes = b"") -> bytes:
    body = struct.pack("!H", len(topic)) + topic + struct.pack("!H", packet_id)
    body += length(len(properties)) + properties + payload
    return bytes([head]) + length(len(body)) + body


def received(line: Line, theirs: socket.socket, data: bytes, chance: random.Random) -> list[Message]:
    at = 0
    while at < len(data):
        size = chance.choice([1, 2, 3, 50, 5000])
        theirs.sendall(data[at : at + size])
        at += size
        line.receive()
    return line.messages


def test_messages_are_cut_out_wherever_the_line_divides_them(pair: tuple[Line, socket.socket]) -> None:
    line, theirs = pair
    chance = random.Random(1)
    payloads = [chance.randbytes(chance.choice([0, 1, 120, 130, 17_000])) for _ in range(60)]
    data = b""
    for number, payload in enumerate(payloads):
        data += publish(b"misto/a/up", payload, number + 1, head=0x3A + number % 2)
        data += b"\xd0\x00"  # an answer to a ping in between
    messages = received(line, theirs, data, chance)
    assert [(m.packet_id, m.payload, m.duplicate, m.retained) for m in messages] == [
        (number + 1, payload, True, number % 2 == 1) for number, payload in enumerate(payloads)
    ]
    assert len({m.received_us for m in messages}) == len(messages)
    assert line.recv(1000) == b"\xd0\x00" * 60
    with pytest.raises(BlockingIOError):
        line.recv(1)
    theirs.close()
    line.receive()
    assert line.has_packets
    assert line.recv(1) == b""


def test_a_clock_that_is_put_back_is_followed_and_no_two_messages_share_a_time(
    pair: tuple[Line, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    line, theirs = pair
    times_us = []
    for now_s in (1000.0, 1000.0, 999.9, 400.0, 400.5):
        monkeypatch.setattr(time, "time_ns", lambda now_s=now_s: round(now_s * 1e9))
        theirs.sendall(publish(b"t", b"1", 1) + publish(b"t", b"2", 2))
        line.receive()
        times_us.append([message.received_us for message in line.messages[-2:]])
    assert times_us == [
        [1_000_000_000, 1_000_000_001], [1_000_000_002, 1_000_000_003], [1_000_000_004, 1_000_000_005],
        [400_000_001, 400_000_002], [400_500_000, 400_500_001],
    ]  # fmt: skip


def test_properties_that_paho_refuses_are_passed_over(pair: tuple[Line, socket.socket]) -> None:
    line, theirs = pair
    mark = "\ufeff1".encode()
    properties = b"\x26\x00\x01k" + struct.pack("!H", len(mark)) + mark
    theirs.sendall(publish(b"t", b"content", 7, properties=properties))
    line.receive()
    assert [(m.topic, m.payload, m.packet_id) for m in line.messages] == [("t", b"content", 7)]


@given(topic=st.text(max_size=30), payload=st.binary(max_size=300), flags=st.sampled_from([0, 1, 2, 3, 10, 11]))
def test_packets_are_read_as_paho_reads_them(topic: str, payload: bytes, flags: int) -> None:
    told: list[mqtt.MQTTMessage] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5, manual_ack=True)
    client.on_message = lambda _client, _data, message: told.append(message)
    name = topic.encode()
    body = struct.pack("!H", len(name)) + name + (b"\x12\x34" if flags & 6 else b"") + b"\x02\x01\x01" + payload
    client._in_packet["command"], client._in_packet["packet"] = 0x30 | flags, body
    client._handle_publish()
    ours = parse_publish(0x30 | flags, body, 0, len(body), True, 1)
    theirs = told[0]
    assert (ours.topic, ours.payload, ours.packet_id, ours.qos, ours.duplicate, ours.retained) == (
        theirs.topic, theirs.payload, theirs.mid, theirs.qos, theirs.dup, theirs.retain,
    )  # fmt: skip


@given(body=st.binary(max_size=12), head=st.integers(0x30, 0x3F), version_5=st.booleans())
def test_broken_packets_are_told(body: bytes, head: int, version_5: bool) -> None:
    try:
        message = parse_publish(head, body + b"next packet", 0, len(body), version_5, 1)
    except BrokenPacket:
        return
    assert len(message.payload) <= len(body)


def test_what_is_sent_waits_for_flush_and_survives_a_full_line(pair: tuple[Line, socket.socket]) -> None:
    line, theirs = pair
    data = random.Random(3).randbytes(4_000_000)
    for start in range(0, len(data), 1000):
        assert line.send(data[start : start + 1000]) == 1000
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(1)
    assert not line.flush(), "a socket pair does not hold four megabytes"
    theirs.setblocking(True)
    got = bytearray()

    def read() -> None:
        while len(got) < len(data):
            got.extend(theirs.recv(65_536))

    reader = threading.Thread(target=read)
    reader.start()
    while not line.flush():
        pass
    reader.join(10)
    assert bytes(got) == data


class SentOnly:
    """Keeps what a session sends."""

    def __init__(self) -> None:
        self.sent = b""
        self.sent_at = self.received_at = time.monotonic()

    def send(self, data: bytes) -> int:
        self.sent += data
        return len(data)


def session(finished: list[tuple[int, list[int]]]) -> Session:
    ours, theirs = socket.socketpair()
    theirs.close()
    made = Session(
        SessionConfig("mqtt://127.0.0.1", "c", ("#",)),
        on_messages=lambda messages, generation: None,
        finished=lambda: finished,
        has_room=lambda: True,
        wake=ours,
        drain=lambda: None,
        on_connected=lambda present: None,
        on_disconnected=lambda: None,
    )
    made.generation = 2
    return made


def test_acknowledgements_go_out_in_bulk_and_only_to_their_own_connection() -> None:
    made = session([(1, [7, 8]), (2, [1, 65_535]), (2, [])])
    line = SentOnly()
    made._acknowledge(line)  # type: ignore[arg-type]
    made.wake.close()
    assert line.sent == b"\x40\x02\x00\x01\x40\x02\xff\xff"


def test_the_broker_s_own_keep_alive_is_kept() -> None:
    made, line = session([]), SentOnly()
    line.sent_at = time.monotonic() - 6
    made._keep_alive(line)  # type: ignore[arg-type]
    assert line.sent == b""
    told = Properties(PacketTypes.CONNACK)
    told.ServerKeepAlive = 10
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    made._on_connect(client, None, mqtt.ConnectFlags(session_present=False), ReasonCode(PacketTypes.CONNACK), told)
    made._keep_alive(line)  # type: ignore[arg-type]
    made.wake.close()
    assert line.sent == b"\xc0\x00"


@pytest.mark.parametrize(
    ("wide", "narrow", "expected"),
    [
        ("#", "homie/5/+/$description", True), ("homie/#", "homie/+/$name", True), ("homie/+/$name", "homie/+/$name", True),
        ("homie/+/+", "homie/+/$name", True), ("homie/5/#", "homie/+/$name", False), ("homie/+", "homie/+/$name", False),
        ("homie/+/$name/#", "homie/+/$name", True), ("misto/#", "homie/+/$name", False), ("a/+", "a/#", False),
        ("homie/hall/$name", "homie/+/$name", False), ("a/b", "a/b/c", False),
    ],
)  # fmt: skip
def test_which_filters_cover_others(wide: str, narrow: str, expected: bool) -> None:
    assert covers(wide, narrow) is expected


def test_filters_of_a_shared_subscription() -> None:
    alone = SessionConfig("mqtt://h", "c", ("a/#", "b"))
    shared = SessionConfig("mqtts://h", "c", ("a/#",), share="workers")
    assert (alone.filters, alone.place) == (["a/#", "b"], "h:1883")
    assert (shared.filters, shared.place) == (["$share/workers/a/#"], "h:8883")


def test_a_broker_that_takes_mqtt_5_and_then_closes_is_not_taken_for_an_older_one() -> None:
    versions: list[int] = []
    ours, theirs = socket.socketpair()
    stop = threading.Event()
    with ours, theirs, socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while len(versions) < 3:
                client, _ = listener.accept()
                with client:
                    first = client.recv(4096)
                    versions.append(first[first.index(b"MQTT") + 4])
                    client.sendall(b"\x20\x03\x00\x00\x00")  # CONNACK of version 5
                    client.recv(4096)
            stop.set()

        made = Session(
            SessionConfig(f"mqtt://127.0.0.1:{listener.getsockname()[1]}", "c", ("#",)),
            on_messages=lambda messages, generation: None,
            finished=list,
            has_room=lambda: True,
            wake=ours,
            drain=lambda: None,
            on_connected=lambda present: None,
            on_disconnected=lambda: None,
        )
        server = threading.Thread(target=serve)
        server.start()
        made.run(stop)
        server.join()
    assert versions == [5, 5, 5]
