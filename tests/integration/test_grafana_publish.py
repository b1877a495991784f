"""Publishing with the real grafana-client, against a stand-in that answers as Grafana's HTTP API does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from dashboards.grafana.publish import PublishError, publish
from misto.cli.dashboards import JSON_FOLDER

FILES = sorted(JSON_FOLDER.glob("*.json"))


class StandIn(ThreadingHTTPServer):
    """Keeps what was sent; knows the token `right`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folders: list[str] = []
        self.dashboards: dict[str, Any] = {}
        self.sources = [{"type": "grafana-postgresql-datasource", "uid": "misto"}]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: StandIn

    def log_message(self, *unused: Any) -> None:
        pass

    def _answer(self, content: Any, status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _refused(self) -> bool:
        if self.headers.get("Authorization") == "Bearer right":
            return False
        self._answer({"message": "Invalid API key"}, 401)
        return True

    def do_GET(self) -> None:
        if self._refused():
            return
        if self.path == "/api/datasources":
            self._answer(self.server.sources)
        elif self.path == "/api/folders/misto" and "misto" in self.server.folders:
            self._answer({"uid": "misto", "title": "Misto"})
        else:
            self._answer({"message": "not found"}, 404)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._refused():
            return
        if self.path == "/api/folders":
            self.server.folders.append(body["uid"])
            self._answer({"uid": body["uid"]})
        elif self.path == "/api/dashboards/db":
            uid = body["dashboard"]["uid"]
            self.server.dashboards[uid] = body
            self._answer({"uid": uid, "url": f"/d/{uid}", "status": "success"})
        else:
            self._answer({"message": "not found"}, 404)


@pytest.fixture
def grafana() -> Iterator[StandIn]:
    server = StandIn()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_folder_and_dashboards_are_made_and_made_again(grafana: StandIn) -> None:
    for _ in range(2):
        done = publish(grafana.url, "right", FILES)
        assert [one.url for one in done] == [f"{grafana.url}/d/{path.stem}" for path in FILES]
    assert grafana.folders == ["misto"]
    assert set(grafana.dashboards) == {path.stem for path in FILES}
    assert all(body["overwrite"] and body["folderUid"] == "misto" for body in grafana.dashboards.values())


def test_a_wrong_token(grafana: StandIn) -> None:
    with pytest.raises(PublishError, match="refuses the token in MISTO_GRAFANA_TOKEN"):
        publish(grafana.url, "wrong", FILES)


def test_no_data_source(grafana: StandIn) -> None:
    grafana.sources = []
    with pytest.raises(PublishError, match="has no PostgreSQL data source"):
        publish(grafana.url, "right", FILES)


def test_nobody_there() -> None:
    with pytest.raises(PublishError, match="cannot be reached"):
        publish("http://127.0.0.1:1", "right", FILES)


def test_no_address() -> None:
    with pytest.raises(PublishError, match="is no address"):
        publish("grafana.example", "right", FILES)
