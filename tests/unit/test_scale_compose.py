"""The compose file with several of everything: it holds together and speaks of settings and commands that exist."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from misto.settings import Settings
from tests.processes import environment

ROOT = Path(__file__).parents[2]
SCALE = ROOT / "deploy" / "scale"
TEXT = (SCALE / "docker-compose.yml").read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = YAML(typ="safe", pure=True).load(TEXT)["services"]
ONE: dict[str, Any] = YAML(typ="safe", pure=True).load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
MISTO = {name: service for name, service in SERVICES.items() if service["image"].startswith("misto:")}
WORKERS = {name: service for name, service in MISTO.items() if service["command"] == ["ingest"]}


def test_images_are_pinned_and_the_same_as_for_one_machine() -> None:
    images = {service["image"] for service in SERVICES.values()}
    assert {image for image in images if image.startswith(("misto:", "timescale/"))} == {
        ONE["x-misto"]["image"], ONE["services"]["timescaledb"]["image"],
    }  # fmt: skip
    (broker,) = {image for image in images if image.startswith("emqx/")}
    # From 5.9 on a cluster needs a licence key.
    assert re.fullmatch(r"emqx/emqx:5\.8\.\d+", broker)


@pytest.mark.parametrize("name", MISTO)
def test_settings_and_commands_exist(name: str) -> None:
    known = {f"MISTO_{setting.upper()}" for setting in Settings.model_fields}
    assert {variable for variable in MISTO[name]["environment"] if variable.startswith("MISTO_")} <= known
    words = [word for word in MISTO[name]["command"] if not word.startswith("/")]
    done = subprocess.run(
        [Path(sys.executable).with_name("misto"), *words, "--help"],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", MISTO)
def test_every_service_finds_the_primary_among_both_databases(name: str) -> None:
    url = MISTO[name]["environment"]["MISTO_DATABASE_URL"]
    assert url.endswith("@database-1:5432,database-2:5432/misto?target_session_attrs=read-write")
    role = re.search(r"//(\w+):", url)
    assert role is not None
    assert role[1] == (f"misto_{name.split('-')[0]}" if name.startswith(("ingest", "rules", "board")) else "misto")


def test_each_ingest_worker_has_a_session_of_its_own_that_outlives_its_container() -> None:
    ids = [service["environment"]["MISTO_MQTT_CLIENT_ID"] for service in WORKERS.values()]
    assert len(set(ids)) == len(ids) >= 2
    assert not any("scale" in service or "deploy" in service or "$" in worker
                   for worker, service in zip(ids, WORKERS.values(), strict=True))  # fmt: skip
    assert {service["environment"]["MISTO_MQTT_SHARE"] for service in WORKERS.values()} == {"misto"}


def test_rules_are_several_and_the_keeper_is_one() -> None:
    assert SERVICES["rules"]["scale"] == 2
    assert "scale" not in SERVICES["keeper"]
    assert "MISTO_RULES_WORKER" not in SERVICES["rules"]["environment"]


def test_the_brokers_are_one_cluster_under_one_name() -> None:
    brokers = [SERVICES["broker-1"], SERVICES["broker-2"]]
    names = {broker["environment"]["EMQX_NODE__NAME"] for broker in brokers}
    assert set(brokers[0]["environment"]["EMQX_CLUSTER__STATIC__SEEDS"].strip("[]").split(",")) == names
    for broker in brokers:
        aliases = broker["networks"]["default"]["aliases"]
        assert broker["environment"]["EMQX_NODE__NAME"].partition("@")[2] in aliases
        assert "broker" in aliases
        assert int(broker["environment"]["EMQX_MQTT__MAX_INFLIGHT"]) >= Settings.model_fields["receive_maximum"].default
    assert all("@broker:1883" in worker["environment"]["MISTO_MQTT_URL"] for worker in WORKERS.values())


def test_the_standby_is_the_one_that_the_primary_waits_for() -> None:
    assert "synchronous_standby_names = 'FIRST 1 (standby)'" in (SCALE / "primary.sh").read_text(encoding="utf-8")
    assert "application_name=standby" in (SCALE / "standby.sh").read_text(encoding="utf-8")


def test_no_password_is_in_the_files_and_ports_are_closed_unless_opened() -> None:
    for name, rest in re.findall(r"(?<!\$)\$\{(\w+)([^}]*)\}", TEXT):
        if "PASSWORD" in name or "COOKIE" in name:
            assert rest.startswith(":?"), name
    for name, service in SERVICES.items():
        for port in service.get("ports", []):
            assert port.startswith("${MISTO_LISTEN:-127.0.0.1}:"), name


def test_mounted_files_exist_and_scripts_are_right() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            if volume.startswith("./"):
                assert (ROOT / volume.split(":")[0]).is_file(), volume
    for script in SCALE.glob("*.sh"):
        done = subprocess.run(["sh", "-n", str(script)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_docker_compose_accepts_it(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("there is no `docker compose` on this machine")
    names = {name for name, _ in re.findall(r"(?<!\$)\$\{(\w+)([^}]*)\}", TEXT)}
    done = subprocess.run(
        [docker, "compose", "--project-directory", str(ROOT), "-f", str(SCALE / "docker-compose.yml"), "config", "-q"],
        env=os.environ | dict.fromkeys(names - {"MISTO_LISTEN", "MISTO_INVENTORY"}, "x") | {"MISTO_INVENTORY": "./x"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
