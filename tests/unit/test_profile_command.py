"""`misto profile`: drafts hold as they are, and what is wrong with a profile is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from catalogue.yamlfile import read_yaml
from ingest.profile import load_profile
from ingest.profile_guess import Column, Guess, guess_all
from ingest.profile_neutral import neutral_fields, neutral_topic
from misto.cli import app

EUI = "24e124713d00aa11"
UP = f"application/1/device/{EUI}/event/up"
SHARED = Path(__file__).parents[3] / "shared" / "samples"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MISTO_PROFILES_DIR", "MISTO_ENVELOPES", "MISTO_TIME_ZONE"):
        monkeypatch.delenv(name, raising=False)


def run(*arguments: object, status: int = 0, content: bytes = b"") -> str:
    result = CliRunner().invoke(app, ["profile", *map(str, arguments)], input=content)
    assert result.exit_code == status, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.output


def up(model: str, hour: int, **fields: object) -> str:
    info = {"devEui": EUI, "deviceProfileName": model, "deviceName": "School 5"}
    body = {"deviceInfo": info, "fPort": 5, "time": f"2026-03-02T{hour:02}:00:00Z", "object": fields}
    return json.dumps({"topic": UP, "payload": body})


def odd(hour: int, **more: object) -> str:
    power = 0.5 + (hour % 2) / 10
    return up(
        "Odd 1", hour, total_energy=1000 + hour, odd_power=power, battery=87, sn="A81234567890", mode="eco", **more
    )


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    file = tmp_path / "messages.jsonl"
    file.write_text("\n".join([odd(7), odd(8), odd(9, empty=None, list=[1, 2])]), encoding="utf-8")
    return file


def test_a_draft_holds_as_it_is(recorded: Path, tmp_path: Path) -> None:
    out = tmp_path / "odd-1.yaml"
    assert "2 fields mapped, 5 left for you to look at" in run("new", recorded, "--out", out)
    text = out.read_text(encoding="utf-8")
    file = load_profile(read_yaml(out)).file
    assert (file.id, file.envelopes, file.kind) == ("odd-1", ["lorawan"], "electricity")
    assert {name: spec.metric for name, spec in file.fields.items()} == {
        "total_energy": "energy_kwh", "battery": "battery_pct",
    }  # fmt: skip
    assert file.recognise.names == ["Odd 1"]
    assert file.ignored == ["odd_power", "sn", "mode", "empty", "list"]
    assert file.examples[0].readings == {"energy_kwh": 1009, "battery_pct": 87}
    assert "# odd_power: {metric: power_w, unit: W}  # seen 0.5 to 0.6 in 3 messages, rises and falls" in text
    for secret in (EUI, "A81234567890", "81234567890", "School 5"):
        assert secret not in text
    assert run("test", out).endswith("odd-1: well, 1 example\n")
    assert "is there already; it is not overwritten" in run("new", recorded, "--out", out, status=2)
    assert out.read_text(encoding="utf-8") == text
    assert run("new", recorded).split("version: 1")[1] == text.split("version: 1")[1]


def test_messages_of_another_year_make_a_draft_that_holds(tmp_path: Path) -> None:
    told = {"tst": "2023-03-02T08:00:00Z"} | json.loads(odd(7))
    said = run(
        "new", "-", "--out", tmp_path / "x.yaml", content=json.dumps(told).encode().replace(b"2026-03", b"2023-03")
    )
    assert "does not hold yet" not in said
    assert "well, 1 example" in run("test", tmp_path / "x.yaml")


def test_what_the_user_knows(recorded: Path, tmp_path: Path) -> None:
    out = tmp_path / "odd.yaml"
    run("new", recorded, "--out", out, "--id", "my-odd", "--field", "odd_power=power_w:kW")
    file = load_profile(read_yaml(out)).file
    assert file.id == "my-odd"
    assert file.examples[0].readings["power_w"] == 600
    assert "did you mean power_w" in run("new", recorded, "--field", "odd_power=powerw", status=2)
    assert "'m3' cannot become 'W'" in run("new", recorded, "--field", "odd_power=power_w:m3", status=2)
    assert "have no such field" in run("new", recorded, "--field", "odd=power_w", status=1)


def test_a_register_that_falls_and_values_that_cannot_be() -> None:
    def guess(**values: list[Any]) -> dict[str, Guess]:
        return guess_all({name: Column(name, {"d": given}) for name, given in values.items()})

    def one(name: str, *values: Any) -> Guess:
        return guess(**{name: list(values)})[name]

    assert one("total_energy", 1, 2, 2).sure
    assert not one("total_energy", 3, 2).sure
    assert "it falls" in one("total_energy", 3, 2).note
    assert guess_all({"total_energy": Column("total_energy", {"a": [3, 4], "b": [1, 2]})})["total_energy"].sure
    assert one("humidity", 55).sure
    assert one("humidity", 550).spec["scale"] == 0.1
    assert one("battery", 3.6, 3.5).spec == {"metric": "battery_v", "unit": "V"}
    assert one("voltage", 231).sure
    assert one("voltage", 3.6).spec["metric"] == "battery_v"
    assert not one("voltage", 3.6).sure
    assert one("energy_wh", 5).spec == {} or not one("energy_wh", 5).sure
    assert one("water_total", "12.5 L", "13 L").spec == {"metric": "water_m3", "unit": "L", "suffix": "L"}
    assert one("temperature", "warm").sure is False
    assert one("valve", "open").spec == {}
    assert one("tilted", True, False).sure
    assert not one("tilted", "tilt", "normal").sure
    assert not one("max_temperature", 20).sure
    assert "never falls" in one("consumption_counter", 1, 2, 3).note
    beside = guess(flow=[5], flow_unit=["L/h"])
    assert beside["flow"].spec == {"metric": "flow_m3h", "unit": "L/hour", "unit_from": "flow_unit"}
    assert beside["flow_unit"].note == "the unit of the field beside it"
    twice = guess(power=[5], active_power=[6])
    assert [twice["power"].sure, twice["active_power"].sure] == [True, False]


def test_several_models_go_into_a_folder(tmp_path: Path) -> None:
    lines = "\n".join(
        [odd(7), up("Odd 2", 7, temperature=20.5, humidity=40), up("EM400-MUD", 7, distance=900, battery=5)]
    )
    said = run("new", "-", content=lines.encode(), status=2)
    assert "the messages are of 3 models (EM400-MUD, Odd 1, Odd 2)" in said
    said = run("new", "-", "--out", tmp_path, content=lines.encode())
    assert "the profile milesight-em400-mud reads such messages already" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["em400-mud-2.yaml", "odd-1.yaml", "odd-2.yaml"]
    assert run("test", tmp_path).count(": well, ") == 3
    assert "fields mapped" in run("new", "-", "--model", "Odd 2", "--out", tmp_path / "x.yaml", content=lines.encode())
    assert "did you mean Odd" in run("new", "-", "--model", "Odd", content=lines.encode(), status=2)


def test_what_cannot_be_drafted(tmp_path: Path) -> None:
    undecoded = json.dumps({"deviceInfo": {"devEui": EUI, "deviceProfileName": "Odd 1"}, "data": "AQID", "fPort": 1})
    assert "sends bytes that nobody has decoded" in run("new", "-", "--topic", UP, content=undecoded.encode(), status=1)
    said = run("new", "-", content=up("Odd 3", 7, foo=1, power_of_odd=3).encode(), status=1)
    assert "power_of_odd (power_w? its name has 'power' in it)" in said
    assert "--field" in said
    said = run("new", "-", "--topic", "misto/a/up", content=b'{"power_w": 5}', status=2)
    assert "need no profile: their format says what is what" in said
    assert "left out: neither the topic" in run("new", "-", "--topic", "x", content=b"{}", status=2)


def test_every_draft_of_recorded_samples_holds(tmp_path: Path) -> None:
    lines = []
    for path in sorted(SHARED.glob("*/*.json")):
        told = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(told, dict) and isinstance(told.get("topic"), str) and "payload" in told:
            lines.append(json.dumps({"topic": told["topic"], "payload": told["payload"]}))
    if not lines:
        pytest.skip(f"the recorded samples are not at {SHARED}")
    said = CliRunner().invoke(app, ["profile", "new", "-", "--out", str(tmp_path)], input="\n".join(lines)).output
    assert "does not hold yet" not in said
    assert run("test", tmp_path).count(": well, ") == len(list(tmp_path.iterdir())) > 5


def test_identifiers_become_neutral() -> None:
    fields = {"mac": "AA:BB:CC:DD:EE:FF", "reg": "00012345", "lat": 50.4, "ip": "10.0.0.7", "at": "2026-03-02T07:20:00Z",
              "appKey": "00112233445566778899aabbccddeeff", "v": [f"x {EUI}"], "id": EUI.upper(), "ok": True}  # fmt: skip
    assert neutral_fields(fields, EUI, ["reg"]) == {
        "mac": "00:00:00:00:00:00", "reg": "00012345", "lat": 0, "ip": "0.0.0.0", "at": "2026-03-02T07:20:00Z",
        "appKey": "***", "v": ["x 0000000000000001"], "id": "0000000000000001", "ok": True,
    }  # fmt: skip
    assert neutral_fields({"a.b": 1, "c": {"d.e": 2}, "f": {}, "g": {"h": 3}}, EUI, []) == {"f": {}, "g": {"h": 3}}
    assert neutral_topic(UP, EUI) == "application/1/device/0000000000000001/event/up"
    assert neutral_topic("zigbee2mqtt/Kitchen bin", "kitchenbin") == "zigbee2mqtt/device-1"


WRONG = """version: 1
id: {id}
maker: m
model: m
kind: water
envelopes: [lorawan]
documentation: d
recognise: {{names: [{name}]}}
fields:
  total: {{metric: {metric}, unit: m3}}
