"""The Grafana dashboards: fresh, well-formed, and every query gives what its panel needs from a real city."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from dashboards.grafana.build import JSON_FOLDER, build, pages
from dashboards.grafana.kit import DATASOURCE_TYPE

PANELS = {"stat", "timeseries", "table", "bargauge", "geomap"}
UNITS = {"none", "short", "s", "kwatth", "kwatt", "m3", "percent", "currencyUAH", "areaM2", "volt"}
BUILT_IN = {"__from", "__to", "__interval", "__data"}
DASHBOARDS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(JSON_FOLDER.glob("*.json"))}


def every_panel() -> list[Any]:
    return [
        pytest.param(panel, id=f"{uid}: {panel['title']}")
        for uid, content in DASHBOARDS.items()
        for panel in content["panels"]
    ]


def test_the_committed_json_is_what_the_code_builds(tmp_path: Any) -> None:
    built = {path.name: path.read_text(encoding="utf-8") for path in build(tmp_path)}
    committed = {path.name: path.read_text(encoding="utf-8") for path in JSON_FOLDER.glob("*.json")}
    assert built == committed, "run `misto dashboards build` and commit"


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_a_dashboard_is_well_formed(uid: str) -> None:
    content = DASHBOARDS[uid]
    assert content["uid"] == uid
    assert len(uid) <= 40
    assert content["schemaVersion"] >= 42
    assert not content["editable"]
    ids = [panel["id"] for panel in content["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in content["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, f"{panel['title']} overlaps another panel"
        taken |= cells
    text = json.dumps(content)
    for link in re.findall(r"/d/([\w-]+)", text):
        assert link in DASHBOARDS, f"a link leads to {link}, which does not exist"


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_variables_are_defined_and_used(uid: str) -> None:
    content = DASHBOARDS[uid]
    defined = {variable["name"] for variable in content["templating"]["list"]}
    text = json.dumps({**content, "templating": [variable.get("query") for variable in content["templating"]["list"]]})
    used = {name.split(":")[0].split(".")[0] for name in re.findall(r"\$\{([^}]+)\}", text)} - BUILT_IN
    assert used == defined


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_the_sdk_reads_what_it_wrote(uid: str) -> None:
    # Imported only now: the kit, imported above, has taken the SDK's warning about the classic schema.
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models.dashboard import Dashboard

    again = json.loads(json.dumps(Dashboard.from_json(DASHBOARDS[uid]), cls=JSONEncoder))
    for panel, original in zip(again["panels"], DASHBOARDS[uid]["panels"], strict=True):
        assert panel["options"] == original["options"]
        assert panel["fieldConfig"] == original["fieldConfig"]


@pytest.mark.parametrize("panel", every_panel())
def test_a_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    assert panel["type"] in PANELS
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert panel["datasource"] == {"type": DATASOURCE_TYPE, "uid": "${ds}"}
    (target,) = panel["targets"]
    query = target["rawSql"]
    assert target["datasource"]["uid"] == "${ds}"
    assert "$__timeFilter" in query or query.startswith("-- latest"), "limited in time, or said to be the latest"
    assert "select *" not in query.lower()
    for name in re.findall(r"\$\{([^}]+)\}", query):
        assert name.endswith(":sqlstring"), f"{name} goes into SQL unquoted"


# What Grafana's PostgreSQL data source makes of its macros.
def expanded(query: str, values: dict[str, list[str]], days: int = 9) -> str:
    since, until = f"now() - interval '{days} days'", "now()"
    query = re.sub(r"\$__timeFilter\(((?:[^()]|\([^()]*\))*)\)", rf"\1 BETWEEN {since} AND {until}", query)
    query = re.sub(r"\$__timeGroup\(([^,]+), *'(\w+)'\)", r"date_bin('\2', \1, 'epoch')", query)

    def quoted(match: re.Match[str]) -> str:
        return ",".join("'" + value.replace("'", "''") + "'" for value in values[match[1]])

    return re.sub(r"\$\{(\w+):sqlstring\}", quoted, query)


@pytest.fixture(scope="module")
def reader(demo_city_url: str) -> Iterator[psycopg.Connection]:
    """As Grafana sees the city: the role misto_read, with a limit on time."""
    with psycopg.connect(demo_city_url, autocommit=True, options="-c TimeZone=UTC") as connection:
        connection.execute("SET ROLE misto_read")
        connection.execute("SET statement_timeout = '10s'")
        yield connection


@pytest.fixture(scope="module")
def chosen(reader: psycopg.Connection) -> dict[str, list[str]]:
    """Values of the variables, from their own queries, in the order in which they need one another."""
    values = {"lang": ["uk"]}
    for content in DASHBOARDS.values():
        for variable in content["templating"]["list"]:
            if variable["type"] != "query":
                continue
            rows = reader.execute(expanded(variable["query"], values)).fetchall()
            assert rows, f"the variable {variable['name']} has no values"
            assert all(isinstance(row[0], str) and row[1] for row in rows)
            values[variable["name"]] = [row[0] for row in rows] if variable["multi"] else [rows[0][0]]
    # A building and a bin of which there is something to tell.
    told = reader.execute("SELECT site_id FROM alert_list WHERE kind = 'electricity' ORDER BY 1").fetchone()
    assert told is not None
    return values | {"site": [told[0]]}


NEEDS = {"timeseries": {"time"}, "geomap": {"lat", "lon", "value"}, "bargauge": {"name", "value"}}


@pytest.mark.parametrize("panel", every_panel())
def test_a_query_gives_what_its_panel_needs(
    panel: dict[str, Any], reader: psycopg.Connection, chosen: dict[str, list[str]]
) -> None:
    query = expanded(panel["targets"][0]["rawSql"], chosen)
    cursor = reader.execute(query)
    names = [column.name for column in cursor.description or []]
    rows = cursor.fetchall()
    assert rows, "the panel would be empty"
    assert NEEDS.get(panel["type"], set()) <= set(names)
    assert len(set(names)) == len(names)
    if panel["type"] == "timeseries":
        times = [row[names.index("time")] for row in rows]
        assert all(time.tzinfo is not None for time in times)
        assert times == sorted(times)
        numbers = [
            value for row in rows for name, value in zip(names, row, strict=True) if name not in ("time", "metric")
        ]
        assert all(isinstance(value, float) for value in numbers)
    if panel["type"] == "stat":
        assert len(rows) == 1
        assert all(value is not None for value in rows[0]), dict(zip(names, rows[0], strict=True))
    if panel["type"] == "geomap":
        for row in rows:
            assert 48 < row[names.index("lat")] < 50
            assert 24 < row[names.index("lon")] < 25
    for override in panel["fieldConfig"]["overrides"]:
        assert override["matcher"]["options"] in names, "an override names a column that is not there"


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_annotations(uid: str, reader: psycopg.Connection, chosen: dict[str, list[str]]) -> None:
    for annotation in DASHBOARDS[uid].get("annotations", {}).get("list", []):
        query = annotation["target"]["rawSql"]
        every = {"site": "site_id", "bin": "code"}
        rows = 0
        for name in every:
            if f"${{{name}:" in query:
                source = (
                    "SELECT DISTINCT site_id FROM alert_list"
                    if name == "site"
                    else "SELECT code FROM point_place WHERE kind = 'bin'"
                )
                for (value,) in reader.execute(source).fetchall():
                    cursor = reader.execute(expanded(query, {**chosen, name: [value]}))
                    assert {"time", "text", "tags"} <= {column.name for column in cursor.description or []}
                    rows += len(cursor.fetchall())
        assert rows > 0, "no annotation anywhere"


def test_grafana_may_not_read_payloads(reader: psycopg.Connection) -> None:
    reader.execute("SELECT reason FROM quarantine")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        reader.execute("SELECT payload FROM quarantine")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        reader.execute("DELETE FROM alert_ack")


def test_every_page_has_a_file() -> None:
    assert {page.uid for page in pages()} == set(DASHBOARDS)
