"""The board in a real headless Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg
import pytest

from dashboards.board.app import make_app
from dashboards.board.server import serve
from dashboards.board.visit import BoardConfig
from misto.rules_board import Rules
from tests.board_city import build_city, raise_alert, some_alerts, some_trouble

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

Database = psycopg.Connection[Any]

PAGES = [
    "/",
    "/alerts/1",
    "/bins",
    "/bins/stand-0-0",
    "/buildings",
    "/buildings/building-0",
    "/devices",
    "/silences",
    "/rules",
    "/rules/bin-overflowing?point=stand-0-0",
    "/nothing",
]

#: The page asks for itself every 10 seconds.
REFRESHED_MS = 25_000


@pytest.fixture
def city(database: Database) -> Database:
    build_city(database)
    return database


@pytest.fixture
def board(database_url: str) -> Iterator[str]:
    """Address of a board on the test's database."""
    with serve(
        make_app(BoardConfig(database_url, default_language="en", rules=Rules("Europe/Kyiv"))), "127.0.0.1", 0
    ) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def complaints(page: Page, board: str) -> Iterator[list[str]]:
    """What the browser complains about, and every request to another host than the board; must stay empty."""
    found: list[str] = []
    page.on("console", lambda said: found.append(f"console: {said.text}") if said.type != "log" else None)
    page.on("pageerror", lambda error: found.append(f"script: {error}"))
    page.on("request", lambda asked: found.append(asked.url) if not asked.url.startswith(f"{board}/") else None)
    yield found
    assert found == []


def test_no_page_complains_or_asks_elsewhere(page: Page, board: str, city: Database, complaints: list[str]) -> None:
    number = some_alerts(city)[0]
    some_trouble(city)
    for path in PAGES:
        page.goto(board + path.replace("/alerts/1", f"/alerts/{number}"))
        assert page.locator("h1").count() == 1
        if path == "/nothing":
            complaints[:] = [said for said in complaints if "status of 404" not in said]


def test_taking_an_alert_over_by_clicking(page: Page, board: str, city: Database, complaints: list[str]) -> None:
    number = raise_alert(city, "bin-overflowing", "stand-0-0")
    page.goto(f"{board}/?kind=bin")
    card = page.locator(f"#alert-{number}")
    card.locator("summary").click()
    card.get_by_label("Your name").fill("Марія")
    card.get_by_label("Note").fill("lorry 7")
    card.get_by_role("button").click()
    page.wait_for_url(f"{board}/?kind=bin")
    assert page.locator("#open .alert").count() == 0
    assert "Марія took it over" in page.locator(f"#acked-{number}").inner_text()
    assert city.execute("SELECT acked_by, note FROM alert_ack").fetchall() == [("Марія", "lorry 7")]


def test_giving_an_alert_back_judging_and_silencing_it(
    page: Page, board: str, city: Database, complaints: list[str]
) -> None:
    number = raise_alert(city, "bin-overflowing", "stand-0-0")
    city.execute("INSERT INTO rule_version (rule_hash, rule_id, definition) VALUES ('hash', 'bin-overflowing', '{}')")
    city.execute("INSERT INTO alert_ack (episode_id, acked_by) VALUES (%s, 'Ann')", [number])
    page.goto(f"{board}/alerts/{number}")
    page.locator("#withdraw summary").click()
    page.locator("#withdraw").get_by_label("Your name").fill("Марія")
    page.locator("#withdraw").get_by_role("button").click()
    page.wait_for_selector("text=Марія gave it back")
    page.locator("#say summary").click()
    page.locator("#say").get_by_role("button", name="False alarm").click()
    page.wait_for_selector("#feedback b")
    assert page.locator("#feedback b").inner_text() == "False alarm"
    page.get_by_role("link", name="Silence this alert here").click()
    page.locator("#add-silence").get_by_label("Why").fill("road works")
    page.get_by_role("button", name="Do not tell").click()
    page.wait_for_selector("#silences li")
    assert "stand-0-0" in page.locator("#silences li").inner_text()
    page.locator("#silences summary").click()
    page.get_by_role("button", name="End it now").click()
    page.wait_for_selector("text=ended by Марія")
    assert city.execute("SELECT verdict, given_by FROM alert_feedback").fetchall() == [("false", "Марія")]


