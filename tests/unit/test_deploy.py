"""The deployment files: pinned, without passwords, and speaking of things that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from ruamel.yaml import YAML

import dashboards.board.metrics
import ingest.metrics
import misto.keeper
import rules.metrics
from misto.runtime.mosquitto import _CONFIGURATION
from misto.settings import Settings
from tests.conftest import missing

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = YAML(typ="safe", pure=True).load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONCE = {"migrate", "inventory"}


def test_every_image_is_pinned() -> None:
    for name, service in SERVICES.items():
        assert re.search(r":v?\d+\.\d+\.\d+[\w.-]*$", service["image"]), name
    for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines():
        if line.startswith("FROM"):
            assert re.search(r":\d+\.\d+\.\d+", line)


def test_every_variable_is_in_the_example_and_none_has_a_default_password() -> None:
    used = dict(re.findall(r"(?<!\$)\$\{(\w+)([^}]*)\}", COMPOSE_TEXT))
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    example = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert set(used) == set(example)
    for name, rest in used.items():
        if "PASSWORD" in name:
            assert rest.startswith(":?"), f"{name} must be asked for"
            assert example[name] == ""


def test_services_restart_are_watched_and_start_in_order() -> None:
    for name, service in SERVICES.items():
        assert service["restart"] in ("unless-stopped", "on-failure"), name
        if name in ONCE:
            continue
        assert service["healthcheck"]["test"], name
        for other, how in service.get("depends_on", {}).items():
            expected = "service_completed_successfully" if other in ONCE else ("service_healthy", "service_started")
            assert how["condition"] in expected, f"{name} after {other}"
    assert SERVICES["simulators"]["profiles"] == ["demo"]


def test_settings_given_to_services_exist() -> None:
    known = {f"MISTO_{name.upper()}" for name in Settings.model_fields}
    for name, service in SERVICES.items():
        if service["image"].startswith("misto:"):
            given = {variable for variable in service["environment"] if variable.startswith("MISTO_")}
            assert given <= known, name


def test_only_the_owner_s_services_have_the_owner_s_password() -> None:
    owners = {name for name, service in SERVICES.items() if "POSTGRES_PASSWORD" in str(service.get("environment"))}
    assert owners == {"timescaledb", "migrate", "inventory", "keeper"}


def test_ports_are_closed_to_the_network_unless_opened() -> None:
    for name, service in SERVICES.items():
        for port in service.get("ports", []):
            assert port.startswith(("127.0.0.1:", "${MISTO_LISTEN:-127.0.0.1}:")), name


def test_mounted_files_exist() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            if volume.startswith("./"):
                assert (ROOT / volume.split(":")[0]).exists(), volume


def test_alerts_name_metrics_that_exist() -> None:
    assert all((dashboards.board.metrics, ingest.metrics, misto.keeper, rules.metrics))
    known = {sample.name for family in REGISTRY.collect() for sample in family.samples} | {
        f"{family.name}_total" for family in REGISTRY.collect() if family.type == "counter"
    }
    named = set(re.findall(r"misto_\w+", (DEPLOY / "prometheus" / "alerts.yml").read_text(encoding="utf-8")))
    assert named - {"misto_ingest"} <= known


def test_metric_names_follow_the_conventions() -> None:
    for family in REGISTRY.collect():
        if family.name.startswith("misto_"):
            assert family.documentation
            assert re.fullmatch(r"misto_(ingest|rules|keeper|board|simulators)_[a-z_]+", family.name)


def test_promtool_accepts_the_files() -> None:
    if shutil.which("promtool") is None:
        missing("there is no promtool on this machine; on Debian: apt install prometheus")
    done = subprocess.run(
        ["promtool", "check", "config", str(DEPLOY / "prometheus" / "prometheus.yml")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def limits(configuration: str) -> dict[str, str]:
    lines = [line.split() for line in configuration.splitlines() if line and not line.startswith("#")]
    return {words[0]: words[1] for words in lines if words[0].startswith(("max_", "auto", "persistent_", "upgrade_"))}


def test_the_embedded_broker_keeps_as_much_as_the_shipped_one() -> None:
    shipped = limits((DEPLOY / "mosquitto" / "mosquitto.conf").read_text(encoding="utf-8"))
    assert len(shipped) == 8
    assert limits(_CONFIGURATION) == shipped


@pytest.mark.parametrize("name", ["start.sh"])
def test_the_broker_s_start_is_a_right_shell_script(name: str) -> None:
    done = subprocess.run(["sh", "-n", str(DEPLOY / "mosquitto" / name)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("instance", "command"),
    [
        ("rules", "rules run"),
        ("rules-2", "rules run"),
        ("ingest", "ingest"),
        ("ingest-2", "ingest"),
        ("board", "board"),
    ],
)
def test_the_unit_starts_every_service_and_more_workers_of_it(instance: str, command: str) -> None:
    unit = (DEPLOY / "systemd" / "misto@.service").read_text(encoding="utf-8")
    (line,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    line = line.replace("%i", instance).replace("$$", "$").replace("%%", "%").replace("/opt/misto/bin/misto", "echo")
    shell, option, script = re.fullmatch(r"(\S+) (-c) '(.*)'", line).groups()  # type: ignore[union-attr]
    done = subprocess.run([shell, option, script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == command
