"""The board's pages over HTTP, on a real TimescaleDB."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
import psycopg
import pytest

from dashboards.board.app import make_app
from dashboards.board.server import BoardError, serve
from dashboards.board.visit import BoardConfig
from misto.rules_board import Rules
from misto.runtime import PostgresServer
from tests.board_city import build_city, heartbeat, point_id, raise_alert, some_alerts, some_trouble
from tests.processes import wait_for

Database = psycopg.Connection[Any]

PAGES = [
    "/",
    "/bins",
    "/bins/stand-0-0",
    "/buildings",
    "/buildings/building-0",
    "/devices",
    "/silences",
    "/rules",
    "/rules/bin-nearly-full",
]


@pytest.fixture
def client(database_url: str) -> Iterator[httpx.Client]:
    """A browser without scripts, at a board on the test's database."""
    config = BoardConfig(
        database_url, default_language="en", grafana_url="https://grafana.example/d/1", rules=Rules("Europe/Kyiv")
    )
    with (
        serve(make_app(config), "127.0.0.1", 0) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as browser,
    ):
        yield browser


@pytest.fixture
def city(database: Database) -> Database:
    """Three buildings, six bins."""
    build_city(database)
    return database


def text_of(html: str) -> str:
    """What a person reads: without tags, entities resolved, blanks as one."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def send(client: httpx.Client, episode: int, **fields: str) -> httpx.Response:
    """Take an alert over with the form of its page; `token` and `origin` replace what the page gives."""
    page = client.get(f"/alerts/{episode}").text
    match = re.search(r'name="token" value="([^"]+)"', page)
    token = fields.pop("token", match[1] if match else "")
    origin = fields.pop("origin", str(client.base_url).rstrip("/"))
    return client.post(
        f"/alerts/{episode}/acknowledge", data={"token": token, "back": "/", **fields}, headers={"Origin": origin}
    )


def acknowledgements(database: Database) -> list[tuple[Any, ...]]:
    return database.execute(
        "SELECT episode_id, acked_by, note, until IS NULL FROM alert_ack ORDER BY ack_id"
    ).fetchall()


# pages


@pytest.mark.parametrize("language", ["en", "uk"])
def test_every_page_answers_in_both_languages(client: httpx.Client, city: Database, language: str) -> None:
    alert = some_alerts(city)[0]
    some_trouble(city)
    for path in [*PAGES, f"/alerts/{alert}"]:
        answer = client.get(path, params={"lang": language})
        assert answer.status_code == 200, f"{path}: {answer.text[:300]}"
        assert f'<html lang="{language}">' in answer.text
        assert ("Івано-Франківськ" if language == "uk" else "Ivano-Frankivsk") in answer.text
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert client.head(path).status_code == 200


@pytest.mark.parametrize("path", ["/", "/bins", "/buildings", "/devices", "/silences"])
@pytest.mark.parametrize("language", ["en", "uk"])
def test_an_empty_database_has_sentences_and_no_error(client: httpx.Client, path: str, language: str) -> None:
    answer = client.get(path, params={"lang": language})
    assert answer.status_code == 200
    assert 'class="empty' in answer.text


def test_hostile_addresses_and_topics_stay_text(client: httpx.Client, city: Database) -> None:
    some_trouble(city)
    title = "<img src=x onerror=alert(3)>"
    number = raise_alert(city, "bin-overflowing", "stand-0-0", title=title)
    city.execute(
        "INSERT INTO alert_ack (episode_id, acked_by, note) VALUES (%s, '<b>Eve</b>', '</q><script>')", [number]
    )
    for path in ("/", f"/alerts/{number}", "/devices", "/bins/stand-0-0"):
        html = client.get(path).text
        assert "<script>" not in html
        assert "<img src=x" not in html
        assert "<b>Eve" not in html
        assert "\u202e" not in html
    assert title in text_of(client.get("/").text)


def test_what_does_not_exist_is_a_page_with_a_sentence(client: httpx.Client, city: Database) -> None:
    for path in (
        "/nothing", "/alerts/99999", f"/alerts/{10**30}", "/bins/none", "/bins/%00", "/buildings/%00x",
        "/buildings/stand-0", "/bins/%FF%FE", "/static/../app.py", "/static/none.css",
    ):  # fmt: skip
        answer = client.get(path)
        assert answer.status_code == 404, path
        assert "There is no such page" in answer.text
        assert "Traceback" not in answer.text
    assert client.post("/bins").status_code == 405
    assert client.get("/?kind=%00&zone=';--&contractor=x&lang=%00").status_code == 200


# alerts


def test_alerts_are_worst_first_with_place_reason_and_advice(client: httpx.Client, city: Database) -> None:
    some_alerts(city)
    html = client.get("/").text
    opened, acknowledged, ended = re.findall(r'<section id="(?:open|acknowledged|ended)".*?</section>', html, re.S)
    assert re.findall(r"<h2><a[^>]*>([^<]*)", opened) == [
        "Bin overflowing",
        "Bin nearly full",
        "Water flows at night",
    ]
    words = text_of(opened)
    assert "3 alerts wait for somebody" in words
    assert "Critical for 2 hours, since" in words.replace("▲ ", "")
    assert "Stand 1, Nezalezhnosti St mixed" in words
    assert "Send a lorry today." in words
    assert "Voltage out of band" in acknowledged
    assert "Оксана took it over" in text_of(acknowledged)
    assert "Телефоную в РЕМ" in acknowledged
    assert "lasted 10 hours" in text_of(ended)


def test_filters_hold_by_kind_zone_and_contractor(client: httpx.Client, city: Database) -> None:
    some_alerts(city)

    def titles(**chosen: str) -> list[str]:
        return re.findall(r"<h2><a[^>]*>([^<]*)", client.get("/", params=chosen).text)

    assert titles(kind="water") == ["Water flows at night"]
    assert titles(zone="north") == ["Bin nearly full"]
    assert titles(contractor="clean", kind="bin") == ["Bin overflowing"]
    assert titles(kind="gas") == []
    assert "No open alert fits this filter" in client.get("/?kind=gas").text


def test_an_alert_shows_its_course_its_evidence_and_its_chart(client: httpx.Client, city: Database) -> None:
    number = some_alerts(city)[0]
    html = client.get(f"/alerts/{number}").text
    words = text_of(html)
    assert "under observation → open" in words
    assert "confirmed by a reading" in words
    assert '<svg xmlns="http://www.w3.org/2000/svg" class="chart"' in html
    assert "limit: 95" in words
    water = client.get(f"/alerts/{some_alerts_water(city)}", params={"lang": "uk"}).text
    assert "вода, за годину, м³" in text_of(water)


def some_alerts_water(city: Database) -> int:
    row = city.execute("SELECT episode_id FROM alert_episode WHERE rule_id = 'water-night-flow'").fetchone()
    assert row is not None
    return int(row[0])


def test_taking_an_alert_over(client: httpx.Client, city: Database) -> None:
    number = raise_alert(city, "bin-overflowing", "stand-0-0")
    answer = send(client, number, name=" Марія \n Коваль ", note="lorry 7", hours="0")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert acknowledgements(city) == [(number, "Марія Коваль", "lorry 7", True)]
    page = client.get("/").text
    assert "Nothing needs doing" in page
    assert "Марія Коваль took it over" in page
    assert 'value="Марія Коваль"' in client.get(f"/alerts/{number}").text
    assert send(client, number, name="Ann", hours="4").status_code == 303
    assert acknowledgements(city)[1] == (number, "Ann", "", False)


def test_an_alert_comes_back_when_its_time_is_over(client: httpx.Client, city: Database) -> None:
    number = raise_alert(city, "bin-overflowing", "stand-0-0")
    send(client, number, name="Ann", hours="4")
    assert "1 alert waits" not in client.get("/").text
    city.execute("UPDATE alert_ack SET until = now() - interval '1 second'")
    assert "1 alert waits" in client.get("/").text


@pytest.mark.parametrize(
    ("fields", "status", "sentence"),
    [
        ({"name": "Eve", "origin": "https://evil.example"}, 403, "did not come from the board"),
        ({"name": "Eve", "origin": "null"}, 403, "did not come from the board"),
        ({"name": "Eve", "token": "x" * 43}, 403, "out of date"),
        ({"name": "Eve", "token": "ї"}, 403, "out of date"),
        ({"name": " \n\t"}, 400, "Write your name"),
        ({"name": "x" * 81}, 400, "80 characters"),
        ({"name": "Eve", "note": "x" * 1001}, 400, "1,000"),
    ],
)
def test_a_form_that_is_refused_writes_nothing(
    client: httpx.Client, city: Database, fields: dict[str, str], status: int, sentence: str
) -> None:
    number = raise_alert(city, "bin-overflowing", "stand-0-0")
    answer = send(client, number, **fields)
    assert answer.status_code == status
    assert sentence in answer.text
    assert acknowledgements(city) == []


def test_a_form_without_the_cookie_of_a_page_is_refused(client: httpx.Client, city: Database) -> None:
    number = raise_alert(city, "bin-overflowing", "stand-0-0")
    origin = str(client.base_url).rstrip("/")
    answer = client.post(f"/alerts/{number}/acknowledge", data={"token": "", "name": "Eve"}, headers={"Origin": origin})
    assert answer.status_code == 403
    assert client.post(f"/alerts/{number}/acknowledge", content=b"x" * 100_000).status_code == 413
    assert acknowledgements(city) == []


def test_an_alert_that_has_ended_cannot_be_taken_over(client: httpx.Client, city: Database) -> None:
    number = raise_alert(city, "bin-overflowing", "stand-0-0")
    client.get(f"/alerts/{number}")
    other = raise_alert(city, "bin-nearly-full", "stand-0-1")
    city.execute("UPDATE alert_episode SET state = 'resolved', resolved_at = now() WHERE episode_id = %s", [number])
    page = client.get(f"/alerts/{other}").text
    token = re.search(r'name="token" value="([^"]+)"', page)
    assert token is not None
    answer = send(client, number, name="Ann", token=token[1])
    assert answer.status_code == 409
    assert "ended already" in answer.text
    assert client.get(f"/alerts/{number}/acknowledge").headers["location"] == f"/alerts/{number}"


# bins and buildings


def test_bins_come_soonest_full_first(client: httpx.Client, city: Database) -> None:
    for code, level, hours in (
        ("stand-0-0", 50, 30),
        ("stand-0-1", 99, None),
        ("stand-0-2", 70, 5),
        ("stand-0-3", 20, None),
    ):
        number = point_id(city, code)
        city.execute("UPDATE point_latest SET value = %s WHERE point_id = %s AND metric_id = 30", [level, number])
        city.execute(
            "UPDATE bin_forecast SET full_at = now() + %s WHERE point_id = %s",
            [None if hours is None else timedelta(hours=hours), number],
        )
    city.execute("DELETE FROM point_latest WHERE point_id = %s", [point_id(city, "stand-1-0")])
    city.execute(
        "DELETE FROM bin_forecast WHERE point_id IN (%s, %s)",
        [point_id(city, "stand-1-0"), point_id(city, "stand-1-1")],
    )
    html = client.get("/bins?zone=centre").text
    assert re.findall(r'<th scope="row"><a href="/bins/([^"]+)"', html) == [
        "stand-0-1", "stand-0-2", "stand-0-0", "stand-0-3",
    ]  # fmt: skip
    assert "full now" in html
    assert "no forecast" in html
    assert "no reading" in client.get("/bins?contractor=green").text
    assert client.get("/bins?fraction=plastic").text.count('<tr id="bin-') == 2


def test_a_bin_shows_when_it_was_emptied(client: httpx.Client, city: Database) -> None:
    city.execute("DELETE FROM collection")
    city.execute("INSERT INTO collection VALUES (%s, now() - interval '3 days', 91, 5)", [point_id(city, "stand-0-0")])
    html = client.get("/bins/stand-0-0").text
    assert "emptied: 91%" in html
    assert re.search(r'<td class="num">91%</td><td class="num">5%</td>', html)


def test_consumption_is_that_of_the_citys_days(client: httpx.Client, city: Database) -> None:
    """1 m³ in each hour: 24 on each full day, and from midnight of the city until now today."""
    number = point_id(city, "building-0-water")
    city.execute("DELETE FROM consumption_hourly WHERE point_id = %s", [number])
    city.execute(
        """
        INSERT INTO consumption_hourly
        SELECT bucket, %s, 25, CASE WHEN bucket >= (today - 30)::timestamp AT TIME ZONE 'Europe/Kyiv' THEN 1 ELSE 2 END, 0
        FROM (SELECT (now() AT TIME ZONE 'Europe/Kyiv')::date AS today) AS t,
             generate_series((today - 60)::timestamp AT TIME ZONE 'Europe/Kyiv',
                             today::timestamp AT TIME ZONE 'Europe/Kyiv' + interval '30 minutes', interval '1 hour') AS bucket
        """,
        [number],
    )
    hours = city.execute(
        "SELECT count(*) FROM consumption_hourly WHERE point_id = %s AND amount = 1"
        " AND bucket < (now() AT TIME ZONE 'Europe/Kyiv')::date::timestamp AT TIME ZONE 'Europe/Kyiv'",
        [number],
    ).fetchone()
    assert hours is not None
    html = client.get("/buildings/building-0").text
    row = next(part for part in html.split("<tr>") if "water" in part and "data-label" in part)
    cells = [cell.replace("\N{NO-BREAK SPACE}", " ") for cell in re.findall(r"<td[^>]*>(?:<[^>]*>)?([^<]*)", row)]
    assert cells == [
        "1 m³", "32 UAH", f"{hours[0]} m³", f"{hours[0] * 32:,} UAH", f"{hours[0] / 1200:.2g} m³", "▼ 50% less",
    ]  # fmt: skip
    assert hours[0] in (719, 720, 721)


def test_a_price_holds_from_its_day(client: httpx.Client, city: Database) -> None:
    city.execute("DELETE FROM consumption_hourly WHERE point_id <> %s", [point_id(city, "building-0-water")])
    city.execute("UPDATE consumption_hourly SET amount = 1")
    city.execute("INSERT INTO tariff VALUES ('water', (now() AT TIME ZONE 'Europe/Kyiv')::date - 10, 64)")
    words = text_of(client.get("/buildings/building-0").text).replace("\N{NO-BREAK SPACE}", " ")
    days = 20 * 24 * 32 + 10 * 24 * 64
    # An hour more or less where the clocks were changed.
    assert any(f"{days + 32 * hour:,} UAH" in words for hour in (-1, 0, 1))


# devices and the service itself


def test_a_buildings_rooms_tell_their_climate(client: httpx.Client, city: Database) -> None:
    city.execute(
        "INSERT INTO point (code, site_id, kind, name_en, name_uk, interval_s)"
        " VALUES ('room-12', 'building-0', 'indoor', 'Room 12', 'Кабінет 12', 900),"
        " ('room-13', 'building-0', 'indoor', 'Room 13', 'Кабінет 13', 900)"
    )
    city.execute(
        "INSERT INTO point_latest SELECT %s, metric_id, now(), value, 0, now() FROM metric"
        " JOIN (VALUES ('temperature_c', 26.5), ('co2_ppm', 1450), ('battery_pct', 97)) AS v (name, value) USING (name)",
        [point_id(city, "room-12")],
    )
    page = text_of(client.get("/buildings/building-0").text)
    assert "Room 12: Temperature 26.5 °C ; " in page
    assert "1,450 ppm" in page
    assert "97" not in page.split("Room 12")[1]
    assert "Room 13: no reading yet" in page
    assert "Room" not in text_of(client.get("/buildings/building-1").text)


def test_devices_that_need_somebody(client: httpx.Client, city: Database) -> None:
    some_trouble(city)
    html = client.get("/devices").text
    words = text_of(html)
    assert words.count("2 days ago") == 2
    assert "seems to be a bin sensor, profile milesight-em400-mud" in words
    assert "Fill level 62%" in words.replace("\N{NO-BREAK SPACE}", " ")
    assert "- id: new-24e124713c140099" in words
    assert "11%" in words
    assert "tamper" in words
    assert "not JSON not_json 2" in words
    assert "ff fe 00 01 4 bytes" in words


def test_a_service_that_died_is_told_on_every_page(client: httpx.Client, city: Database) -> None:
    assert 'class="warnings"' not in client.get("/").text
    heartbeat(city, "rules", timedelta(minutes=2))
    city.execute("UPDATE device_status SET last_received_at = now() - interval '2 hours'")
    for path in PAGES:
        words = text_of(client.get(path).text)
        assert "The service “rules” has not been heard from since" in words
        assert "No reading has come in since" in words


def test_the_log_readers_lag_is_told(client: httpx.Client, city: Database) -> None:
    city.execute(
        "INSERT INTO reading_log (received_at, reading_count, times_us, point_ids, metric_ids, values, qualities)"
        " VALUES (now() - interval '5 min', 1, '{1}', '{1}', '{1}', '{1}', '{0}')"
    )
    assert "1 batch, 5 minutes" in text_of(client.get("/devices").text)


def test_language_stays_once_chosen(client: httpx.Client, city: Database) -> None:
    def language(**headers: str) -> str:
        match = re.search(r'<html lang="(..)"', client.get("/bins", headers=headers).text)
        assert match is not None
        return match[1]

    assert language() == "en"
    assert language(**{"Accept-Language": "uk-UA,uk;q=0.9"}) == "uk"
    client.get("/bins?lang=uk")
    assert language(**{"Accept-Language": "en"}) == "uk"
    assert 'href="/bins?zone=north&amp;lang=en"' in client.get("/bins?zone=north&lang=uk").text


def test_health_and_metrics(client: httpx.Client, city: Database) -> None:
    assert client.get("/healthz").status_code == 200
    client.get("/bins")
    lines = client.get("/metrics").text
    assert re.search(r'misto_board_requests_total\{page="bins",status="200"\} [1-9]', lines)
    assert 'misto_board_request_duration_seconds_count{page="bins"}' in lines
    assert 'href="https://grafana.example/d/1"' in client.get("/").text


def test_the_role_of_the_board_is_enough(database_url: str, city: Database) -> None:
    number = some_alerts(city)[0]
    some_trouble(city)
    city.execute("ALTER ROLE misto_board PASSWORD 'for-this-test'")
    parts = urlsplit(database_url)
    host = parts.netloc.rpartition("@")[2]
    url = urlunsplit(parts._replace(netloc=f"misto_board:for-this-test@{host}"))
    with (
        serve(make_app(BoardConfig(url, default_language="en", rules=Rules("Europe/Kyiv"))), "127.0.0.1", 0) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as browser,
    ):
        for path in [*PAGES, f"/alerts/{number}"]:
            assert browser.get(path).status_code == 200, path
        assert send(browser, number, name="Ann").status_code == 303
    with psycopg.connect(url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("UPDATE alert_episode SET state = 'resolved'")


def test_an_error_of_the_board_shows_no_stack(client: httpx.Client, city: Database) -> None:
    city.execute("DROP VIEW bin_status; CREATE VIEW bin_status AS SELECT 1 AS nothing")
    answer = client.get("/bins")
    assert answer.status_code == 500
    assert "Something went wrong" in answer.text
    assert "bin_status" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_a_port_in_use_is_a_sentence(database_url: str) -> None:
    app = make_app(BoardConfig(database_url))
    with (
        serve(app, "127.0.0.1", 0) as port,
        pytest.raises(BoardError, match=rf"cannot listen on 127\.0\.0\.1:{port}: .*MISTO_BOARD_PORT"),
        serve(app, "127.0.0.1", port),
    ):
        pass


def test_the_database_goes_away_and_comes_back(own_postgres: PostgresServer) -> None:
    with psycopg.connect(own_postgres.url, autocommit=True) as connection:
        build_city(connection, buildings=1, bins=2, days=3)
    with (
        serve(make_app(BoardConfig(own_postgres.url, default_language="uk")), "127.0.0.1", 0) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as browser,
    ):
        assert browser.get("/bins").status_code == 200
        own_postgres.stop()
        for path in ("/", "/bins", "/bins/stand-0-0"):
            answer = browser.get(path)
            assert answer.status_code == 503
            assert "База даних недоступна" in answer.text
            assert answer.headers["retry-after"] == "10"
            assert "Traceback" not in answer.text
        assert browser.get("/healthz").status_code == 503
        assert browser.get("/static/board.css").status_code == 200
        own_postgres.start()
        wait_for(lambda: browser.get("/bins").status_code == 200, "the board did not come back")
        assert browser.get("/healthz").status_code == 200


# what people do about alerts


def post(client: httpx.Client, page: str, path: str, **fields: str) -> httpx.Response:
    """Send a form of a page."""
    match = re.search(r'name="token" value="([^"]+)"', client.get(page).text)
    assert match is not None
    origin = str(client.base_url).rstrip("/")
    return client.post(path, data={"token": match[1], "name": "Ann", **fields}, headers={"Origin": origin})


def test_who_took_an_alert_over_can_give_it_back(client: httpx.Client, city: Database) -> None:
    number = raise_alert(city, "bin-overflowing", "stand-0-0")
    page = f"/alerts/{number}"
    assert post(client, page, f"{page}/withdraw").status_code == 409
    send(client, number, name="Ann")
    assert post(client, page, f"{page}/withdraw", name="Bob", note="wrong lorry").status_code == 303
    assert "1 alert waits" in client.get("/").text
    words = text_of(client.get(page).text)
    assert "Bob gave it back wrong lorry" in words
    assert "Bob took it over" not in words
    assert client.get(f"{page}/withdraw").headers["location"] == page


def test_feedback_is_kept_and_can_be_changed(client: httpx.Client, city: Database) -> None:
    number = raise_alert(city, "bin-overflowing", "stand-0-0", resolved_ago=timedelta(hours=1))
    page = f"/alerts/{number}"
    assert post(client, page, f"{page}/feedback", verdict="right").status_code == 303
    assert post(client, page, f"{page}/feedback", verdict="false", note="a bird").status_code == 303
    assert post(client, page, f"{page}/feedback", verdict="maybe").status_code == 400
    assert post(client, page, "/alerts/9999999/feedback", verdict="right").status_code == 404
    words = text_of(client.get(page).text)
    assert "False alarm Ann" in words
    assert "a bird" in words
    assert "It was right, dealt with Ann" in words
    row = city.execute("SELECT was_right, was_false FROM rule_feedback WHERE rule_id = 'bin-overflowing'").fetchone()
    assert row == (0, 1)


def test_a_silence_is_added_from_an_alert_and_ended(client: httpx.Client, city: Database) -> None:
    number = raise_alert(city, "bin-overflowing", "stand-0-0")
    city.execute("INSERT INTO rule_version (rule_hash, rule_id, definition) VALUES ('hash', 'bin-overflowing', '{}')")
    link = re.search(r'href="(/silences\?[^"]+)"', client.get(f"/alerts/{number}").text)
    assert link is not None
    form = client.get(unescape(link[1])).text
    assert 'value="bin-overflowing" selected' in form
    assert 'value="stand-0-0"' in form
    answer = post(client, "/silences", "/silences", rule="bin-overflowing", point="stand-0-0", hours="24", note="works")
    assert answer.status_code == 303
    words = text_of(client.get("/silences").text)
    assert "holds now" in words
    assert "Rule: bin-overflowing ; Point (its id): stand-0-0" in words
    assert "works Ann" in words
    silence = city.execute("SELECT silence_id FROM silence WHERE ends_at > now() + interval '23 hours'").fetchone()
    assert silence is not None
    path = f"/silences/{silence[0]}/end"
    assert post(client, "/silences", path, name="Bob").status_code == 303
    assert post(client, "/silences", path, name="Bob").status_code == 409
    assert "ended by Bob" in text_of(client.get("/silences").text)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"point": "stand-0-0"}, "Write why"),
        ({"note": "x"}, "Say what is not to be told"),
        ({"note": "x", "point": "nowhere"}, "nothing called “nowhere”"),
        ({"note": "x", "point": "stand-0-0", "begins": "2020-01-01T10:00"}, "The time is not right"),
        ({"note": "x", "point": "stand-0-0", "begins": "soon"}, "The time is not right"),
        ({"note": "x", "labels": "school"}, "“school” is not"),
    ],
)
def test_a_silence_that_cannot_be_is_a_sentence(
    client: httpx.Client, city: Database, fields: dict[str, str], sentence: str
) -> None:
    answer = post(client, "/silences", "/silences", **fields)
    assert answer.status_code == 400
    assert sentence in text_of(answer.text)
    assert city.execute("SELECT count(*) FROM silence").fetchone() == (0,)


def test_silenced_and_hidden_alerts_stand_aside(client: httpx.Client, city: Database) -> None:
    cause = raise_alert(city, "bin-overflowing", "stand-0-0")
    hidden = raise_alert(city, "bin-nearly-full", "stand-0-0")
    silenced = raise_alert(city, "bin-nearly-full", "stand-0-1")
    city.execute(
        "INSERT INTO silence (points, ends_at, author, reason) VALUES ('{stand-0-1}', now() + interval '1 h', 'A', 'B')"
    )
    city.execute(
        "INSERT INTO alert_mark (episode_id, kind, begun, cause) SELECT %s, 'inhibited', true, %s"
        " UNION ALL SELECT %s, 'silenced', true, max(silence_id) FROM silence",
        [hidden, cause, silenced],
    )
    html = client.get("/").text
    assert "1 alert waits" in html
    assert f'id="alert-{hidden}"' not in html
    assert re.search(rf'id="alert-{cause}".*id="folded-{cause}".*id="hidden-{hidden}"', html, re.S)
    assert f'id="silenced-{silenced}"' in html
    assert "hidden by its cause" in text_of(client.get(f"/alerts/{hidden}").text)
