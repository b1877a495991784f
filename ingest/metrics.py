"""What ingest counts for Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

MESSAGES = Counter("misto_ingest_messages_total", "Messages by what became of them", ["outcome"])
READINGS = Counter("misto_ingest_readings_total", "Readings by what became of them", ["outcome"])
QUARANTINED = Counter("misto_ingest_quarantined_total", "Messages put into quarantine, by reason", ["reason"])
UNSET_CLOCKS = Counter("misto_ingest_unset_clocks_total", "Messages stored with their time of reception")
BATCH_SECONDS = Histogram(
    "misto_ingest_batch_seconds",
    "Time from the first message of a batch to its commit",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
)
WRITE_ERRORS = Counter("misto_ingest_write_errors_total", "Batches that had to be tried again")
UNACKNOWLEDGED = Gauge("misto_ingest_unacknowledged_messages", "Messages received and not yet committed")
CONNECTED = Gauge("misto_ingest_broker_connected", "1 while the session with the broker stands")
LAST_READING = Gauge("misto_ingest_last_reading_timestamp_seconds", "When the last reading was committed")
