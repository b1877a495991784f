"""What a broker refuses, in a sentence with what to do, and whether waiting helps. Pure.

Source of the reason codes: MQTT 5.0, sections 3.2.2.2 (CONNACK), 3.9.3 (SUBACK) and 3.14.2.1 (DISCONNECT). paho gives
the return codes of MQTT 3.1.1 as these.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ingest.errors import IngestError

#: Reason codes that decide how a session goes on.
WRONG_VERSION = 132
TAKEN_OVER = 142

#: Sensors' messages above this are rare; below it are whole gateways' lists of readings.
SMALL_PACKET_BYTES = 65_536


class BrokerRefused(IngestError):
    """The broker answers and will not serve until a person changes something."""


class LoginRefused(BrokerRefused):
    """The broker does not take this user, password or client id."""


class SubscriptionRefused(BrokerRefused):
    """The broker does not let this user read the topics."""


class NoSharedSubscriptions(BrokerRefused):
    """Several workers need shared subscriptions, which the broker does not have."""


@dataclass(frozen=True)
class Refusal:
    """`sentence` goes on after "the broker at …"; `lasting` is what it is where waiting does not help. `is_patient`:
    trying again at once would only take the session from somebody else."""

    sentence: str
    lasting: type[BrokerRefused] | None = None
    is_patient: bool = False


_LOGIN = {
    133: "set another MISTO_MQTT_CLIENT_ID",
    134: "check user and password in MISTO_MQTT_URL",
    135: "check user and password in MISTO_MQTT_URL, and that the broker's access rules let this user in",
    138: "lift the ban of this user or client id at the broker",
    140: "give the broker a login by user and password for this user",
}
_SUBSCRIPTION = {
    128: "check that the broker's access rules let this user read them",
    135: "let this user read them in the broker's access rules (deploy/mosquitto/acl is an example)",
    143: "mend MISTO_MQTT_TOPICS",
    158: "leave MISTO_MQTT_SHARE empty and run one ingest worker, or take a broker with shared subscriptions",
    162: "name topics without wildcards in MISTO_MQTT_TOPICS, or allow wildcards at the broker",
}
_NO_SHARED = 158
_ENDED = {
    135: "check the broker's access rules for this user",
    142: "another ingest runs with the same MISTO_MQTT_CLIENT_ID: give each its own",
    149: "a packet was too large for it: raise its max_packet_size, or name fewer topics in MISTO_MQTT_TOPICS",
    151: "raise its quota for this user",
}


def of_login(code: int, words: str) -> Refusal:
    """CONNACK with a failure; `words` is the reason's name."""
    advice = _LOGIN.get(code)
    if advice is None:
        return Refusal(f"cannot take the session now ({words})")
    return Refusal(f"refuses the login ({words}); {advice}", LoginRefused)


def of_subscription(refused: Iterable[tuple[str, int, str]]) -> Refusal | None:
    """SUBACK: (topic filter, reason code, its name) of those that were refused; None without any."""
    rows = list(refused)
    if not rows:
        return None
    named = ", ".join(f"{topic} ({words})" for topic, _, words in rows)
    known = [code for _, code, _ in rows if code in _SUBSCRIPTION]
    if not known:
        return Refusal(f"cannot take the subscription to {named} now")
    lasting = NoSharedSubscriptions if _NO_SHARED in known else SubscriptionRefused
    return Refusal(f"refuses the subscription to {named}; {_SUBSCRIPTION[known[0]]}", lasting)


def of_size(limit_bytes: int | None, filters: Iterable[str]) -> Refusal | None:
    """A SUBSCRIBE packet above CONNACK's Maximum Packet Size; many brokers would just cut the line."""
    # Fixed header, packet id and properties; for each filter its length, itself and its options.
    size_bytes = 8 + sum(3 + len(each.encode()) for each in filters)
    if limit_bytes is None or size_bytes <= limit_bytes:
        return None
    return Refusal(
        f"takes packets of {limit_bytes:,} bytes at the most, and the subscription needs {size_bytes:,}; "
        "name fewer topics in MISTO_MQTT_TOPICS, or raise the broker's max_packet_size",
        SubscriptionRefused,
    )


def of_share(share: str) -> Refusal:
    """A broker without MQTT 5 where MISTO_MQTT_SHARE is set: it would take the filter for a topic's name."""
    return Refusal(
        f"has no MQTT 5, which the shared subscription {share!r} needs; "
        "leave MISTO_MQTT_SHARE empty and run one ingest worker, or take a broker with MQTT 5",
        NoSharedSubscriptions,
    )


def of_end(code: int, words: str) -> Refusal:
    """DISCONNECT by the broker."""
    advice = f"; {_ENDED[code]}" if code in _ENDED else ""
    return Refusal(f"ended the session ({words}){advice}", is_patient=code == TAKEN_OVER)


def of_silence() -> Refusal:
    """The line was closed before any answer."""
    return Refusal(
        "closes the connection without an answer; check that MISTO_MQTT_URL names an MQTT broker, "
        "and begins with mqtts:// where the port wants TLS"
    )


def about_packets(limit_bytes: int | None) -> str | None:
    """What a small Maximum Packet Size in CONNACK means; None where there is nothing to say."""
    if limit_bytes is None or limit_bytes >= SMALL_PACKET_BYTES:
        return None
    return (
        f"takes packets of {limit_bytes:,} bytes at the most: larger messages of sensors and gateways never come in; "
        "set its max_packet_size to 1048576 (deploy/mosquitto/mosquitto.conf)"
    )
