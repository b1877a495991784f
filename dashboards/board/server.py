"""Serving the board over HTTP, beside whatever else the process does."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp


class BoardError(Exception):
    """Base of what goes wrong with the board itself. Its text is a sentence for a person."""


@contextmanager
def serve(app: ASGIApp, host: str, port: int) -> Iterator[int]:
    """Serve until left; yields the port in use (another than `port` only if that is 0).

    Raises `BoardError` where it cannot listen there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise BoardError(
            f"the board cannot listen on {host}:{port}: {error.strerror}; free it or set MISTO_BOARD_PORT"
        ) from error
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=3,
            ws="none",
        )
    )
    # In a thread of its own uvicorn leaves the signals alone.
    thread = threading.Thread(target=server.run, args=([listener],), name="http", daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        if not server.started:
            raise BoardError("the board could not start; its log says why")
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