examples:
  - {{fields: {{total: 5, more: 1}}, readings: {{water_m3: {value}}}}}
"""


def profile(folder: Path, id_: str, **keys: object) -> Path:
    told = {"id": id_, "name": f"wm {id_}", "metric": "water_m3", "value": 5}
    path = folder / f"{id_}.yaml"
    path.write_text(WRONG.format(**(told | keys)), encoding="utf-8")
    return path


def test_mistakes_have_their_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = run("test", profile(tmp_path, "a", value=7), status=1)
    assert "a.yaml:12: examples[0]: fields, profile given: water_m3: expected 7, got 5" in said
    assert "nobody understands more: map it in fields, or list it in ignored" in said
    said = run("test", profile(tmp_path, "b", metric="watr_m3"), status=1)
    assert (
        "b.yaml:10: fields.total.metric: there is no metric 'watr_m3' in the catalogue; did you mean water_m3" in said
    )
    said = run("test", profile(tmp_path, "c", name="EM400-MUD"), status=1)
    assert "c.yaml:8: recognise.names: milesight-em400-mud has the name 'em400mud' too" in said
    said = run("test", profile(tmp_path, "d", metric="temperature_c"), status=1)
    assert "'m3' cannot become 'degC'" in said
    said = run("test", profile(tmp_path, "e", value=-1), status=1)
    assert "water_m3 -1 is outside of the plausible" in said
    said = run("test", tmp_path, status=1)
    assert all(f"{name}.yaml" in said for name in "abcde")
    (tmp_path / "f.yaml").write_text("id: [", encoding="utf-8")
    assert "f.yaml:1:" in run("test", tmp_path / "f.yaml", status=1)
    city = tmp_path / "city"
    city.mkdir()
    profile(city, "a")
    monkeypatch.setenv("MISTO_PROFILES_DIR", str(city))
    assert "has the same id 'a': give it another" in run("test", tmp_path / "a.yaml", status=1)
    assert "there is no such file or folder" in run("test", tmp_path / "nothing.yaml", status=2)
    (tmp_path / "empty").mkdir()
    assert "there is no profile file" in run("test", tmp_path / "empty", status=2)


def test_the_shipped_profiles_pass(tmp_path: Path) -> None:
    said = run("test", "ingest/profiles/milesight-em400-mud.yaml", "ingest/profiles/nous-a1t-tasmota.yaml")
    assert said.count("; it replaces the shipped one") == 2


def test_list_and_show() -> None:
    assert len(run("list").splitlines()) > 60
    assert [line.split()[0] for line in run("list", "em400-m").splitlines()] == ["milesight-em400-mud"]
    assert "no profile has 'zzz' in it" in run("list", "zzz", status=1)
    shown = run("show", "milesight-em400-mud")
    for words in ("Milesight EM400-MUD, bin", "battery                      pct      → battery_pct (gauge)",
                  "suspect if position equals ['tilt']: distance_mm", "taken from:   milesight, milesight-level",
                  "reads bytes itself, as milesight"):  # fmt: skip
        assert words in shown, words
    assert "did you mean milesight-em400-mud" in run("show", "milesight-em40-mud", status=2)
