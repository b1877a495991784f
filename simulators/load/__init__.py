"""A load generator: more messages than ingest can take, each with readings that nobody has stored yet."""

from __future__ import annotations

from simulators.load.run import Load, LoadConfig, Summary

__all__ = ["Load", "LoadConfig", "Summary"]
