"""A Grafana of this machine, with our data source and dashboards; the board links to it."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import dashboards.grafana
import misto
from misto.demo.supervisor import Service

PROVISIONING = Path(misto.__file__).parents[1] / "deploy" / "grafana" / "provisioning"
_DASHBOARDS = Path(dashboards.grafana.__file__).with_name("json")


def find_grafana(path: str | None = None) -> list[str] | None:
    """The command that starts the Grafana server found on the PATH, or None."""
    for name, arguments in (("grafana", ["server"]), ("grafana-server", [])):
        program = shutil.which(name, path=path)
        if program is not None:
            return [program, *arguments, "--homepath", str(_home_of(Path(program).resolve()))]
    return None


def grafana_service(
    command: list[str], folder: Path, port: int, database_url: str, password: str, environment: Mapping[str, str]
) -> Service:
    """Grafana on the loopback interface; everyone there may look, `password` is that of the role misto_read."""
    database = urlsplit(database_url)
    own = {
        "MISTO_GRAFANA_DB_HOST": f"{database.hostname}:{database.port or 5432}",
        "MISTO_GRAFANA_DB_NAME": database.path.lstrip("/"),
        "MISTO_GRAFANA_DB_SSLMODE": "disable" if database.hostname in {"127.0.0.1", "localhost"} else "require",
        "MISTO_READ_PASSWORD": password,
        "MISTO_GRAFANA_DASHBOARDS": str(_DASHBOARDS),
        "GF_PATHS_PROVISIONING": str(PROVISIONING),
        "GF_PATHS_DATA": str(folder),
        "GF_PATHS_LOGS": str(folder / "log"),
        "GF_PATHS_PLUGINS": str(folder / "plugins"),
        "GF_SERVER_HTTP_ADDR": "127.0.0.1",
        "GF_SERVER_HTTP_PORT": str(port),
        # Whoever sits at this machine may look; to change something, there is no known password.
        "GF_AUTH_ANONYMOUS_ENABLED": "true",
        "GF_SECURITY_ADMIN_PASSWORD": secrets.token_urlsafe(18),
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
        "GF_NEWS_NEWS_FEED_ENABLED": "false",
    }
    folder.mkdir(parents=True, exist_ok=True)
    others = {name: value for name, value in environment.items() if not name.startswith("MISTO_")}
    return Service("grafana", command, port, {**others, **own}, "/api/health")


def _home_of(program: Path) -> Path:
    """The folder with conf/defaults.ini: above the program (archive) or where the packages put it."""
    for home in (program.parents[1], Path("/usr/share/grafana"), Path("/usr/local/share/grafana")):
        if (home / "conf" / "defaults.ini").exists():
            return home
    return program.parents[1]
