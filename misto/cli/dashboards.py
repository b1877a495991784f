"""`misto dashboards`: build and publish the Grafana dashboards."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

import dashboards.grafana
from misto.settings import Settings

JSON_FOLDER = Path(dashboards.grafana.__file__).parent / "json"


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(help="The Grafana dashboards.", no_args_is_help=True)
    group.command("build")(build)
    group.command("publish")(publish)
    app.add_typer(group, name="dashboards")


def build() -> None:
    """Write the dashboards' JSON from the code (for developers; needs the extra `dashboards`)."""
    try:
        from dashboards.grafana.build import build as write
    except ImportError:
        print("misto: building needs the extra: pip install 'misto[dashboards]'", file=sys.stderr)
        raise typer.Exit(1) from None
    for path in write(JSON_FOLDER):
        print(path)


def publish() -> None:
    """Push the dashboards into a Grafana that you have: MISTO_GRAFANA_URL, MISTO_GRAFANA_TOKEN."""
    from dashboards.grafana.publish import PublishError
    from dashboards.grafana.publish import publish as push

    settings = Settings()
    if settings.grafana_url is None or settings.grafana_token is None:
        print("misto: set MISTO_GRAFANA_URL and MISTO_GRAFANA_TOKEN (a service account's token)", file=sys.stderr)
        raise typer.Exit(1)
    try:
        for one in push(
            settings.grafana_url, settings.grafana_token.get_secret_value(), sorted(JSON_FOLDER.glob("*.json"))
        ):
            print(f"{one.title}: {one.url}")
    except PublishError as error:
        print(f"misto: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
