"""The board's pages about rules: what is in force, and a rule's truth at a point, by the readings in the database."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import httpx
import numpy as np
import psycopg
import pytest

from dashboards.board.app import make_app
from dashboards.board.server import serve
from dashboards.board.visit import BoardConfig
from misto.rules_board import Rules
from rules.applied import digests, take
from rules.loader import shipped_rules
from store import rules_applied
from store.rules_leases import put_in_force
from tests.board_city import build_city, raise_alert

Database = psycopg.Connection[Any]

NOW = datetime.now(UTC).replace(microsecond=0)
HALF = timedelta(minutes=30)
OWN = """version: 1
rules:
  - id: own
    title: {en: "{point}: full", uk: "{point}: повний"}
    sentence: {en: "Above {limit} %.", uk: "Понад {limit} %."}
    advice: {en: "Empty <b>it</b>.", uk: "Спорожніть."}
    source: the council
    scope: {kind: [bin]}
    when: {threshold: {metric: fill_level_pct, above: 50}}
    tests:
      - {name: good, readings: {fill_level_pct: "10 60 10"}, expect: [{fires: 30m}, {resolves: 60m}]}
      - {name: wrong, readings: {fill_level_pct: "10 60 10"}, expect: []}
"""


def in_force(database: Database, author: str, own: str) -> None:
    """As `misto rules apply` and a worker would leave it."""
    version = rules_applied.record(database, author, "", {"own.yaml": own} if own else {})
    put_in_force(database, f"set {version}")
    rules_applied.describe_set(
        database, f"set {version}", version, digests(take(database, shipped_rules, "Europe/Kyiv").rules)
    )


@pytest.fixture
def database_with_rules(database: Database) -> Database:
    build_city(database)
    in_force(database, "Misto", "")
    in_force(database, "Олена", OWN)
    return database


def raise_own(database: Database, code: str) -> int:
    number = raise_alert(database, "bin-overflowing", code)
    database.execute("UPDATE alert_episode SET rule_id = 'own' WHERE episode_id = %s", [number])
    return number


@pytest.fixture
def client(database_url: str) -> Iterator[httpx.Client]:
    config = BoardConfig(database_url, default_language="en", rules=Rules("Europe/Kyiv"))
    with (
        serve(make_app(config), "127.0.0.1", 0) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as browser,
    ):
        yield browser


def text_of(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def readings(database: Database, code: str, values: list[float | None], quality: int = 0) -> None:
    """A fill level every half hour, the last one now; None leaves one out."""
    database.execute(
        "DELETE FROM readings WHERE point_id = (SELECT point_id FROM point WHERE code = %s) AND metric_id = 30", [code]
    )
    for index, value in enumerate(reversed(values)):
        if value is not None:
            database.execute(
                "INSERT INTO readings SELECT %s, point_id, 30, %s, %s FROM point WHERE code = %s",
                [NOW - index * HALF, value, quality, code],
            )


def test_the_list_says_what_each_watches_and_who_changed_it(
    client: httpx.Client, database_with_rules: Database
) -> None:
    raise_own(database_with_rules, "stand-0-0")
    database_with_rules.execute(
        "INSERT INTO alert_feedback (episode_id, verdict, given_by, note)"
        " SELECT episode_id, verdict, 'Olena', '' FROM alert_episode, unnest(ARRAY['false', 'right']) AS verdict"
    )
    html = client.get("/rules").text
    row = next(text_of(part) for part in html.split("<tr>") if 'href="/rules/own"' in part)
    assert re.search(r"own bin: Fill level above 50 %\. 6 1 1 1 of 1 \d\d:\d\d , Олена version 2", row), row
    other = next(text_of(part) for part in html.split("<tr>") if 'href="/rules/bin-overflowing"' in part)
    assert re.search(r" 6 0 0 — \d\d:\d\d , Misto version 1", other), other
    ukrainian = text_of(client.get("/rules", params={"lang": "uk"}).text)
    assert "контейнери: Заповненість понад 50 %." in ukrainian


def test_a_rule_of_an_update_says_so(client: httpx.Client, database_with_rules: Database) -> None:
    rules = digests(take(database_with_rules, shipped_rules, "Europe/Kyiv").rules) | {"bin-overflowing": "another"}
    put_in_force(database_with_rules, "of a newer Misto")
    rules_applied.describe_set(database_with_rules, "of a newer Misto", 2, rules)
    html = client.get("/rules").text
    row = next(text_of(part) for part in html.split("<tr>") if 'href="/rules/bin-overflowing"' in part)
    assert "an update of Misto version 2" in row
    assert html.count("an update of Misto") == 1


def test_a_rule_with_its_words_tests_and_alerts(client: httpx.Client, database_with_rules: Database) -> None:
    number = raise_own(database_with_rules, "stand-0-1")
    page = client.get("/rules/own")
    assert page.status_code == 200
    assert "Empty &lt;b&gt;it&lt;/b&gt;." in page.text
    text = text_of(page.text)
    assert "…: full" in text
    assert "the council" in text
    assert "good ✓ passed firing 30m → inactive 60m" in text
    assert "wrong ✗ failed" in text
    assert "expected nothing, got fires at 30m, resolves at 60m" in text
    assert f'href="/alerts/{number}"' in page.text
    assert re.search(r'<option value="stand-0-1" selected>', page.text), "the point with the last alert comes first"
    alert = client.get(f"/alerts/{number}").text
    link = re.search(r'href="(/rules/own[^"]+)"', alert)
    assert link is not None
    assert client.get(unescape(link[1])).status_code == 200
    for wrong in ("/rules/none", "/rules/%00"):
        assert client.get(wrong).status_code == 404
    for odd in ("?point=none", "?days=9", "?at=x", f"?at={'9' * 18}", "?point=%00"):
        assert client.get(f"/rules/own{odd}").status_code == 200, odd


def test_the_truth_stands_beneath_the_curve(client: httpx.Client, database_with_rules: Database) -> None:
    """Quiet, true from the fifth reading on, then eight hours of nothing, false at the end."""
    readings(database_with_rules, "stand-0-0", [10.0] * 4 + [60.0] * 6 + [None] * 16 + [20.0] * 3)
    course = Rules("Europe/Kyiv").course(database_with_rules, "own", "stand-0-0", NOW - 60 * HALF, NOW)
    assert course is not None
    at = [NOW - index * HALF for index in range(28, -1, -1)]
    gap = timedelta(minutes=90)
    assert [(truth, begin, end) for truth, begin, end in course.spans] == [
        ("unknown", NOW - 60 * HALF, at[0]),
        ("false", at[0], at[4]),
        ("true", at[4], at[9] + gap),
        ("unknown", at[9] + gap, at[26]),
        ("false", at[26], NOW),
    ]
    assert course.alerts == [(at[4], at[26])]
    assert (course.metric, course.limit) == ("fill_level_pct", 50)
    html = client.get("/rules/own?point=stand-0-0&days=2").text
    chart = html[html.index('<figure class="truth">') :]
    for word in ("the condition holds: ", "it does not hold: ", "unknown: ", "the alert is open: "):
        assert f"<title>{word}" in chart, word
    assert "style=" not in html
    # What is suspect is unknown, and a rule that it alone speaks for has nothing to draw.
    readings(database_with_rules, "stand-0-0", [60.0] * 5, quality=2)
    assert Rules("Europe/Kyiv").course(database_with_rules, "own", "stand-0-0", NOW - 60 * HALF, NOW) is None
    assert "no readings in that time" in text_of(client.get("/rules/own?point=stand-0-0").text)
    assert Rules("Europe/Kyiv").course(database_with_rules, "own", "building-0-water", NOW - 60 * HALF, NOW) is None


def test_silence_is_drawn_too(database_with_rules: Database) -> None:
    readings(database_with_rules, "stand-0-0", [10.0] * 4 + [None] * 16 + [20.0] * 3)
    database_with_rules.execute(
        "DELETE FROM readings WHERE metric_id <> 30 AND point_id = (SELECT point_id FROM point WHERE code = 'stand-0-0')"
    )
    course = Rules("Europe/Kyiv").course(database_with_rules, "device-silent", "stand-0-0", NOW - 60 * HALF, NOW)
    assert course is not None
    assert [truth for truth, _, _ in course.spans] == ["unknown", "false", "true", "false"]
    ((fired, ended),) = course.alerts
    assert ended == NOW - 2 * HALF
    assert np.isclose((fired - (NOW - 19 * HALF)).total_seconds(), 4 * 1800)


def test_every_rule_has_a_page_with_every_point(client: httpx.Client, database_with_rules: Database) -> None:
    for rule in Rules("Europe/Kyiv").rules(database_with_rules, "en"):
        for point in [*rule.points][:3] or [""]:
            answer = client.get(f"/rules/{rule.rule_id}", params={"point": point, "lang": "uk", "days": "30"})
            assert answer.status_code == 200, rule.rule_id
            assert "✗" not in answer.text or rule.rule_id == "own"
