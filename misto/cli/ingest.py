"""`misto ingest`."""

from __future__ import annotations

from typing import Annotated

import typer

from ingest.service import Ingest, IngestConfig
from ingest.session import SessionConfig
from misto.service import health_server, set_up_logging, stop_on_signals, tune_collector
from misto.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("ingest")(ingest)


def ingest(
    leave: Annotated[
        bool,
        typer.Option(
            "--leave",
            help="End the session MISTO_MQTT_CLIENT_ID for good: take nothing new, bring home what waits in it, and "
            "let the broker forget it. Its worker must have stopped.",
        ),
    ] = False,
) -> None:
    """Take readings from the broker into the database until stopped."""
    settings = Settings()
    set_up_logging(settings.log_level)
    stop = stop_on_signals()
    config = IngestConfig(
        database_url=settings.database_url,
        session=SessionConfig(
            url=settings.mqtt_url,
            client_id=settings.mqtt_client_id,
            topics=tuple(topic.strip() for topic in settings.mqtt_topics.split(",") if topic.strip()),
            share=settings.mqtt_share,
            receive_maximum=settings.receive_maximum,
            ca_file=settings.mqtt_ca_file,
        ),
        time_zone=settings.time_zone,
        profiles_dir=settings.profiles_dir,
        envelopes=settings.envelopes,
        batch_messages=settings.batch_messages,
        batch_linger_s=settings.batch_linger_ms / 1000,
        writers=settings.ingest_writers,
    )
    service = Ingest(config, stop)
    tune_collector()
    if leave:
        # Without /metrics: it is short, and may run beside a worker that has the port.
        print(service.leave())
        return
    with health_server(settings.metrics_host, settings.ingest_metrics_port, service.health):
        service.run()
