"""`misto board` as a process."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import psycopg

from misto.runtime import PostgresServer
from tests.processes import Process, wait_for


def _board(url: str, log: Path) -> Process:
    return Process("board", log=log, port_setting="board_port", database_url=url, board_language="en")


def test_it_waits_for_the_database_and_stops_cleanly(own_postgres: PostgresServer, tmp_path: Path) -> None:
    own_postgres.stop()
    log = tmp_path / "board.log"
    with _board(own_postgres.url, log) as board:
        wait_for(lambda: board.health()[0] == 503, "the board does not say that its database is away")
        own_postgres.start()
        board.wait_well()
        wait_for(lambda: "there again" in log.read_text(), log.read_text())
        with urllib.request.urlopen(f"http://127.0.0.1:{board.port}/") as page:
            assert b"Nothing needs doing" in page.read()
        with psycopg.connect(own_postgres.url, autocommit=True) as connection:
            beats = connection.execute("SELECT service, beat_at > now() - interval '10 s' FROM service_heartbeat")
            assert beats.fetchall() == [("board", True)]
        assert board.stop() == 0
    told = log.read_text()
    assert told.count("cannot be reached") == 1
    assert "Traceback" not in told


def test_a_schema_that_is_not_its_own_ends_it_with_a_sentence(database_url: str, tmp_path: Path) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE schema_migration SET digest = 'other' WHERE version = 2")
    log = tmp_path / "board.log"
    with _board(database_url, log) as board:
        assert board.wait(30) == 16
    assert "0002_readings was applied with another text" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_a_port_in_use_ends_it_with_a_sentence(database_url: str, tmp_path: Path) -> None:
    log = tmp_path / "second.log"
    with _board(database_url, tmp_path / "first.log") as first:
        first.wait_well()
        with Process("board", log=log, database_url=database_url, board_port=first.port) as second:
            assert second.wait(30) == 1
        assert first.stop() == 0
    assert f"cannot listen on 127.0.0.1:{first.port}" in log.read_text()
    assert "Traceback" not in log.read_text()
