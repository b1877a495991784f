"""Severities that move and thresholds from labels, by a rules service on a real database, as the board shows them."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path

import httpx
import numpy as np
import psycopg
import pytest

from dashboards.board.app import make_app
from dashboards.board.server import serve
from dashboards.board.visit import BoardConfig
from rules.loader import read_rules
from rules.service import RulesConfig, RulesService
from store.writer import ReadingBatch, ReadingWriter
from tests.cities import bins, building, found
from tests.processes import wait_for

Connect = Callable[[], psycopg.Connection]
Database = psycopg.Connection
FILL, POWER = 30, 4
GOOD = Path(__file__).parents[1] / "rules" / "good" / "levels.yaml"

BY_LABEL = """\
version: 1
rules:
  - id: power-high
    title: {en: "Above {limit}", uk: "Понад {limit}"}
    sentence: {en: S, uk: Р}
    advice: {en: A, uk: П}
    source: here
    scope: {kind: electricity, site: {not: hospital}, labels: {watched: "*"}}
    when: {threshold: {metric: power_w, above: {label: contract_w, default: 1000}}}
"""


@contextmanager
def running(url: str, *files: Path) -> Iterator[RulesService]:
    stop = threading.Event()
    service = RulesService(RulesConfig(url, lambda local: read_rules(files), "Europe/Kyiv"), stop)
    thread = threading.Thread(target=service.run)
    thread.start()
    try:
        yield service
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


def write(connection: Database, metric: int, point: int, values: list[float], until: float) -> None:
    """One each half hour, the last at `until`."""
    times = until - 1800.0 * np.arange(len(values) - 1, -1, -1)
    ReadingWriter(connection).write(
        ReadingBatch(
            (times * 1e6).astype(np.int64), np.full(len(values), point, np.int32),
            np.full(len(values), metric, np.int16), np.array(values), np.zeros(len(values), np.int16), time.time(),
        )
    )  # fmt: skip


def rows(database: Database, query: str) -> list[tuple[object, ...]]:
    return database.execute(query).fetchall()


def test_a_severity_that_moves_is_stored_and_shown(
    database_url: str, database: Database, new_connection: Connect
) -> None:
    stand = bins(1)
    stand["labels"] = {"lid": "open"}
    points = found(database, stand)
    now = time.time()
    moves = "SELECT from_state, to_state, severity, reason FROM alert_transition ORDER BY transition_id"
    with running(database_url, GOOD):
        write(new_connection(), FILL, points["bin-0"], [70, 82, 84, 97, 90], now - 3600)
        wait_for(lambda: len(rows(database, moves)) == 2, "a raised severity")
        assert rows(database, "SELECT severity, state, title_uk, advice_en FROM alert_episode") == [
            ("critical", "firing", "Stand (укр): 97 %", "Send a lorry today.")
        ]
        write(new_connection(), FILL, points["bin-0"], [86, 84], now)
        wait_for(lambda: len(rows(database, moves)) == 3, "a lowered severity")
    assert rows(database, moves) == [
        ("pending", "firing", "warning", "confirmed by a reading"),
        ("firing", "firing", "critical", "a higher level holds"),
        ("firing", "firing", "warning", "only a lower level still holds"),
    ]
    assert rows(database, "SELECT severity, value, evidence->'limit', advice_en FROM alert_episode") == [
        ("warning", 84.0, 80, "Put it on the next round.")
    ]
    ((episode,),) = rows(database, "SELECT episode_id FROM alert_episode")
    config = BoardConfig(database_url, default_language="en")
    with (
        serve(make_app(config), "127.0.0.1", 0) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as browser,
    ):
        course = [
            " ".join(unescape(re.sub(r"<[^>]*>", " ", row)).split())
            for row in re.findall(r"<tr\b.*?</tr>", browser.get(f"/alerts/{episode}").text, re.DOTALL)
        ]
        ukrainian = browser.get(f"/alerts/{episode}", params={"lang": "uk"}).text
    assert any("critical a higher level holds" in row.lower() for row in course), course
    assert any("warning only a lower level still holds" in row.lower() for row in course), course
    assert "тримається лише нижчий рівень" in ukrainian


def test_a_threshold_comes_from_the_label(
    database_url: str, database: Database, new_connection: Connect, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "own.yaml").write_text(BY_LABEL, encoding="utf-8")

    def city(limit: str) -> dict[str, int]:
        sites = [
            building("hospital", electricity={"labels": {"watched": "yes"}}),
            building("school", electricity={"labels": {"watched": "yes", "contract_w": limit}}),
            building("library", electricity={"labels": {"contract_w": "much"}}),
        ]
        # What a point has not itself, its site has.
        sites[2]["labels"] = {"watched": "yes", "contract_w": "1"}
        points = found(database, *sites)
        database.commit()
        return points

    fired = """SELECT code, alert_list.title_en, alert_list.evidence->'limit', definition->'when'->'threshold'->'above'
               FROM alert_list JOIN alert_episode USING (episode_id) JOIN rule_version USING (rule_hash)
               WHERE alert_list.state = 'firing' ORDER BY code"""
    points = city("5000")
    now = time.time()
    with running(database_url, tmp_path), caplog.at_level("WARNING"):
        for code in ("hospital", "school", "library"):
            write(new_connection(), POWER, points[f"{code}-electricity"], [2000, 6000], now - 60)
        wait_for(lambda: len(rows(database, fired)) == 2, "two alerts")
        assert [row[:3] for row in rows(database, fired)] == [
            ("library-electricity", "Above 1000", 1000),
            ("school-electricity", "Above 5000", 5000),
        ]
        city("7000")
        wait_for(lambda: len(rows(database, fired)) == 1, "the alert below the new limit is resolved")
    told = [record.getMessage() for record in caplog.records if "label" in record.getMessage()]
    assert told[0] == (
        "rule power-high at the point library-electricity: its label contract_w is 'much', which is no number: 1000 holds"
    )
