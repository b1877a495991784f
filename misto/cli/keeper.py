"""`misto keeper`."""

from __future__ import annotations

import typer

from misto.keeper import Keeper, KeeperConfig
from misto.service import health_server, set_up_logging, stop_on_signals
from misto.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("keeper")(keeper)


def keeper() -> None:
    """Derive consumption, collections and forecasts from new readings; drop what is too old. Until stopped."""
    settings = Settings()
    set_up_logging(settings.log_level)
    config = KeeperConfig(
        settings.database_url,
        settings.readings_days,
        settings.log_days,
        settings.quarantine_days,
        settings.quarantine_mb,
    )
    service = Keeper(config, stop_on_signals())
    with health_server(settings.metrics_host, settings.keeper_metrics_port, service.health):
        service.run()
