"""The files of deploy/: valid by their schemas, closed by default, and with settings that exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml

from zipp_dagster.settings import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
OURS = ("mlflow", "code", "webserver", "daemon")


def test_the_compose_files_are_valid_by_the_specifications_schema():
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    files = [DEPLOY / "compose.yaml", DEPLOY / "compose.https.yaml"]
    done = subprocess.run([*command, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", ["compose.yaml", "compose.https.yaml"])
def test_only_the_proxy_is_reachable_and_on_loopback_unless_said_otherwise(file):
    services = yaml.safe_load((DEPLOY / file).read_text())["services"]
    published = {name: s["ports"] for name, s in services.items() if "ports" in s}
    assert list(published) == ["proxy"]
    assert all(port.startswith("${BIND_ADDRESS:-127.0.0.1}:") for port in published["proxy"])


def test_every_site_of_the_proxy_asks_for_a_password():
    sites = re.findall(r"^\{\$\w+\} \{\n(.*?)^\}", (DEPLOY / "Caddyfile").read_text(), re.M | re.S)
    assert len(sites) == 3 and all("import guarded" in site for site in sites)


@pytest.mark.parametrize("name", OURS)
def test_every_service_of_ours_has_a_health_check_and_waits_for_what_it_needs(name):
    service = COMPOSE["services"][name]
    assert service["healthcheck"]["test"] and service["depends_on"]
    assert all(c["condition"] == "service_healthy" for c in service["depends_on"].values())


@pytest.mark.parametrize("file", ["compose.yaml", "example.env"])
def test_every_setting_that_is_set_exists(file):
    names = set(re.findall(r"\bZIPP_[A-Z0-9_]+", (DEPLOY / file).read_text()))
    names -= {"ZIPP_SECTION__KEY"}  # the placeholder of a comment
    fields = Settings.model_fields
    for name in names:
        section, _, key = name.removeprefix("ZIPP_").lower().partition("__")
        assert section in fields, name
        assert not key or key in fields[section].annotation.model_fields, name


def test_no_secret_has_a_default():
    text = (DEPLOY / "compose.yaml").read_text() + (DEPLOY / "example.env").read_text()
    assert re.findall(r"^(POSTGRES_PASSWORD|PROXY_PASSWORD_HASH)=.+", text, re.M) == []
    assert "${POSTGRES_PASSWORD:?" in text and "${PROXY_PASSWORD_HASH:?" in text


def test_the_instance_file_is_what_dagster_accepts(monkeypatch, tmp_path):
    from dagster._core.instance.config import dagster_instance_config

    for name in ("POSTGRES_HOST", "POSTGRES_PORT", "POSTGRES_PASSWORD", "COMPUTE_LOGS"):
        monkeypatch.setenv(name, "5432")
    (tmp_path / "dagster.yaml").write_text((DEPLOY / "dagster.yaml").read_text())
    config, _ = dagster_instance_config(str(tmp_path))
    assert config["storage"]["postgres"]["postgres_db"]["scheme"] == "postgresql+psycopg2"


def test_run_monitoring_can_ask_the_launcher_and_frees_what_dead_runs_held(tmp_path):
    ours = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())
    kept = {name: ours[name] for name in ("run_launcher", "run_monitoring", "run_retries")}
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(kept))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.run_monitoring_enabled and instance.run_retries_enabled
        assert instance.run_launcher.supports_check_run_worker_health
        assert instance.run_monitoring_settings["free_slots_after_run_end_seconds"] > 0


def test_lost_runs_are_marked_before_the_code_server_starts():
    (*_, command) = COMPOSE["services"]["code"]["command"]
    assert command.startswith("zipp bootstrap && exec dagster code-server start")


def test_what_runs_print_is_on_a_volume_that_the_webserver_sees_too():
    logs = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())["compute_logs"]
    assert logs["config"]["base_dir"] == {"env": "COMPUTE_LOGS"}
    for name in ("code", "webserver", "daemon"):
        service = COMPOSE["services"][name]
        assert service["environment"]["COMPUTE_LOGS"].startswith("/zipp/")
        assert "zipp:/zipp" in service["volumes"]


def test_mlflow_knows_the_site_that_the_proxy_serves_it_under():
    services = COMPOSE["services"]
    assert services["mlflow"]["environment"]["MLFLOW_SITE"] == "${MLFLOW_SITE:-:8081}"
    assert services["proxy"]["environment"]["MLFLOW_SITE"] == "${MLFLOW_SITE:-:8081}"
    assert services["mlflow"]["command"][:2] == ["python", "/opt/dagster/mlflow_server.py"]
    assert "deploy/mlflow_server.py /opt/dagster/" in (DEPLOY / "Dockerfile").read_text()


def test_the_image_installs_what_the_lock_and_the_deployment_pin():
    text = (DEPLOY / "Dockerfile").read_text()
    assert "requirements.lock" in text and "deploy/requirements.txt" in text
    copied = set(re.findall(r"^COPY (\w+) \w+$", text, re.M))
    assert copied == {"zipp_dagster", "assets", "resources", "dbt_like_sql"}
    assert re.search(r"^USER zipp$", text, re.M)
