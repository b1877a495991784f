"""A TCP line that can be cut, slowed, or left half open."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import socket
import struct
import threading
from typing import Any

_PIECE = 64 * 1024
_SO_ATTACH_FILTER = 26
_LINGER_NONE = struct.pack("ii", 1, 0)


class Line:
    """Listens on a port of 127.0.0.1 and forwards to another. Works in a thread of its own until `close`."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._bytes_per_s = 0.0
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._dead: list[asyncio.StreamWriter] = []
        self._serving: set[asyncio.Task[Any]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="line", daemon=True)
        self._thread.start()
        self.open()

    def open(self) -> None:
        """Take connections (again), at full speed."""
        self._bytes_per_s = 0.0
        if self._server is None:
            self._call(self._listen())

    def refuse(self) -> None:
        """Take no connections, and cut those that stand."""
        self._call(self._stop_listening())
        self.reset()

    def reset(self) -> None:
        """Cut all connections as a router does that has forgotten them (RST to both ends)."""
        self._call(self._reset())

    def slow(self, bytes_per_s: float) -> None:
        """Let through so much a second and direction."""
        self._bytes_per_s = bytes_per_s

    def half_open(self) -> None:
        """Both ends of the connections that stand hear nothing more, not even TCP's acknowledgements; new ones work."""
        self._call(self._half_open())

    def close(self) -> None:
        self._call(self._stop_listening())
        self._call(self._reset())
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    async def _end(self) -> None:
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        # asyncio's own callback takes a cancelled task for a failed one.
        with contextlib.suppress(asyncio.CancelledError):
            await self._forward(reader, writer)
        self._serving.discard(task)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            _abort(writer)
            return
        pair = (writer, far_writer)
        self._pairs.add(pair)
        pumps = [
            asyncio.ensure_future(self._pump(source, target))
            for source, target in ((reader, far_writer), (far_reader, writer))
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            if pair in self._pairs:
                self._pairs.discard(pair)
                for one in pair:
                    with contextlib.suppress(OSError):
                        one.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_PIECE):
                if self._bytes_per_s:
                    await asyncio.sleep(len(data) / self._bytes_per_s)
                writer.write(data)
                await writer.drain()

    async def _reset(self) -> None:
        for pair in list(self._pairs):
            for writer in pair:
                _abort(writer)
        self._pairs.clear()
        for writer in self._dead:
            _abort(writer)
        self._dead.clear()

    async def _half_open(self) -> None:
        for pair in list(self._pairs):
            for writer in pair:
                _deafen(writer)
                self._dead.append(writer)
        self._pairs.clear()


def _abort(writer: asyncio.StreamWriter) -> None:
    plain = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
    writer.transport.abort()


def _deafen(writer: asyncio.StreamWriter) -> None:
    """Drop whatever comes in at the socket before TCP sees it (Linux: a filter that keeps 0 bytes of each packet)."""
    transport: Any = writer.transport
    transport.pause_reading()
    drop_all = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
    program = struct.pack("HL", 1, ctypes.addressof(drop_all))
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
