"""Errors of ingest, and the closed list of reasons for quarantine."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from store.text import storable

_Error = TypeVar("_Error", bound=Exception)

#: Details quote what came, which has no end of its own.
LONGEST_DETAIL = 900


class Reason(StrEnum):
    """Why a message, or a part of it, is in quarantine. The value stands in the database."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    NOT_JSON = "not_json"
    BAD_STRUCTURE = "bad_structure"
    BAD_VALUE = "bad_value"
    NO_DEVICE = "no_device"
    TIME_IN_FUTURE = "time_in_future"
    UNKNOWN_ENVELOPE = "unknown_envelope"
    UNKNOWN_PROFILE = "unknown_profile"
    NO_READINGS = "no_readings"
    NOT_ASSIGNED = "not_assigned"
    UNSTORABLE = "unstorable"
    DECODER_FAILED = "decoder_failed"


#: One sentence a reason, for the documentation and the board.
REASONS: dict[Reason, str] = {
    Reason.EMPTY: "The message has no content.",
    Reason.TOO_LARGE: "The message is larger than any sensor's; nobody tried to read it.",
    Reason.NOT_JSON: "The content is not the JSON that this topic's format calls for.",
    Reason.BAD_STRUCTURE: "It is JSON, but not built as its format prescribes.",
    Reason.BAD_VALUE: "A field has a value that is no number; the message's other fields are stored.",
    Reason.NO_DEVICE: "Neither topic nor content says which device it comes from.",
    Reason.TIME_IN_FUTURE: "Its time lies more than five minutes ahead; the device's clock is wrong.",
    Reason.UNKNOWN_ENVELOPE: "Neither topic nor content is of a format that Misto knows.",
    Reason.UNKNOWN_PROFILE: "The format is known, but no profile knows this device model's fields.",
    Reason.NO_READINGS: "It was understood, but holds no field that is a reading.",
    Reason.NOT_ASSIGNED: "At its time the device was assigned to no point.",
    Reason.UNSTORABLE: "The database refuses it for good.",
    Reason.DECODER_FAILED: "Misto itself failed on it; please report it with the message.",
}


class IngestError(Exception):
    """Base of everything that `ingest` raises."""


class SessionInUse(IngestError):
    """The session that is to leave belongs to a process that runs."""


class NotLeft(IngestError):
    """Stopped before the session was empty; the broker keeps it."""


def bare(error: _Error) -> _Error:
    """The error alone. A traceback holds its frames with the whole message; where one of them holds the error too, all
    of it stays until the garbage collector comes, which large messages of few objects do not call."""
    error.__traceback__ = error.__context__ = error.__cause__ = None
    return error


class Undecodable(IngestError):
    """A message that cannot be read: a reason of the closed list, and what exactly is wrong, cut where it is long."""

    def __init__(self, reason: Reason, detail: str, device_address: str | None = None) -> None:
        self.detail = storable(detail, LONGEST_DETAIL)
        super().__init__(self.detail)
        self.reason = reason
        self.device_address = device_address
