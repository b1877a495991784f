"""Errors of the simulators."""

from __future__ import annotations


class SimulatorError(Exception):
    """Base of everything that `simulators` raises. Its text is a sentence for a person."""
