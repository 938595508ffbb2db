"""The values for Dagster's chart: of the shape that the chart takes, closed, and like compose's."""

from __future__ import annotations

import re
from copy import deepcopy
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from zipp_dagster.settings import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
HELM = yaml.safe_load((DEPLOY / "helm-values.yaml").read_text())
SCHEMA = yaml.safe_load(Path(__file__).with_name("chart-values.schema.yaml").read_text())


def complaints(values: Any) -> list[str]:
    """Where values are not as the chart wants them, and why."""
    found = Draft202012Validator(SCHEMA).iter_errors(values)
    return [f"{error.json_path}: {error.message}" for error in found]


def test_the_values_are_what_the_chart_takes():
    Draft202012Validator.check_schema(SCHEMA)
    assert complaints(HELM) == []


FAULTS: list[tuple[str, Any, str]] = [
    (
        "dagsterDaemon.runCoordinator.config.queuedRunCoordinator.maxConcurrentRuns",
        4,
        "unexpected",
    ),
    ("dagsterWebserver.service.type", "Loadbalancer", "is not one of"),
    ("dagsterDaemon.runMonitoring.startTimeout", 300, "unexpected"),
    ("runLauncher.type", "K8sRunLaunch", "is not one of"),
    ("retention.sensor.purgeAfterDays.skipped", "7 days", "is not valid"),
    ("concurrency.enabled", False, "True was expected"),
    ("telemetry", {}, "'enabled' is a required property"),
]


@pytest.mark.parametrize(("path", "value", "message"), FAULTS, ids=[path for path, *_ in FAULTS])
def test_a_planted_fault_in_the_values_is_found(path, value, message):
    values = deepcopy(HELM)
    *parents, last = path.split(".")
    reduce(getitem, parents, values)[last] = value
    assert any(message in complaint for complaint in complaints(values)), complaints(values)


def test_an_unquoted_true_of_a_code_location_is_found():
    values = deepcopy(HELM)
    values["dagster-user-deployments"]["deployments"][0]["env"][0]["value"] = True
    assert [c for c in complaints(values) if "True is not of type 'string'" in c]


def test_the_instance_file_that_the_chart_makes_of_them_is_what_dagster_accepts(tmp_path):
    """As the chart's template writes it: queue, monitoring, retries, pools, retention, and the rest."""
    from dagster._core.instance.config import dagster_instance_config

    daemon = HELM["dagsterDaemon"]
    ticks = {name: snake(HELM["retention"][name]) for name in ("schedule", "sensor")}
    document = {
        "run_coordinator": {
            "module": "dagster.core.run_coordinator",
            "class": daemon["runCoordinator"]["type"],
            "config": daemon["runCoordinator"]["config"]["queuedRunCoordinator"],
        },
        "run_monitoring": snake(daemon["runMonitoring"]),
        "run_retries": snake(daemon["runRetries"]),
        "retention": ticks,
        "concurrency": {k: snake(HELM["concurrency"][k]) for k in ("pools", "runs")},
        "telemetry": HELM["telemetry"],
        **HELM["additionalInstanceConfig"],
    }
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(document))
    config, _ = dagster_instance_config(str(tmp_path))
    assert config["concurrency"]["pools"]["default_limit"] == 2


def snake(values: Any) -> Any:
    """Keys in Dagster's spelling: maxRetries → max_retries."""
    if not isinstance(values, dict):
        return values
    return {re.sub("[A-Z]", lambda m: f"_{m[0].lower()}", k): snake(v) for k, v in values.items()}


def test_the_helm_values_set_settings_that_exist_and_hold_no_secret():
    (ours,) = HELM["dagster-user-deployments"]["deployments"]
    fields = Settings.model_fields
    for name in [entry["name"] for entry in ours["env"] if entry["name"].startswith("ZIPP_")]:
        section, _, key = name.removeprefix("ZIPP_").lower().partition("__")
        assert section in fields, name
        assert not key or key in fields[section].annotation.model_fields, name
    assert {entry["name"] for entry in ours["envSecrets"]} == {"zipp-settings"}
    assert "postgresqlPassword" not in HELM["postgresql"]
    assert HELM["generatePostgresqlPasswordSecret"] is False
    assert HELM["global"]["postgresqlSecretName"]


def test_on_kubernetes_nothing_is_open_by_itself_and_runs_share_the_lake():
    assert HELM["ingress"]["enabled"] is False
    assert HELM["dagsterWebserver"]["service"]["type"] == "ClusterIP"
    (ours,) = HELM["dagster-user-deployments"]["deployments"]
    assert ours["includeConfigInLaunchedRuns"]["enabled"] is True
    mounts = {mount["name"]: mount for mount in ours["volumeMounts"]}
    assert mounts["zipp"]["mountPath"] == "/zipp" and mounts["dumps"]["readOnly"] is True


def test_compose_and_helm_say_the_same_of_queue_pools_and_retries():
    instance = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())
    daemon = HELM["dagsterDaemon"]
    assert snake(HELM["concurrency"]["runs"]) == instance["concurrency"]["runs"]
    pools = instance["concurrency"]["pools"]
    assert HELM["concurrency"]["enabled"] is True
    assert HELM["concurrency"]["pools"] == {
        "granularity": pools["granularity"],
        "defaultLimit": pools["default_limit"],
    }
    freed = instance["run_monitoring"]["free_slots_after_run_end_seconds"]
    assert daemon["runMonitoring"]["freeSlotsAfterRunEndSeconds"] == freed
    assert daemon["runRetries"]["maxRetries"] == instance["run_retries"]["max_retries"]
    assert (
        HELM["postgresql"]["postgresqlScheme"]
        == instance["storage"]["postgres"]["postgres_db"]["scheme"]
    )
