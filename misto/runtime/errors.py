"""What can go wrong with the embedded runtime. Every text is a sentence with a remedy."""

from __future__ import annotations

OTHERWISE = (
    "Run `docker compose up` instead, or point MISTO_DATABASE_URL and MISTO_MQTT_URL at a PostgreSQL 17 with "
    "TimescaleDB and an MQTT broker that you have."
)


class EmbeddedRuntimeError(Exception):
    """Base of the runtime's errors."""


class RuntimeUnavailable(EmbeddedRuntimeError):
    """This machine cannot have the embedded runtime."""

    def __init__(self, why: str) -> None:
        super().__init__(f"{why} {OTHERWISE}")


class ServerFailed(EmbeddedRuntimeError):
    """A server of the runtime did not start or has died."""


class Interrupted(EmbeddedRuntimeError):
    """Somebody asked to stop in the middle."""

    def __init__(self) -> None:
        super().__init__("stopped; what was downloaded so far is kept for the next time")
