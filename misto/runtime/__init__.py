"""The embedded runtime: a private PostgreSQL with TimescaleDB and a private Mosquitto, without root or Docker."""

from misto.runtime.binaries import Binaries, ensure_binaries
from misto.runtime.errors import Interrupted, RuntimeUnavailable, ServerFailed
from misto.runtime.mosquitto import MosquittoServer
from misto.runtime.postgres import PostgresServer

__all__ = [
    "Binaries",
    "Interrupted",
    "MosquittoServer",
    "PostgresServer",
    "RuntimeUnavailable",
    "ServerFailed",
    "ensure_binaries",
]
