"""A private PostgreSQL with TimescaleDB on the loopback interface."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psycopg

from misto.runtime.binaries import Binaries, server_user
from misto.runtime.errors import ServerFailed
from misto.runtime.process import free_port, spawn, stop, tail, wait_until

# For a laptop: a few hundred MB of memory, and the disk is never lied to (fsync stays on).
_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_preload_libraries": "timescaledb",
    "timescaledb.telemetry_level": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": "100",
    "shared_buffers": "512MB",
    "work_mem": "32MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",
    "default_toast_compression": "lz4",
    "max_locks_per_transaction": "256",
    "log_min_duration_statement": "5s",
}

#: A fast shutdown with a large last checkpoint may take this long.
_PREDECESSOR_S = 30.0


class PostgresServer:
    """One cluster under `folder`; `database` is made at the first start. Superuser `misto` with a random password."""

    def __init__(
        self,
        binaries: Binaries,
        folder: Path,
        *,
        port: int = 0,
        database: str = "misto",
        log: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._bin = binaries.postgres
        self._folder = folder
        self._data = folder / "cluster"
        self._log = log or folder / "postgres.log"
        self._database = database
        self._settings = {**_SETTINGS, **(settings or {})}
        self.port = port or free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def password(self) -> str:
        return (self._folder / "password").read_text(encoding="utf-8").strip()

    @property
    def url(self) -> str:
        return self.url_of(self._database)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def url_of(self, database: str, user: str = "misto") -> str:
        """URL of a database of this server."""
        return f"postgresql://{user}:{self.password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Make the cluster if there is none, start, and wait until it answers. Raises `ServerFailed`."""
        user = server_user()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._check_owner(user)
        if not (self._data / "PG_VERSION").exists():
            self._init(user)
        self._wait_for_predecessor()
        command: list[str | Path] = [self._bin / "postgres", "-D", self._data, "-p", str(self.port)]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        # SIGINT is PostgreSQL's fast shutdown: clients are cut, the data is whole.
        self._process = spawn(command, self._log, user=user, death_signal=signal.SIGINT)
        wait_until(self._answers, self._process, "PostgreSQL", self._log, wait_s=60)
        self._create_database()

    def ended(self) -> int | None:
        """Exit status if it was started and has ended by itself."""
        return self._process.poll() if self._process is not None else None

    def stop(self) -> None:
        """Fast shutdown."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End as a power cut would: immediate shutdown, recovery at the next start."""
        self._end(signal.SIGQUIT)

    def restart(self) -> None:
        """Stop and start on the same port."""
        self.stop()
        self.start()

    def _end(self, number: int) -> None:
        if self._process is not None:
            stop(self._process, number, wait_s=60)
            self._process = None

    def _check_owner(self, user: str | None) -> None:
        expected = os.geteuid() if user is None else pwd.getpwnam(user).pw_uid
        if self._data.exists() and self._data.stat().st_uid != expected:
            raise ServerFailed(
                f"the database in {self._data} was made by another user; start it as that user, remove it with "
                "`make clean` as that user, or set MISTO_RUNTIME_DIR to another folder"
            )

    def _wait_for_predecessor(self) -> None:
        """A server that was left behind a moment ago is still ending; a left lock file may name a process of others."""
        lock = self._data / "postmaster.pid"
        deadline = time.monotonic() + _PREDECESSOR_S
        while lock.exists():
            if not _is_server_of(lock, self._data):
                lock.unlink(missing_ok=True)
            elif time.monotonic() > deadline:
                raise ServerFailed(f"another PostgreSQL runs on {self._data}; stop it first")
            else:
                time.sleep(0.1)

    def _init(self, user: str | None) -> None:
        shutil.rmtree(self._data, ignore_errors=True)
        self._data.mkdir()
        password = self._folder / "password"
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(18) + "\n", encoding="utf-8")
        if user is not None:
            uid = pwd.getpwnam(user).pw_uid
            os.chown(self._data, uid, -1)
            os.chown(password, uid, -1)
        command: list[str | Path] = [
            self._bin / "initdb", "-D", self._data, "-U", "misto", "--pwfile", password, "--auth", "scram-sha-256",
            "--encoding", "UTF8", "--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8",
        ]  # fmt: skip
        if spawn(command, self._log, user=user, cwd=self._folder).wait() != 0:
            raise ServerFailed(f"initdb failed; {self._log} says:\n{tail(self._log)}")

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url_of("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _create_database(self) -> None:
        with psycopg.connect(self.url_of("postgres"), autocommit=True) as connection:
            known = connection.execute("SELECT FROM pg_database WHERE datname = %s", [self._database]).fetchone()
            if known is None:
                name = psycopg.sql.Identifier(self._database)
                connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(name))


def _is_server_of(lock: Path, data: Path) -> bool:
    """True if the process that the lock file names is a server on `data`; where that cannot be seen, too."""
    try:
        pid = int(lock.read_text(encoding="utf-8").split()[0])
    except (OSError, ValueError, IndexError):
        return False
    if not sys.platform.startswith("linux"):
        return True
    try:
        return str(data).encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
