"""The buffered socket under paho, and what of paho it relies on."""

from __future__ import annotations

import inspect
import random
import socket
import threading
from collections.abc import Iterator

import paho.mqtt.client as mqtt
import pytest

from ingest.session import BufferedSocket, Session, SessionConfig


@pytest.fixture
def pair() -> Iterator[tuple[BufferedSocket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    buffered = BufferedSocket(ours)
    yield buffered, theirs
    buffered.close()
    theirs.close()


def test_paho_still_makes_its_socket_where_it_is_overridden() -> None:
    assert "_create_socket" in vars(mqtt.Client)
    assert "self._create_socket()" in inspect.getsource(mqtt.Client.reconnect)
    assert list(inspect.signature(mqtt.Client._create_socket).parameters) == ["self"]


def test_bytes_come_out_in_the_pieces_that_are_asked_for(pair: tuple[BufferedSocket, socket.socket]) -> None:
    buffered, theirs = pair
    data = random.Random(1).randbytes(5000)
    theirs.sendall(data)
    got, chance = b"", random.Random(2)
    while len(got) < len(data):
        got += buffered.recv(chance.randrange(1, 40))
    assert got == data
    assert not buffered.has_input
    with pytest.raises(BlockingIOError):
        buffered.recv(1)
    theirs.close()
    assert buffered.recv(1) == b""


def test_what_is_sent_waits_for_flush_and_survives_a_full_line(pair: tuple[BufferedSocket, socket.socket]) -> None:
    buffered, theirs = pair
    data = random.Random(3).randbytes(4_000_000)
    for start in range(0, len(data), 1000):
        assert buffered.send(data[start : start + 1000]) == 1000
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(1)
    assert not buffered.flush(), "a socket pair does not hold four megabytes"
    theirs.setblocking(True)
    received = bytearray()

    def read() -> None:
        while len(received) < len(data):
            received.extend(theirs.recv(65_536))

    reader = threading.Thread(target=read)
    reader.start()
    while not buffered.flush():
        pass
    reader.join(10)
    assert bytes(received) == data


class Line:
    """Keeps what a session sends."""

    def __init__(self) -> None:
        self.sent = b""

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
    line = Line()
    made._acknowledge(line)  # type: ignore[arg-type]
    made.wake.close()
    assert line.sent == b"\x40\x02\x00\x01\x40\x02\xff\xff"


def test_filters_of_a_shared_subscription() -> None:
    alone = SessionConfig("mqtt://h", "c", ("a/#", "b"))
    shared = SessionConfig("mqtts://h", "c", ("a/#",), share="workers")
    assert (alone.filters, alone.place) == (["a/#", "b"], "h:1883")
    assert (shared.filters, shared.place) == (["$share/workers/a/#"], "h:8883")