def test_switching_the_language_keeps_the_page(page: Page, board: str, city: Database, complaints: list[str]) -> None:
    page.goto(f"{board}/bins?zone=north")
    assert page.locator("h1").inner_text() == "Bins to empty"
    page.locator("nav.languages a[lang=uk]").click()
    assert page.locator("h1").inner_text() == "Контейнери до вивезення"
    assert "zone=north" in page.url
    page.locator("nav.pages a", has_text="Будівлі").click()
    assert page.locator("html").get_attribute("lang") == "uk"


@pytest.mark.parametrize("language", ["en", "uk"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_every_page_without_scrolling_sideways(
    browser: Browser, board: str, city: Database, language: str, scheme: Any
) -> None:
    number = some_alerts(city)[0]
    some_trouble(city)
    city.execute(
        "INSERT INTO quarantine (received_at, topic, payload, reason, detail, digest) VALUES (now(), %s, %s, 'empty', %s, 'x')",
        ["t" * 300, b"p" * 300, "d" * 300],
    )
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme)
    page = context.new_page()
    for path in PAGES:
        page.goto(f"{board}{path.replace('/alerts/1', f'/alerts/{number}')}?lang={language}")
        page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true; })")
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360, f"{path} is {width} pixels wide"
    context.close()


def test_a_new_alert_appears_by_itself_and_typed_text_stays(
    page: Page, board: str, city: Database, complaints: list[str]
) -> None:
    first = raise_alert(city, "bin-nearly-full", "stand-0-0")
    page.goto(board)
    page.evaluate("window.sameDocument = true")
    card = page.locator(f"#alert-{first}")
    card.locator("summary").click()
    name = card.get_by_label("Your name")
    name.fill("Mar")
    second = raise_alert(city, "bin-overflowing", "stand-0-1", ago=timedelta(minutes=5))
    page.wait_for_selector(f"#alert-{second}", timeout=REFRESHED_MS)
    assert page.evaluate("window.sameDocument") is True
    page.keyboard.type("ia")
    assert name.input_value() == "Maria"
    assert name.evaluate("field => field === document.activeElement")
    assert card.locator("details").get_attribute("open") is not None
    ids = page.locator("#open .alert").evaluate_all("cards => cards.map(card => card.id)")
    assert ids == [f"alert-{second}", f"alert-{first}"]
    assert page.locator("nav.pages .count").inner_text() == "2"
    city.execute("UPDATE alert_episode SET state = 'resolved', resolved_at = now() WHERE episode_id = %s", [second])
    page.wait_for_selector(f"#ended-{second}", timeout=REFRESHED_MS)
    assert page.locator(f"#alert-{second}").count() == 0


def test_a_board_that_cannot_be_reached_is_told(page: Page, database_url: str, city: Database) -> None:
    with serve(make_app(BoardConfig(database_url, default_language="en")), "127.0.0.1", 0) as port:
        page.goto(f"http://127.0.0.1:{port}/bins")
        assert not page.locator("#lost").is_visible()
    page.wait_for_selector("#lost:visible", timeout=REFRESHED_MS)
    assert "cannot be reached" in page.locator("#lost").inner_text()
    assert page.locator("h1").inner_text() == "Bins to empty"


def test_every_page_works_without_scripts(browser: Browser, board: str, city: Database) -> None:
    number = raise_alert(city, "bin-overflowing", "stand-0-0")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{board}/alerts/{number}")
    page.fill("input[name=name]", "Ann")
    page.click("form.ack button")
    assert urlsplit(page.url).path == f"/alerts/{number}"
    assert "Ann took it over" in page.locator("article").inner_text()
    context.close()


_CONTRAST = """
() => {
  const parts = (color) => color.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const color = parts(getComputedStyle(node).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const bad = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.nodeValue.trim());
    if (!own || !node.checkVisibility() || node.closest("svg, .skip, nav.languages a[aria-current]")) continue;
    const [a, b] = [luminance(parts(getComputedStyle(node).color)), luminance(ground(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) bad.push(`${node.tagName}.${node.className}: ${ratio.toFixed(2)}`);
  }
  return [...new Set(bad)];
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(browser: Browser, board: str, city: Database, scheme: Any) -> None:
    """WCAG 2.1, success criterion 1.4.3: at least 4.5 to 1; and every field has its label (1.3.1)."""
    number = some_alerts(city)[0]
    some_trouble(city)
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    for path in PAGES:
        page.goto(board + path.replace("/alerts/1", f"/alerts/{number}"))
        page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true; })")
        assert page.evaluate(_CONTRAST) == [], path
        unnamed = "fields => fields.filter(field => !field.labels.length).map(field => field.name)"
        assert page.locator("input:not([type=hidden]), select").evaluate_all(unnamed) == []
    context.close()
