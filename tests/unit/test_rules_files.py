"""Rule files tested and checked like code: the whole timeline, and every mistake at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from misto.cli import app
from rules.selftest import failures
from tests.unit.test_rules import HEAD, rule

WHEN = "    when: {threshold: {metric: fill_level_pct, above: 80, clear_below: 60}}\n    for: 30m\n    keep_firing_for: 1h\n"
TIMELINE = (
    "    tests:\n      - name: its life\n        readings: {fill_level_pct: '70 85 86 50 55 52'}\n"
    "        expect: [{fires: 60m}, {resolves: 150m}]\n"
    "        timeline: [{pending: 30m}, {firing: 60m, value: 86, limit: 80, because: confirmed by a reading},"
    " {recovering: 90m}, {inactive: 150m}]\n"
)


def misto(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["rules", *arguments])
    return done.exit_code, done.output


def test_the_whole_timeline_is_asserted() -> None:
    assert failures(rule(WHEN + TIMELINE)) == []


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("{recovering: 90m}, ", "", "expected the timeline pending at 30m, firing at 60m, inactive at 150m, got"),
        ("pending: 30m", "pending: '0'", "expected the timeline pending at 0m"),
        ("value: 86", "value: 85", "firing at 60m: expected value 85.0, got 86.0"),
        ("because: confirmed by a reading", "because: whim", "expected reason 'whim', got 'confirmed by a reading'"),
        ("{resolves: 150m}", "{resolves: 120m}", "got fires at 60m, resolves at 150m"),
        ("expect: [{fires: 60m}, {resolves: 150m}]", "expect: [{fires: 60m}]", "got fires at 60m, resolves at 150m"),
    ],
)
def test_what_differs_or_is_not_listed_fails(old: str, new: str, sentence: str) -> None:
    (told,) = failures(rule(WHEN + TIMELINE.replace(old, new)))
    assert sentence in told


@pytest.mark.parametrize(
    ("series", "expect"),
    [
        # Without its second reading it fires only by the fourth; the late one moves that.
        ("86 _ _ 86 50 50x2", "[{fires: 90m}, {resolves: 180m}]"),
        ("86 _ _ 86 50 50x2 @late(86, at: 40m, received: 95m)", "[{fires: 90m}, {revised: 40m}, {resolves: 180m}]"),
        ("86 86 @late(50, at: 20m, received: 40m)", "[{fires: 30m}, {retracted: 30m}]"),
        ("86 86 50 _ 50 @late(86, at: 80m, received: 3h)", "[{fires: 30m}, {resolves: 120m}, {reopened: 120m}]"),
        ("86 86 @late(50!, at: 20m, received: 40m)", "[{fires: 30m, severity: warning}]"),
        ("86 86! 86! 40", "[]"),
        ("86 _ 86", "[{fires: 60m}]"),
    ],
)
def test_late_suspect_and_missing_readings(series: str, expect: str) -> None:
    own = f'    max_gap: 2h\n    tests:\n      - {{name: t, readings: {{fill_level_pct: "{series}"}}, expect: {expect}}}\n'
    assert failures(rule(WHEN + own)) == []


@pytest.mark.parametrize(
    ("series", "expect", "sentence"),
    [
        ("86 86", "[{fires: 30m, severity: critical}]", "of severity 'critical', got 'warning'"),
        ("86 86 @late(50, at: 2h, received: 1h)", "[]", "is received before it is measured"),
        ("86 86 @late(50, 2h)", "[]", "'@late(50, 2h)' is no value"),
        ("86 eighty", "[]", "'eighty' is no value"),
        ("86 86 @late(50, at: 20m, received: 40m)", "[{fires: 30m}]", "got fires at 30m, retracted at 30m"),
    ],
)
def test_a_wrong_series_or_severity_is_told(series: str, expect: str, sentence: str) -> None:
    own = f'    tests:\n      - {{name: t, readings: {{fill_level_pct: "{series}"}}, expect: {expect}}}\n'
    (told,) = failures(rule(WHEN + own))
    assert sentence in told


def test_a_suspect_reading_is_heard() -> None:
    silent = '    when: {absent: {misses: 2}}\n    tests:\n      - {name: t, readings: {fill_level_pct: "1 %s 1"}, expect: %s}\n'
    assert failures(rule(silent % ("_x3", "[{fires: 60m}, {resolves: 120m}]"))) == []
    assert failures(rule(silent % ("1!x3", "[]"))) == []


def test_a_moment_has_one_phase(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(HEAD + WHEN + TIMELINE.replace("{pending: 30m}", "{pending: 30m, firing: 40m}"))
    status, told = misto("check", str(file))
    assert status == 1
    assert "own.yaml:15: rules[0].tests[0].timeline[0]: needs exactly one of pending, firing" in told


def test_every_mistake_of_every_file_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("version: 1\nrules: [\n")
    (tmp_path / "b.yaml").write_text(HEAD + "    when: {threshold: {metric: fill_levl, above: 80}}\n    fro: 30m\n")
    (tmp_path / "c.yaml").write_text(
        HEAD.replace("id: one", "id: two") + WHEN + TIMELINE.replace("value: 86", "value: 85")
    )
    status, told = misto("check", str(tmp_path))
    assert status == 1
    assert "a.yaml" in told
    assert "there is no metric 'fill_levl'" in told
    assert "is not a known key here" in told
    assert "expected value 85.0, got 86.0" in told
    assert "note: two has no test in which it rightly stays quiet" in told
    assert "1 rules, 1 tests, 4 mistakes" in told


def test_tests_are_shown_with_their_timeline(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(HEAD + WHEN + TIMELINE)
    assert misto("test", str(file)) == (
        0,
        "passed  one: its life: pending 30m → firing 60m (86) → recovering 90m → inactive 150m (52)\n"
        "1 tests, 0 failed\n",
    )
    file.write_text(HEAD + WHEN + TIMELINE.replace("fires: 60m", "fires: 30m"))
    status, told = misto("test", str(file))
    assert status == 1
    assert told.startswith("FAILED  one: its life: pending 30m")


def test_the_list_needs_no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MISTO_DATABASE_URL", "postgresql://127.0.0.1:1/none")
    status, told = misto("list")
    assert status == 0
    assert "bin-tipped" in told
    assert "Fill level above 80 % (cleared below 65 %), for 30 min." in told
    assert "the database is away" in told
