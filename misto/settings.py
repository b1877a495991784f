"""All settings, each from an environment variable `MISTO_…`; docs/configuration.md lists them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, FilePath, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def _mqtt_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        right = parts.scheme in ("mqtt", "mqtts") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right = False
    if not right:
        raise ValueError("is no address of a broker; expected mqtt://user:password@host:port, or mqtts:// for TLS")
    return text


def _time_zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (OSError, ValueError, KeyError):  # KeyError: ZoneInfoNotFoundError
        raise ValueError("is no time zone; expected a name such as Europe/Kyiv") from None
    return text


class Settings(BaseSettings):
    """Every field is the variable `MISTO_` + its name in capitals. Unknown MISTO_ variables are reported by doctor."""

    model_config = SettingsConfigDict(env_prefix="MISTO_", frozen=True)

    database_url: str = Field(
        default="postgresql:///misto",
        description="Where PostgreSQL is: postgresql://user:password@host:port/database",
    )
    mqtt_url: Annotated[str, AfterValidator(_mqtt_url)] = Field(
        default="mqtt://127.0.0.1:1883",
        description="Where the broker is: mqtt://user:password@host:port, or mqtts:// for TLS",
    )
    mqtt_client_id: str = Field(
        default="misto-ingest",
        description="Client id of the ingest session; keep it over restarts, the broker keeps the queue by it",
    )
    mqtt_topics: str = Field(
        default="#",
        description="Topic filters to subscribe to, separated by commas",
    )
    mqtt_share: str = Field(
        default="",
        description="Name of the shared subscription of several ingest workers; empty for one worker",
    )
    mqtt_ca_file: FilePath | None = Field(default=None, description="CA certificate for mqtts://, if not the system's")
    receive_maximum: int = Field(
        default=10_000, ge=20, le=65_535, description="Messages that the broker may send ahead of their acknowledgement"
    )
    batch_messages: int = Field(default=4_000, ge=1, le=50_000, description="Messages in a batch at the most")
    batch_linger_ms: int = Field(
        default=100, ge=0, le=10_000, description="How long a batch may wait for more messages, in milliseconds"
    )
    ingest_writers: int = Field(default=2, ge=1, le=16, description="Database connections that write batches")
    envelopes: str = Field(
        default="",
        description="Formats fixed for topics: filter=format, separated by commas, the first that fits wins",
    )
    profiles_dir: Path | None = Field(default=None, description="Folder with the city's own device profiles")
    rules_dir: Path | None = Field(
        default=None, description="Folder with the city's own rules; a rule of the same id replaces the shipped one"
    )
    rules_worker: str = Field(
        default="", description="Name of this rules worker where people see it; empty for the host and the process"
    )
    judge_history: bool = Field(
        default=False,
        description="Whether rules judge what is older than their memory (days) when it comes, as of a simulated past",
    )
    time_zone: Annotated[str, AfterValidator(_time_zone)] = Field(
        default="Europe/Kyiv", description="Zone of devices that send local times without a zone"
    )
    board_host: str = Field(default="127.0.0.1", description="Address that the board listens on")
    board_port: int = Field(default=8080, ge=0, le=65_535, description="Port of the board")
    board_language: Literal["en", "uk"] = Field(
        default="uk", description="Language of the board for browsers that name neither"
    )
    metrics_host: str = Field(default="127.0.0.1", description="Address of each process's /metrics and /healthz")
    ingest_metrics_port: int = Field(default=9101, ge=0, le=65_535, description="Port of ingest's /metrics")
    rules_metrics_port: int = Field(default=9102, ge=0, le=65_535, description="Port of the rules' /metrics")
    keeper_metrics_port: int = Field(default=9103, ge=0, le=65_535, description="Port of the keeper's /metrics")
    simulator_metrics_port: int = Field(default=9104, ge=0, le=65_535, description="Port of the simulators' /metrics")
    readings_days: int = Field(default=730, ge=1, description="Days that readings are kept; rollups are kept for ever")
    log_days: int = Field(default=7, ge=1, description="Days that the reading log is kept once all readers are past it")
    quarantine_days: int = Field(default=90, ge=1, description="Days that unreadable messages are kept")
    quarantine_mb: int = Field(
        default=1024,
        ge=1,
        description="Megabytes that unreadable messages may take; then the oldest of whoever sent most go first",
    )
    ingest_password: SecretStr | None = Field(
        default=None, description="Password that `misto migrate` gives the database role misto_ingest"
    )
    rules_password: SecretStr | None = Field(
        default=None, description="Password that `misto migrate` gives the database role misto_rules"
    )
    board_password: SecretStr | None = Field(
        default=None, description="Password that `misto migrate` gives the database role misto_board"
    )
    read_password: SecretStr | None = Field(
        default=None, description="Password that `misto migrate` gives the database role misto_read (Grafana)"
    )
    grafana_url: str | None = Field(default=None, description="Grafana to publish to, and the board's link to it")
    grafana_token: SecretStr | None = Field(default=None, description="Service-account token for publishing")
    runtime_dir: Path = Field(
        default=Path(".runtime"), description="Folder of the embedded PostgreSQL and Mosquitto and of their data"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="How much the services log"
    )
