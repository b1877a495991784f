"""Errors of the rules."""

from __future__ import annotations


class RulesError(Exception):
    """Base of everything that `rules` raises."""
