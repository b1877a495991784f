"""What every long-running process has: logging, a clean stop, and `/metrics` with `/healthz`."""

from __future__ import annotations

import gc
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from types import FrameType
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

log = logging.getLogger("misto")

#: Whether the process does its work, and a sentence that says why not.
Health = Callable[[], tuple[bool, str]]


def set_up_logging(level: str) -> None:
    """Log lines to standard error, with time and process name of the logger."""
    logging.basicConfig(
        stream=sys.stderr, level=level.upper(), format="%(asctime)s %(levelname)-7s %(name)s: %(message)s"
    )


def tune_collector() -> None:
    """Let the garbage collector run seldom, and not over what is here already.

    Services make many small tuples that reference counting alone frees; looking through them costs a third to a half of
    all time (docs/decisions/003-speed.md).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 50, 100)


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM, SIGINT and SIGHUP set; a second signal ends the process at once."""
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            sys.exit(128 + number)
        log.info("stopping on %s", signal.Signals(number).name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, on_signal)
    return stop


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the base class names it so)
        log.debug("metrics: " + format, *args)


@contextmanager
def health_server(host: str, port: int, health: Health) -> Iterator[int]:
    """Serve `/metrics` (Prometheus) and `/healthz` (200 or 503 with a sentence); yields the port in use."""
    metrics_app = make_wsgi_app()

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/healthz":
                well, sentence = health()
                status = "200 OK" if well else "503 Service Unavailable"
                start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
                return [f"{sentence}\n".encode()]
            case "/metrics":
                body: Iterable[bytes] = metrics_app(environ, start_response)
                return body
        start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"there is /metrics and /healthz here\n"]

    server = make_server(host, port, app, server_class=_Server, handler_class=_QuietHandler)
    thread = threading.Thread(target=server.serve_forever, name="health", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
