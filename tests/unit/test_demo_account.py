"""The judgement at the end of a demo, and what it finds on the machine."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from misto.demo.account import Account, Sent, Stored
from misto.demo.grafana import PROVISIONING, find_grafana, grafana_service
from misto.demo.supervisor import port_for

SENT = Sent(sent=1_010, acknowledged=1_010, garbage=4, duplicates=6, city_time_us=1, caught_up=True)
STORED = Stored(
    messages=1_000,
    readings=7_000,
    readings_in_all=90_000,
    quarantined=4,
    raised=3,
    resolved=2,
    open=5,
    waiting=0,
)
RIGHT = Account(SENT, STORED, lasted=timedelta(minutes=1), covered=timedelta(hours=12))


def test_a_run_in_which_everything_came_through_is_right() -> None:
    assert RIGHT.wrong() == []
    assert RIGHT.is_through()


@pytest.mark.parametrize(
    ("account", "says"),
    [
        (replace(RIGHT, stored=replace(STORED, messages=999)), "1,000 different messages were sent, 999 are stored"),
        (replace(RIGHT, stored=replace(STORED, messages=1_001)), "1,001 are stored"),
        (replace(RIGHT, stored=replace(STORED, quarantined=5)), "4 unreadable messages were sent, 5 are in quarantine"),
        (replace(RIGHT, stored=replace(STORED, quarantined=3)), "3 are in quarantine"),
        (replace(RIGHT, stored=replace(STORED, raised=0)), "0 were raised, 2 resolved"),
        (replace(RIGHT, stored=replace(STORED, resolved=0)), "3 were raised, 0 resolved"),
        (replace(RIGHT, stored=replace(STORED, waiting=2)), "still 2 batches"),
        (replace(RIGHT, sent=replace(SENT, sent=1_011)), "not acknowledged 1 messages"),
        (replace(RIGHT, ended={"rules": 2}), "rules has ended by itself (2 times)"),
    ],
)
def test_whatever_is_not_as_it_must_be_is_said(account: Account, says: str) -> None:
    (sentence,) = account.wrong()
    assert says in sentence


def test_a_minute_without_any_message_is_wrong() -> None:
    nothing = replace(STORED, messages=0, readings=0, quarantined=0)
    silent = Account(Sent(), nothing, lasted=timedelta(minutes=1), covered=timedelta())
    assert silent.wrong() == ["the simulators have sent nothing"]
    assert replace(silent, lasted=timedelta(seconds=5)).wrong() == []


def test_minutes_of_a_city_may_pass_without_an_alert() -> None:
    quiet = replace(RIGHT, stored=replace(STORED, raised=0, resolved=0), covered=timedelta(minutes=3))
    assert quiet.wrong() == []


def test_it_is_not_through_while_something_is_on_its_way() -> None:
    for stored in (
        replace(STORED, messages=999),
        replace(STORED, quarantined=3),
        replace(STORED, waiting=1),
    ):
        assert not replace(RIGHT, stored=stored).is_through()


def test_the_simulators_summary_is_read(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    assert Sent.read(path) is None
    path.write_text(json.dumps({**SENT.__dict__, "by_format": {"plain JSON": 3}}), encoding="utf-8")
    assert Sent.read(path) == SENT
    path.write_text("{", encoding="utf-8")
    assert Sent.read(path) is None


def test_a_taken_port_is_told_and_another_one_used() -> None:
    told: list[str] = []
    assert port_for("board", 8080, told.append, lambda port: True) == 8080
    assert told == []
    port = port_for("board", 8080, told.append, lambda port: False)
    assert port != 8080
    assert told == [f"port 8080 is taken: board uses {port}"]


def test_a_grafana_on_the_path_is_found_with_its_home(tmp_path: Path) -> None:
    assert find_grafana(str(tmp_path)) is None
    program = tmp_path / "grafana-12" / "bin" / "grafana"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    home = tmp_path / "grafana-12"
    (home / "conf").mkdir()
    (home / "conf" / "defaults.ini").touch()
    assert find_grafana(str(program.parent)) == [str(program), "server", "--homepath", str(home)]


def test_grafana_gets_all_that_its_provisioning_asks_for(tmp_path: Path) -> None:
    url = "postgresql://misto:secret@127.0.0.1:5544/city"
    service = grafana_service(["grafana"], tmp_path / "grafana", 3000, url, "read-only", {"PATH": "/bin"})
    given = service.environment
    asked = {
        word.strip("\"'$:,")
        for path in PROVISIONING.rglob("*.yaml")
        for word in path.read_text(encoding="utf-8").split()
        if word.startswith("$")
    }
    assert asked
    assert asked <= set(given)
    assert given["MISTO_GRAFANA_DB_HOST"] == "127.0.0.1:5544"
    assert given["MISTO_GRAFANA_DB_NAME"] == "city"
    assert "secret" not in "".join(given.values()), "Grafana reads with the role misto_read"
    assert list(Path(given["MISTO_GRAFANA_DASHBOARDS"]).glob("*.json"))
