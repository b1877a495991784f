"""What the rules count for Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

READINGS = Counter("misto_rules_readings_total", "Good readings of watched metrics, judged")
TRANSITIONS = Counter("misto_rules_transitions_total", "Transitions of alerts", ["kind"])
LATE_UNJUDGED = Counter("misto_rules_late_unjudged_total", "Readings too late to be judged")
HISTORY = Counter("misto_rules_history_readings_total", "Readings that are history, which raise no alerts")
LAG_BATCHES = Gauge("misto_rules_log_lag_batches", "Batches of the reading log that are not judged yet")
LAG_SECONDS = Gauge("misto_rules_log_lag_seconds", "Age of the oldest batch that is not judged yet")
OPEN_ALERTS = Gauge("misto_rules_open_alerts", "Alerts that are firing")
KEYS = Gauge("misto_rules_keys", "Pairs of rule and point that are watched")
PARTITIONS = Gauge("misto_rules_partitions", "Partitions of the points that this worker holds")
TAKEN = Counter("misto_rules_partitions_taken_total", "Partitions that this worker has taken")
FENCED = Counter("misto_rules_fenced_total", "Writes refused because another worker had taken the points meanwhile")
