"""What the board counts about itself, for Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

requests = Counter("misto_board_requests", "Pages answered, by page and HTTP status.", ["page", "status"])
request_seconds = Histogram(
    "misto_board_request_duration_seconds",
    "Time to answer a page.",
    ["page"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2.5, 5, 10),
)
claims = Counter("misto_board_claims", "Devices that somebody placed on the board.")
acknowledgements = Counter("misto_board_acknowledgements", "Alerts that somebody took over on the board.")
