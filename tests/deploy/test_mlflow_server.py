"""MLflow's start in a deployment: any password, and the proxy's sites may change what is there."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from sqlalchemy.engine import make_url

from tests.slow.topology import free_port, until

FILE = Path(__file__).parents[2] / "deploy" / "mlflow_server.py"
SITES = [
    (":8081", []),
    ("", []),
    ("mlflow.example.org", ["https://mlflow.example.org"]),
    ("mlflow.example.org:443", ["https://mlflow.example.org"]),
    ("http://192.168.1.5:8081", ["http://192.168.1.5:8081"]),
    ("box.local:80", ["http://box.local"]),
    ("box.local:8081", ["https://box.local:8081"]),
    ("https://A.example.org:8443/", ["https://a.example.org:8443"]),
    ("[fd00::5]:8081", ["https://[fd00::5]:8081"]),
    ("a.example.org, b.example.org", ["https://a.example.org", "https://b.example.org"]),
]


@pytest.fixture(scope="module")
def mlflow_server():
    spec = importlib.util.spec_from_file_location("mlflow_server", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("sites", "allowed"), SITES, ids=[sites or "none" for sites, _ in SITES])
def test_a_site_of_the_proxy_is_the_origin_that_a_browser_names(mlflow_server, sites, allowed):
    assert mlflow_server.origins(sites) == allowed


def test_mlflow_lets_the_proxy_s_site_and_localhost_in_and_nobody_else(mlflow_server):
    from mlflow.server.security_utils import should_block_cors_request

    allowed = mlflow_server.origins("mlflow.example.org")

    def blocked(origin: str) -> bool:
        return should_block_cors_request(origin, "POST", allowed)

    assert not blocked("https://mlflow.example.org") and not blocked("http://localhost:8081")
    assert blocked("https://evil.example.org") and blocked("http://mlflow.example.org")


@pytest.mark.parametrize("password", ["plain", "p@ss/w%rd:?#[]", "ü &+=\\ \"'"])
def test_any_password_reaches_the_database_as_it_is(mlflow_server, password):
    environment = {
        "POSTGRES_PASSWORD": password,
        "POSTGRES_HOST": "postgres",
        "POSTGRES_PORT": "5432",
    }
    url = make_url(mlflow_server.store_uri(environment))
    assert (url.username, url.password, url.host, url.port, url.database) == (
        "zipp", password, "postgres", 5432, "mlflow")  # fmt: skip


@pytest.mark.slow
def test_a_page_under_a_host_name_may_search_runs(tmp_path):
    """The real server, started as compose does; only the database is another one."""
    port = free_port()
    start = (
        "import runpy, sys\n"
        "module = runpy.run_path(sys.argv.pop(1), run_name='deploy')\n"
        f"module['main'].__globals__['store_uri'] = lambda _: 'sqlite:///{tmp_path}/mlflow.db'\n"
        "module['main']()\n"
    )
    arguments = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--allowed-hosts",
                 "mlflow:*,localhost:*", "--artifacts-destination", str(tmp_path)]  # fmt: skip
    server = subprocess.Popen(
        [sys.executable, "-c", start, str(FILE), *arguments],
        env=os.environ | {"MLFLOW_SITE": "mlflow.example.org"},
        start_new_session=True,
    )
    try:
        base = f"http://127.0.0.1:{port}"
        until("MLflow answers", lambda: requests.get(f"{base}/health", timeout=5).ok)

        def search(origin: str) -> int:
            return requests.post(
                f"{base}/ajax-api/2.0/mlflow/runs/search",
                json={"experiment_ids": ["0"]},
                headers={"Origin": origin, "Host": "mlflow:5000"},  # the proxy's
                timeout=30,
            ).status_code

        assert search("https://mlflow.example.org") == search("http://localhost:8081") == 200
        assert search("https://evil.example.org") == 403
    finally:
        os.killpg(server.pid, 9)
        server.wait()
