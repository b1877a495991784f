"""The doctor finds a broker that would lose what ingest has not fetched, and one that would not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from misto.doctor_broker import TRIAL_MESSAGES, Party, limits
from misto.finding import Finding
from misto.runtime import Binaries, MosquittoServer
from misto.runtime import mosquitto as runtime_mosquitto
from misto.settings import Settings

ACL = Path(__file__).parents[2] / "deploy" / "mosquitto" / "acl"
#: What a Mosquitto has that nobody has told anything.
DEFAULTS = "listener {port} 127.0.0.1\nallow_anonymous true\n{extra}\n"


def look(url: str, **settings: str) -> list[Finding]:
    findings = list(limits(Settings(mqtt_url=url, **settings)))  # type: ignore[arg-type]
    assert all(finding.level == "ok" or finding.remedy for finding in findings)
    return findings


def wrong(findings: list[Finding]) -> list[str]:
    return [finding.text for finding in findings if finding.level != "ok"]


@contextmanager
def broker(binaries: Binaries, folder: Path, extra: str = "") -> Iterator[MosquittoServer]:
    server = MosquittoServer(binaries, folder, extra=extra)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def untold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Brokers with Mosquitto's own limits."""
    monkeypatch.setattr(runtime_mosquitto, "_CONFIGURATION", DEFAULTS)


def test_ours_is_well_and_nobody_sees_the_trial(own_mosquitto: MosquittoServer) -> None:
    # As ingest does: everything, and what is kept meanwhile.
    bystander = Party(Settings(mqtt_url=own_mosquitto.url), "bystander")
    bystander.connect(clean=True, expires_s=60)
    assert bystander.subscribe(["#"]) == ""
    for _ in range(2):
        findings = look(own_mosquitto.url)
        assert wrong(findings) == []
        assert f"it kept all of {TRIAL_MESSAGES:,} messages" in findings[-1].text
    assert bystander.publish("misto/a/up", [b"end"]) == ""
    assert bystander.wait(lambda: bool(bystander.received), 5)
    assert bystander.received == [("misto/a/up", b"end")]
    bystander.forget()


@pytest.mark.usefixtures("untold")
def test_mosquitto_s_own_limits_are_found_wrong(binaries: Binaries, server_folder: Path) -> None:
    with broker(binaries, server_folder / "defaults") as server:
        any_size, kept, qos_0 = wrong(look(server.url))
    assert "packets of any size" in any_size
    assert "it keeps no messages with QoS 0" in qos_0
    assert kept == f"it kept 1,000 of {TRIAL_MESSAGES:,} messages for a session that was away, and had acknowledged all"


@pytest.mark.usefixtures("untold")
@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ("max_qos 0", "takes no messages with QoS 1"),
        ("retain_available false", "keeps no retained messages"),
    ],
)
def test_what_the_broker_tells_of_itself(binaries: Binaries, server_folder: Path, extra: str, said: str) -> None:
    name = extra.split()[0]
    with broker(binaries, server_folder / name, extra) as server:
        assert any(said in text for text in wrong(look(server.url)))


def test_a_shared_subscription_at_mosquitto_is_warned_of(own_mosquitto: MosquittoServer) -> None:
    (said,) = wrong(look(own_mosquitto.url, mqtt_share="city"))
    assert "does not save shared subscriptions" in said


def test_without_the_right_to_write_it_says_that_it_could_not_check(binaries: Binaries, server_folder: Path) -> None:
    rights = server_folder / "rights"
    rights.write_text("topic read #\ntopic read $SYS/#\n", encoding="utf-8")
    with broker(binaries, server_folder / "closed", f"acl_file {rights}") as server:
        (said,) = wrong(look(server.url))
    assert "could not be checked" in said
    assert "Not authorized" in said


def test_the_shipped_rights_are_enough(binaries: Binaries, server_folder: Path) -> None:
    rights = server_folder / "shipped"
    # Ingest's rights for whoever comes, for this broker has no passwords.
    of_ingest = ACL.read_text(encoding="utf-8").split("user ingest\n")[1].split("\n\n")[0]
    rights.write_text(of_ingest, encoding="utf-8")
    with broker(binaries, server_folder / "shipping", f"acl_file {rights}") as server:
        assert wrong(look(server.url)) == []
