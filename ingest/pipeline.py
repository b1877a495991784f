"""From messages to commits: batches by size, age or quiet; several writers; acknowledgements in order of arrival."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import Connection

from ingest import metrics
from ingest.batch import DecodedBatch, Deliveries, Seen, decode_batch
from ingest.decoder import Decoder
from ingest.message import Message
from store.errors import StoreError, in_words, is_temporary
from store.writer import ReadingWriter

log = logging.getLogger("misto.ingest")

#: A line that was quiet for this long will bring nothing more soon: no need to wait for the batch to age.
_QUIET_S = 0.005


#: Between two tries to write; live messages wait for so long once the database is back.
_LONGEST_PAUSE_S = 2.0


@dataclass
class _Work:
    generation: int
    messages: list[Message]
    size_bytes: int
    first_at: float
    taken: bool = False
    done: bool = False


@dataclass
class Pipeline:
    """`connect` makes a connection for a writer; `client_id` names the session for redeliveries.

    `most_messages` and `most_bytes` (of topics and contents) bound what is held while the database is away;
    `batch_messages` and `batch_bytes` what is decoded at once, for a content may hold many readings.
    """

    decoder: Decoder
    connect: Callable[[], Connection[Any]]
    client_id: str
    writers: int
    batch_messages: int
    linger_s: float
    deliveries: Deliveries = field(default_factory=dict)
    most_messages: int = 40_000
    most_bytes: int = 64 * 1024 * 1024
    batch_bytes: int = 2 * 1024 * 1024

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        self._pending: list[Message] = []
        self._generation = 0
        self._earlier: dict[int, Message] = {}
        self._held_messages = self._held_bytes = self._pending_bytes = 0
        self._first_at = self._last_at = 0.0
        self._works: deque[_Work] = deque()
        self._stop = threading.Event()
        self._seen: dict[int, Seen] = {}
        self._failure = ""
        self.wake, self._poke = socket.socketpair()
        self.wake.setblocking(False)
        self._poke.setblocking(False)
        self._threads = [
            threading.Thread(target=self._write_forever, name=f"writer-{number}", daemon=True)
            for number in range(self.writers)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End the writers; what they have not committed the broker delivers again."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(15)
        self.wake.close()
        self._poke.close()

    def put(self, messages: list[Message], generation: int) -> None:
        """Take over what one pass of the session's loop received."""
        now = time.monotonic()
        with self._changed:
            if self._generation != generation:
                while self._pending:
                    self._cut()
                self._generation = generation
                self._earlier = {m.packet_id: m for work in self._works for m in work.messages if m.packet_id}
            if self._earlier:
                self._keep_first_reception(messages)
            if not self._pending:
                self._first_at = now
            self._pending.extend(messages)
            self._last_at = now
            size_bytes = sum([message.size_bytes for message in messages])
            self._held_messages += len(messages)
            self._held_bytes += size_bytes
            self._pending_bytes += size_bytes
            metrics.UNACKNOWLEDGED.set(self._held_messages)
            self._changed.notify()

    def _keep_first_reception(self, messages: list[Message]) -> None:
        # What is delivered again while its first copy still waits here: both must get the same time, whichever of
        # them is written first. Copies that were decoded already are in `deliveries`.
        for message in messages:
            if message.duplicate:
                first = self._earlier.get(message.packet_id)
                if first is not None and first.payload == message.payload and first.topic == message.topic:
                    message.received_us = first.received_us

    def finished(self) -> list[tuple[int, list[int]]]:
        """What may be acknowledged, in order of arrival."""
        result = []
        with self._changed:
            while self._works and self._works[0].done:
                work = self._works.popleft()
                result.append((work.generation, [m.packet_id for m in work.messages if m.packet_id]))
                self._held_messages -= len(work.messages)
                self._held_bytes -= work.size_bytes
            if self._earlier and (not self._works or self._works[0].generation == self._generation):
                self._earlier = {}
            if result:
                metrics.UNACKNOWLEDGED.set(self._held_messages)
        return result

    def unfinished(self) -> int:
        """Messages received and not yet handed to `finished`."""
        return self._held_messages

    def has_room(self) -> bool:
        """False while so much is held that nothing more should be read."""
        return self._held_messages < self.most_messages and self._held_bytes < self.most_bytes

    def drain(self, wait_s: float = 10) -> None:
        """Wait until everything received is committed, the database is away, or `wait_s` is over."""
        deadline = time.monotonic() + wait_s
        with self._changed:
            self._first_at = 0.0
            self._changed.notify_all()
            while (self._pending or any(not work.done for work in self._works)) and not self._failure:
                if time.monotonic() > deadline:
                    break
                self._changed.wait(0.1)

    def take_seen(self) -> dict[int, Seen]:
        """What was seen of devices since the last call."""
        with self._changed:
            seen, self._seen = self._seen, {}
            return seen

    @property
    def failure(self) -> str:
        """Why nothing can be written now; empty if it can."""
        return self._failure

    def _cut(self) -> _Work:
        """Make a batch of what came first: as much as is decoded at once, a message at the least."""
        messages = self._pending[: self.batch_messages]
        size_bytes = self._pending_bytes
        if len(messages) < len(self._pending) or size_bytes > self.batch_bytes:
            size_bytes = count = 0
            for message in messages:
                if count and size_bytes + message.size_bytes > self.batch_bytes:
                    break
                size_bytes += message.size_bytes
                count += 1
            messages = messages[:count]
        work = _Work(self._generation, messages, size_bytes, self._first_at)
        self._pending = self._pending[len(messages) :]
        self._pending_bytes -= size_bytes
        self._first_at = time.monotonic()
        self._works.append(work)
        return work

    def _next(self) -> _Work | None:
        """The next batch for a writer; waits until one is due. None at the end."""
        with self._changed:
            while not self._stop.is_set():
                work = next((work for work in self._works if not work.taken), None)
                if work is None and self._pending:
                    now = time.monotonic()
                    due = min(self._first_at + self.linger_s, self._last_at + _QUIET_S)
                    full = len(self._pending) >= self.batch_messages or self._pending_bytes >= self.batch_bytes
                    if not full and now < due:
                        self._changed.wait(max(due - now, 0.0005))
                        continue
                    work = self._cut()
                if work is not None:
                    work.taken = True
                    return work
                self._changed.wait(0.5)
        return None

    def _write_forever(self) -> None:
        writer: ReadingWriter | None = None
        connection: Connection[Any] | None = None
        while (work := self._next()) is not None:
            pause_s = 0.2
            while not self._stop.is_set():
                try:
                    if writer is None:
                        connection = self.connect()
                        writer = ReadingWriter(connection, self.client_id)
                    self._write(work, writer)
                    self._failure = ""
                    break
                except Exception as error:
                    # Whatever it is, the batch is not acknowledged and the writer stays: it is tried again.
                    metrics.WRITE_ERRORS.inc()
                    if not isinstance(error, StoreError) and not (
                        isinstance(error, psycopg.Error) and is_temporary(error)
                    ):
                        log.exception("a batch cannot be written; trying again")
                    elif not self._failure:
                        log.warning("messages wait in the broker, for they cannot be stored: %s", in_words(error))
                    self._failure = in_words(error)
                    if connection is not None:
                        connection.close()
                    writer = connection = None
                    self._stop.wait(pause_s)
                    pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
        if connection is not None:
            connection.close()

    def _write(self, work: _Work, writer: ReadingWriter) -> None:
        decoded = decode_batch(work.messages, self.decoder, self.deliveries)
        result = writer.write(decoded.batch)
        self._count_up(decoded, result.stored, result.duplicates)
        metrics.BATCH_SECONDS.observe(time.monotonic() - work.first_at)
        with self._changed:
            work.done = True
            for device_id, new in decoded.devices.items():
                seen = self._seen.setdefault(device_id, Seen())
                seen.received_us = max(seen.received_us, new.received_us)
                seen.event_us = max(seen.event_us, new.event_us)
                seen.messages += new.messages
                seen.envelope = new.envelope
                seen.unknown_fields |= new.unknown_fields
            self._changed.notify_all()
        with contextlib.suppress(BlockingIOError):
            # Enough unread pokes wake the loop as well as one more.
            self._poke.send(b"x")

    @staticmethod
    def _count_up(decoded: DecodedBatch, stored: int, duplicates: int) -> None:
        for outcome, count in decoded.outcomes.items():
            metrics.MESSAGES.labels(outcome).inc(count)
        for reason, count in decoded.reasons.items():
            metrics.QUARANTINED.labels(reason).inc(count)
        metrics.READINGS.labels("stored").inc(stored)
        metrics.READINGS.labels("duplicate").inc(duplicates)
        metrics.UNSET_CLOCKS.inc(decoded.unset_clocks)
        if stored:
            metrics.LAST_READING.set_to_current_time()
