"""The manifests for Kubernetes: they hold together, have no secrets, and speak of settings and commands that exist."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from misto.settings import Settings
from tests.processes import environment

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "deploy" / "scale" / "kubernetes.yaml").read_text(encoding="utf-8")
OBJECTS: list[dict[str, Any]] = list(YAML(typ="safe", pure=True).load_all(TEXT))
WORKLOADS = {item["metadata"]["name"]: item for item in OBJECTS if item["kind"] in ("Job", "StatefulSet", "Deployment")}
RUNNING = {name: item for name, item in WORKLOADS.items() if item["kind"] != "Job"}


def pod(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = WORKLOADS[name]["spec"]["template"]["spec"]
    return spec


def containers(name: str) -> list[dict[str, Any]]:
    return [*pod(name).get("initContainers", []), *pod(name)["containers"]]


@pytest.mark.parametrize("name", WORKLOADS)
def test_settings_exist_and_secrets_are_not_in_the_file(name: str) -> None:
    for container in containers(name):
        for variable in container["env"]:
            setting = variable["name"].removeprefix("MISTO_").lower()
            assert setting in Settings.model_fields
            if "url" in setting or "password" in setting:
                assert "secretKeyRef" in variable["valueFrom"], f"{variable['name']} of {name}"


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_image_is_the_one_of_compose_and_runs_with_little_rights(name: str) -> None:
    compose = YAML(typ="safe", pure=True).load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    assert pod(name)["securityContext"]["runAsNonRoot"] is True
    assert f"--uid {pod(name)['securityContext']['runAsUser']} " in (ROOT / "Dockerfile").read_text(encoding="utf-8")
    for container in containers(name):
        assert container["image"] == compose["x-misto"]["image"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("name", WORKLOADS)
def test_commands_exist(name: str) -> None:
    for container in containers(name):
        words = [word for word in container["args"] if not word.startswith("/")]
        done = subprocess.run(
            [Path(sys.executable).with_name("misto"), *words, "--help"],
            env=environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", RUNNING)
def test_what_runs_is_selected_watched_and_listens_where_it_is_asked(name: str) -> None:
    item = RUNNING[name]
    labels = item["spec"]["template"]["metadata"]["labels"]
    assert item["spec"]["selector"]["matchLabels"] == labels
    (container,) = pod(name)["containers"]
    (port,) = container["ports"]
    service = name.removeprefix("misto-")
    setting = "board_port" if service == "board" else f"{service}_metrics_port"
    assert port["containerPort"] == Settings.model_fields[setting].default
    for probe, path in (("readinessProbe", "/healthz"), ("livenessProbe", "/metrics")):
        assert container[probe]["httpGet"] == {"path": path, "port": port["name"]}
    given = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert given["MISTO_BOARD_HOST" if service == "board" else "MISTO_METRICS_HOST"] == "0.0.0.0"


def test_services_and_budgets_belong_to_something_that_runs() -> None:
    for item in OBJECTS:
        if item["kind"] == "Service":
            assert item["spec"]["selector"]["app"] in RUNNING
        elif item["kind"] == "PodDisruptionBudget":
            assert RUNNING[item["spec"]["selector"]["matchLabels"]["app"]]["spec"]["replicas"] > 1
    assert RUNNING["misto-ingest"]["spec"]["serviceName"] in {
        item["metadata"]["name"] for item in OBJECTS if item["kind"] == "Service"
    }


def test_there_is_one_keeper_and_each_ingest_worker_has_its_own_session() -> None:
    keeper = RUNNING["misto-keeper"]["spec"]
    assert (keeper["replicas"], keeper["strategy"]) == (1, {"type": "Recreate"})
    assert RUNNING["misto-ingest"]["kind"] == "StatefulSet"
    (container,) = pod("misto-ingest")["containers"]
    client_id = next(variable for variable in container["env"] if variable["name"] == "MISTO_MQTT_CLIENT_ID")
    assert client_id["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert {"name": "MISTO_MQTT_SHARE", "value": "misto"} in container["env"]


def test_the_job_that_ends_a_session_is_like_the_worker_whose_session_it_was() -> None:
    (job,) = YAML(typ="safe", pure=True).load_all((ROOT / "deploy" / "scale" / "leave.yaml").read_text("utf-8"))
    spec = job["spec"]["template"]["spec"]
    (leaving,), (worker,) = spec["containers"], pod("misto-ingest")["containers"]
    assert leaving["args"] == ["ingest", "--leave"]
    help_text = subprocess.run(
        [Path(sys.executable).with_name("misto"), "ingest", "--help"],
        env=environment(), capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "--leave" in help_text
    same = ("MISTO_DATABASE_URL", "MISTO_MQTT_URL", "MISTO_MQTT_SHARE")
    assert [one for one in leaving["env"] if one["name"] in same] == [
        one for one in worker["env"] if one["name"] in same
    ]
    (client_id,) = [one["value"] for one in leaving["env"] if one["name"] == "MISTO_MQTT_CLIENT_ID"]
    assert client_id == f"{WORKLOADS['misto-ingest']['metadata']['name']}-2"
    assert (leaving["image"], leaving["securityContext"]) == (worker["image"], worker["securityContext"])
    assert spec["securityContext"] == pod("misto-ingest")["securityContext"]
