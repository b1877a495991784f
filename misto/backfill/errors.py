"""What stops an import."""

from __future__ import annotations


class BackfillError(Exception):
    """A file cannot be taken over, or not further. Its text is a sentence for a person."""
