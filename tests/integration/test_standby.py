"""A standby takes the place of the database: rules workers go on there, and each alert is made once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from misto.runtime import Binaries, PostgresServer
from misto.runtime.binaries import server_user
from misto.runtime.process import spawn
from store.connection import connect
from store.migrate import migrate
from store.reading_log import lag
from store.rules_leases import worker_list
from store.writer import ReadingWriter
from tests.cities import bins, found
from tests.conftest import _FAST
from tests.processes import Process, wait_for
from tests.straight import Stream, alerts_in, straight

BINS, ROUNDS = 60, 80


def standby_of(primary: PostgresServer, binaries: Binaries, folder: Path) -> PostgresServer:
    """A copy of the primary that follows it; every commit waits for it."""
    folder.mkdir()
    password = folder / "password"
    password.write_text(primary.password)
    (folder / "cluster").mkdir(mode=0o700)
    user = server_user()
    for path in (folder, password, folder / "cluster"):
        if user is not None:
            shutil.chown(path, user)
    copied = spawn(
        [binaries.postgres / "pg_basebackup", "-D", folder / "cluster", "-R", "-X", "stream", "-c", "fast", "-d",
         primary.url_of("postgres")],
        folder / "copy.log", user=user,
    )  # fmt: skip
    assert copied.wait(60) == 0, (folder / "copy.log").read_text()
    standby = PostgresServer(binaries, folder, settings=_FAST)
    standby.start()
    with psycopg.connect(primary.url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        connection.execute("SELECT pg_reload_conf()")
        state = "SELECT sync_state FROM pg_stat_replication"
        wait_for(lambda: connection.execute(state).fetchall() == [("sync",)], "the standby follows")
    return standby


@pytest.fixture
def reference(empty_database_url: str) -> Iterator[psycopg.Connection]:
    migrate(empty_database_url)
    with psycopg.connect(empty_database_url, autocommit=True, options="-c TimeZone=UTC") as connection:
        yield connection


def test_the_rules_go_on_with_the_standby(
    own_postgres: PostgresServer, binaries: Binaries, server_folder: Path, reference: psycopg.Connection, tmp_path: Path
) -> None:
    with psycopg.connect(own_postgres.url, autocommit=True) as connection:
        points = found(connection, bins(BINS))
    stream = Stream([points[f"bin-{n}"] for n in range(BINS)], ROUNDS, seed=7)
    standby = standby_of(own_postgres, binaries, server_folder / "standby")
    places = [urlsplit(server.url) for server in (own_postgres, standby)]
    hosts = ",".join(place.netloc.rpartition("@")[2] for place in places)
    url = f"postgresql://misto:{own_postgres.password}@{hosts}/misto?target_session_attrs=read-write"

    def write(rounds: range) -> None:
        with connect(url, service="test") as connection:
            writer = ReadingWriter(connection)
            for number in rounds:
                stream.write(writer, number)

    with ExitStack() as stack:
        stack.callback(standby.stop)
        logs = [tmp_path / f"{name}.log" for name in ("one", "other")]
        processes = [
            stack.enter_context(
                Process(
                    "rules", "run", log=log, port_setting="rules_metrics_port", database_url=url, rules_worker=log.stem
                )
            )
            for log in logs
        ]
        for process in processes:
            process.wait_well()
        write(range(40))
        own_postgres.kill()
        with psycopg.connect(standby.url, autocommit=True, options="-c TimeZone=UTC") as database:
            database.execute("SELECT pg_promote()")
            write(range(40, len(stream.rounds)))

            def told() -> str:
                return "\n".join(log.read_text()[-1500:] for log in logs)

            wait_for(lambda: lag(database, "rules").batches == 0, f"all is judged: {told()}", 60)
            wait_for(
                lambda: sorted(one.partitions for one in worker_list(database) if one.alive) == [32, 32],
                f"both have their share: {told()}", 60,
            )  # fmt: skip
            for process in processes:
                assert process.stop() == 0
            assert alerts_in(database) == straight(database, reference, bins(BINS))
            assert "Traceback" not in told()
