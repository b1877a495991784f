"""What the broker's limits do to ingest: by what it tells at the login, and by trial.

A broker does not tell what it keeps for a session that is away, and those that keep too little acknowledge the rest to
its publishers all the same. So a session of the doctor's own goes away while messages are published for it, and counts
them when it is back. Their topic begins with `$`, so that no `#` sees them: neither ingest nor anybody else.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from misto.finding import Finding
from misto.settings import Settings

#: Of the trial's messages: `$misto/doctor/<a name of its own>`. deploy/mosquitto/acl allows it.
TRIAL_TREE = "$misto/doctor"
#: More than the limits that brokers come with: 1,000 in Mosquitto, EMQX, HiveMQ and VerneMQ.
TRIAL_MESSAGES = 2_500

_SETTINGS = "docs/operations.md, “What the broker must keep”"
_QOS_0 = b"QoS 0"
_WAIT_S = 5.0
_QUIET_S = 1.0
_NEVER = 0xFFFFFFFF
#: A doctor who is killed in the middle leaves a session behind; so long.
_TRIAL_EXPIRES_S = 300
_DAY_S = 86_400

_DROPPED = "$SYS/broker/publish/messages/dropped"
_STORED = "$SYS/broker/store/messages/count"
_VERSION = "$SYS/broker/version"


def limits(settings: Settings) -> Iterator[Finding]:
    """Findings about a broker that speaks MQTT 5 and takes our login."""
    name = f"misto-doctor-{uuid.uuid4().hex[:12]}"
    away, sender = Party(settings, name), Party(settings, f"{name}-sender")
    try:
        told = away.connect(clean=True, expires_s=_NEVER)
        yield from _told(settings, told)
        yield from _counters(settings, sender)
        if getattr(told, "MaximumQoS", 2) > 0:
            yield from _trial(away, sender, f"{TRIAL_TREE}/{name}")
    except OSError as error:
        yield Finding("broker", "warning", f"its limits could not be looked at: {error}", "run `misto doctor` again")
    finally:
        away.forget()
        sender.close(0)


def _told(settings: Settings, properties: Properties | None) -> Iterator[Finding]:
    """What CONNACK says (MQTT 5.0, section 3.2.2.3); what is not there has no limit."""

    def told(name: str, otherwise: int) -> int:
        return int(getattr(properties, name, otherwise))

    if told("MaximumQoS", 2) < 1:
        yield Finding(
            "broker",
            "wrong",
            "it takes no messages with QoS 1, so messages get lost",
            "allow QoS 1 (MQTT 5: Maximum QoS)",
        )
    if not told("MaximumPacketSize", 0):
        text = "it takes packets of any size, up to 256 MB: one of them fills ingest's memory"
        yield Finding("broker", "warning", text, f"set max_packet_size 1048576 ({_SETTINGS})")
    expires_s = told("SessionExpiryInterval", _NEVER)
    if expires_s < _DAY_S:
        text = f"it forgets a session, with all that waits in it, {expires_s} s after ingest was last there"
        yield Finding("broker", "wrong", text, f"let sessions live for days ({_SETTINGS})")
    if not told("RetainAvailable", 1):
        text = "it keeps no retained messages, by which Homie's and Home Assistant's devices describe themselves"
        yield Finding("broker", "warning", text, "allow retained messages, if there are such devices")
    if not told("WildcardSubscriptionAvailable", 1) and any(sign in settings.mqtt_topics for sign in "#+"):
        text = f"it allows no wildcards, and MISTO_MQTT_TOPICS is {settings.mqtt_topics}"
        yield Finding("broker", "wrong", text, "allow them, or name each topic in MISTO_MQTT_TOPICS")
    if settings.mqtt_share and not told("SharedSubscriptionAvailable", 1):
        text = "it has no shared subscriptions, and MISTO_MQTT_SHARE is set"
        yield Finding("broker", "wrong", text, "allow them, or leave MISTO_MQTT_SHARE empty and run one ingest worker")


def _counters(settings: Settings, sender: Party) -> Iterator[Finding]:
    """What Mosquitto tells of itself, where this user may read it."""
    sender.connect(clean=True, expires_s=0)
    sender.subscribe([_DROPPED, _STORED, _VERSION])
    sender.wait(lambda: len(sender.received) >= 3, 0.5)
    if settings.mqtt_share and any(
        topic == _VERSION and payload.startswith(b"mosquitto") for topic, payload in sender.received
    ):
        text = "Mosquitto does not save shared subscriptions: started again, it drops what comes until ingest is back"
        remedy = "run one ingest worker without MISTO_MQTT_SHARE, or give each MISTO_MQTT_TOPICS of its own"
        yield Finding("broker", "warning", text, f"{remedy} (docs/delivery.md)")
    counted = {topic: int(payload) for topic, payload in sender.received if payload.isdigit()}
    if dropped := counted.get(_DROPPED):
        text = f"it has dropped {dropped:,} messages since it was started, for this or another client"
        yield Finding("broker", "warning", text, f"which client's, its log says; then raise its limits ({_SETTINGS})")
    elif _DROPPED in counted:
        text = f"it has dropped no message since it was started; it holds {counted.get(_STORED, 0):,} now"
        yield Finding("broker", "ok", text)


def _trial(away: Party, sender: Party, topic: str) -> Iterator[Finding]:
    """Go away, let messages be published, come back, count."""
    why_not = away.subscribe([topic]) or sender.publish(topic, [b"here"])
    if not why_not and not away.wait(lambda: bool(away.received), 2):
        why_not = "it delivers nothing there"
    if why_not:
        text = f"what it keeps for a session that is away could not be checked on {TRIAL_TREE}/#: {why_not}"
        remedy = f"let this user read and write there (deploy/mosquitto/acl), or look at its settings ({_SETTINGS})"
        yield Finding("broker", "warning", text, remedy)
        return
    away.close(_TRIAL_EXPIRES_S)
    away.received.clear()
    # First what is sent with QoS 0, before a limit is reached.
    why_not = sender.publish(topic, [_QOS_0], qos=0)
    why_not = why_not or sender.publish(topic, [b"%d" % number for number in range(TRIAL_MESSAGES)])
    away.connect(clean=False, expires_s=_TRIAL_EXPIRES_S)
    if why_not:
        text = f"it does not take {TRIAL_MESSAGES:,} messages for a session that is away: {why_not}"
        yield Finding("broker", "warning", text, f"look at its limits ({_SETTINGS})")
    elif not away.session_present:
        text = "it forgot a session the moment it went away: what comes while ingest restarts is lost"
        yield Finding("broker", "wrong", text, f"allow persistent sessions ({_SETTINGS})")
    else:
        away.wait(lambda: len(away.received) > TRIAL_MESSAGES, _WAIT_S, quiet_s=_QUIET_S)
        yield from _kept({payload for _, payload in away.received})


def _kept(received: set[bytes]) -> Iterator[Finding]:
    kept = len(received - {_QOS_0})
    if kept < TRIAL_MESSAGES:
        text = f"it kept {kept:,} of {TRIAL_MESSAGES:,} messages for a session that was away, and had acknowledged all"
        remedy = f"raise its limits: Mosquitto's max_queued_messages, EMQX's mqtt.max_mqueue_len ({_SETTINGS})"
        yield Finding("broker", "wrong", text, remedy)
    else:
        yield Finding("broker", "ok", f"it kept all of {TRIAL_MESSAGES:,} messages for a session that was away")
    if _QOS_0 not in received:
        text = "it keeps no messages with QoS 0, as Tasmota, Zigbee2MQTT and Shelly send, for a session that is away"
        remedy = f"Mosquitto: upgrade_outgoing_qos true; or let the devices send with QoS 1 ({_SETTINGS})"
        yield Finding("broker", "warning", text, remedy)


class Party:
    """A client of the trial, with one connection after the other under the same name. Raises OSError."""

    def __init__(self, settings: Settings, name: str) -> None:
        self._settings, self._name = settings, name
        self._client: mqtt.Client | None = None
        self._changed = threading.Condition()
        self._connack: list[Any] = []
        self._suback: list[Any] = []
        self._acknowledged: list[Any] = []
        self.session_present = False
        self.received: list[tuple[str, bytes]] = []

    def connect(self, *, clean: bool, expires_s: int) -> Properties | None:
        """Log in; returns what the broker tells of itself."""
        parts = urlsplit(self._settings.mqtt_url)
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=self._name, protocol=mqtt.MQTTv5)
        if parts.username:
            client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
        if parts.scheme == "mqtts":
            client.tls_set(ca_certs=str(self._settings.mqtt_ca_file) if self._settings.mqtt_ca_file else None)
        client.on_connect, client.on_subscribe = self._on_connect, self._on_subscribe
        client.on_publish, client.on_message = self._on_publish, self._on_message
        wishes = Properties(PacketTypes.CONNECT)
        wishes.SessionExpiryInterval = expires_s
        self._connack = []
        port = parts.port or (8883 if parts.scheme == "mqtts" else 1883)
        client.connect(parts.hostname or "127.0.0.1", port, 10, clean_start=clean, properties=wishes)
        client.loop_start()
        self._client = client
        if not self.wait(lambda: bool(self._connack), _WAIT_S):
            raise TimeoutError("it does not answer a login")
        if self._connack[0].is_failure:
            raise ConnectionError(f"it refuses a session of the doctor's own ({self._connack[0]})")
        return cast(Properties | None, self._connack[1])

    def subscribe(self, topics: list[str]) -> str:
        """Returns why it is refused; empty if it is not."""
        assert self._client is not None
        self._suback = []
        self._client.subscribe([(topic, SubscribeOptions(qos=1)) for topic in topics])
        if not self.wait(lambda: bool(self._suback), _WAIT_S):
            return "it does not answer the subscription"
        refused = [str(reason) for reason in self._suback if reason.is_failure]
        return f"it refuses the subscription ({refused[0]})" if refused else ""

    def publish(self, topic: str, payloads: list[bytes], qos: int = 1) -> str:
        """Returns why not all were acknowledged; empty if they were."""
        assert self._client is not None
        self._acknowledged = []
        for payload in payloads:
            self._client.publish(topic, payload, qos)
        if not self.wait(lambda: len(self._acknowledged) >= len(payloads), 2 * _WAIT_S):
            return f"it acknowledged {len(self._acknowledged):,} messages and no more"
        refused = [reason for reason in self._acknowledged if qos and reason.is_failure]
        return f"it refuses messages ({refused[0]})" if refused else ""

    def close(self, expires_s: int) -> None:
        """Go away; the session and what comes for it lives on for `expires_s`."""
        if self._client is None:
            return
        parting = Properties(PacketTypes.DISCONNECT)
        parting.SessionExpiryInterval = expires_s
        self._client.disconnect(properties=parting)
        self._client.loop_stop()
        self._client = None

    def forget(self) -> None:
        """End the session, connected or not."""
        with suppress(OSError):
            if self._client is None:
                self.connect(clean=True, expires_s=0)
            self.close(0)

    def wait(self, ready: Callable[[], bool], seconds: float, quiet_s: float = float("inf")) -> bool:
        """Wait until `ready()`, or until nothing has changed for `quiet_s`; returns whether it is."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while not ready() and (left := deadline - time.monotonic()) > 0:
                if not self._changed.wait(min(left, quiet_s)) and quiet_s < left:
                    break
            return ready()

    def _on_connect(self, client: mqtt.Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        with self._changed:
            self._connack, self.session_present = [reason, properties], bool(flags.session_present)
            self._changed.notify_all()

    def _on_subscribe(self, client: mqtt.Client, data: Any, mid: int, reasons: Any, properties: Any) -> None:
        with self._changed:
            self._suback = list(reasons)
            self._changed.notify_all()

    def _on_publish(self, client: mqtt.Client, data: Any, mid: int, reason: Any, properties: Any) -> None:
        with self._changed:
            self._acknowledged.append(reason)
            self._changed.notify_all()

    def _on_message(self, client: mqtt.Client, data: Any, message: mqtt.MQTTMessage) -> None:
        with self._changed:
            self.received.append((message.topic, bytes(message.payload)))
            self._changed.notify_all()
