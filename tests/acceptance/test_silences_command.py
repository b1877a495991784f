"""`misto silences` as a person uses it, beside a real rules worker."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rules.service import RulesConfig, RulesService
from tests.board_city import build_city, raise_alert
from tests.processes import environment, wait_for

Database = psycopg.Connection[Any]


@pytest.fixture
def worker(database_url: str, database: Database) -> Iterator[None]:
    """A rules worker whose rules never judge the alerts of the test."""
    build_city(database, days=1)
    stop = threading.Event()
    service = RulesService(RulesConfig(database_url, lambda local: [], "Europe/Kyiv"), stop)
    thread = threading.Thread(target=service.run)
    thread.start()
    wait_for(lambda: not service.failure, "the rules work")
    wait_for(
        lambda: database.execute("SELECT count(*) FROM rules_partition WHERE holder IS NOT NULL").fetchone() == (64,),
        "the worker holds all",
    )
    yield
    stop.set()
    thread.join(30)


def silences(database_url: str, *arguments: str, status: int = 0) -> str:
    done = subprocess.run(
        [Path(sys.executable).with_name("misto"), "silences", *arguments],
        env=environment(database_url=database_url), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_maintenance_from_beginning_to_end(database_url: str, database: Database, worker: None) -> None:
    said = silences(
        database_url, "add", "--site", "stand-0", "--kind", "bin", "--for", "2d", "--by", "Ann", "--reason", "paving"
    )
    assert "silence 1 holds until" in said
    number = raise_alert(database, "bin-overflowing", "stand-0-0")

    def decided() -> list[tuple[Any, ...]]:
        return database.execute(
            "SELECT kind, withheld_because, withheld_by FROM alert_outbox WHERE episode_id = %s"
            " AND (released_at IS NOT NULL OR withheld_at IS NOT NULL) ORDER BY outbox_id",
            [number],
        ).fetchall()

    wait_for(lambda: decided() == [("firing", "silenced", 1)], "it is withheld")
    said = silences(database_url, "list")
    assert "sites stand-0; kinds bin: paving (Ann)" in said
    assert "1 hold now" in said
    assert "silence 1 has ended" in silences(database_url, "end", "1", "--by", "Bob")
    wait_for(lambda: decided()[1:] == [("firing", None, None)], "it is told when the silence has ended")
    assert "ended by Bob" in silences(database_url, "list")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["add", "--for", "2d", "--reason", "x"], "must say what it is for"),
        (["add", "--site", "nowhere", "--for", "2d", "--reason", "x"], "there is no site 'nowhere'"),
        (["add", "--kind", "cow", "--for", "2d", "--reason", "x"], "there is no kind 'cow'"),
        (["add", "--kind", "bin", "--reason", "x"], "give either --for or --until"),
        (["add", "--kind", "bin", "--for", "long", "--reason", "x"], "expected for example 4h"),
        (["add", "--kind", "bin", "--until", "tomorrow", "--reason", "x"], "is no moment"),
        (["add", "--kind", "bin", "--until", "2020-01-01", "--reason", "x"], "not in the past"),
        (["add", "--label", "x", "--for", "2d", "--reason", "x"], "name=value"),
        (["end", "7"], "there is no silence 7"),
    ],
)
def test_what_cannot_be_is_a_sentence(database_url: str, arguments: list[str], sentence: str) -> None:
    assert sentence in silences(database_url, *arguments, status=1)
