"""Replay of recorded data: a file and a mapping become messages in Misto's plain JSON (docs/replay.md)."""
