"""Private servers for the benchmarks, with fsync on, in a folder that is removed afterwards."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from misto.runtime import Binaries, MosquittoServer, PostgresServer, ensure_binaries
from misto.runtime.binaries import runtime_dir
from misto.settings import Settings
from store.migrate import migrate


def binaries() -> Binaries:
    """The runtime's programs."""
    return ensure_binaries(runtime_dir(Settings().runtime_dir, print), print)


@contextmanager
def folder() -> Iterator[Path]:
    """A folder that a server under another user can reach."""
    path = Path(tempfile.mkdtemp(prefix="misto-bench-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def postgres(path: Path, **settings: str) -> Iterator[PostgresServer]:
    """A migrated database; `settings` are the server's own."""
    server = PostgresServer(binaries(), path / "postgres", settings={"shared_buffers": "1GB"} | settings)
    server.start()
    try:
        migrate(server.url)
        yield server
    finally:
        server.stop()


@contextmanager
def mosquitto(path: Path, extra: str = "") -> Iterator[MosquittoServer]:
    """A broker; `extra` are further lines of its configuration."""
    server = MosquittoServer(binaries(), path / "mosquitto", extra=extra)
    server.start()
    try:
        yield server
    finally:
        server.stop()
