"""Pushing the dashboards into a Grafana that the city already has, with grafana-client (the heir of grafana-api)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

#: What Grafana knows the folder by.
FOLDER_UID = "misto"


class PublishError(Exception):
    """Publishing failed; the text says why and what to do."""


@dataclass(frozen=True)
class Published:
    """One dashboard that Grafana has taken."""

    title: str
    url: str


def publish(url: str, token: str, files: list[Path]) -> list[Published]:
    """Create or overwrite the folder and the dashboards; others are left alone. Raises `PublishError`."""
    try:
        from grafana_client.api import GrafanaApi
        from grafana_client.client import GrafanaClientError, GrafanaException, GrafanaUnauthorizedError, TokenAuth
    except ImportError:
        raise PublishError(
            "publishing needs grafana-client; install it with: pip install 'misto[grafana]' "
            "(into an environment of its own: it replaces urllib3)"
        ) from None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise PublishError(f"MISTO_GRAFANA_URL {url!r} is no address; expected https://grafana.example")
    grafana = GrafanaApi(
        auth=TokenAuth(token),
        host=parts.hostname,
        port=parts.port,
        protocol=parts.scheme,
        url_path_prefix=parts.path.strip("/"),
        timeout=15.0,
    )
    try:
        _check_datasource(grafana, url)
        try:
            grafana.folder.get_folder(FOLDER_UID)
        except GrafanaClientError as error:
            if error.status_code != 404:
                raise
            grafana.folder.create_folder("Misto", FOLDER_UID)
        done = []
        for path in files:
            content = json.loads(path.read_text(encoding="utf-8"))
            answer = grafana.dashboard.update_dashboard(
                {
                    "dashboard": content,
                    "folderUid": FOLDER_UID,
                    "overwrite": True,
                    "message": "misto dashboards publish",
                }
            )
            done.append(Published(content["title"], f"{parts.scheme}://{parts.netloc}{answer.get('url', '')}"))
        return done
    except GrafanaUnauthorizedError:
        raise PublishError(
            f"Grafana at {url} refuses the token in MISTO_GRAFANA_TOKEN; make a service account with the role Editor "
            "and take its token"
        ) from None
    except GrafanaException as error:
        raise PublishError(f"Grafana at {url} refuses: {error.message}") from None
    except OSError as error:
        raise PublishError(f"Grafana at {url} cannot be reached: {error}; check MISTO_GRAFANA_URL") from None


def _check_datasource(grafana: object, url: str) -> None:
    """The dashboards name their data source by a variable; there must be one of PostgreSQL to choose."""
    found = grafana.datasource.list_datasources()  # type: ignore[attr-defined]
    if not any(source.get("type") in ("grafana-postgresql-datasource", "postgres") for source in found):
        raise PublishError(
            f"Grafana at {url} has no PostgreSQL data source; add one for the role misto_read "
            "(deploy/grafana/provisioning/datasources/misto.yaml shows how)"
        )
