"""Starts the MLflow server of compose.yaml with what .env says; arguments go to `mlflow server`.

The database's password goes into an address, so it is escaped, and by a variable, so that no list of
processes shows it. MLflow refuses changes that a browser sends from another site than localhost:
the sites of the proxy are allowed.
"""

import os
import sys
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

PORTS = {"http": 80, "https": 443}


def store_uri(environment: Mapping[str, str]) -> str:
    """The address of MLflow's database."""
    password = quote(environment["POSTGRES_PASSWORD"], safe="")
    host = f"{environment['POSTGRES_HOST']}:{environment['POSTGRES_PORT']}"
    return f"postgresql+psycopg2://zipp:{password}@{host}/mlflow"


def origins(sites: str) -> list[str]:
    """What a browser calls the sites of an address line of Caddy: scheme, host, port if unusual.

    A site without a host (`:8081`) is any address of the machine: nobody can tell which, and only
    localhost is served, which MLflow allows by itself.
    """
    found = []
    for site in sites.replace(",", " ").split():
        named = "://" in site
        parts = urlsplit(site if named else f"//{site}")
        if not parts.hostname:
            continue
        scheme = parts.scheme if named else "http" if parts.port == PORTS["http"] else "https"
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        usual = parts.port in (None, PORTS.get(scheme))
        found.append(f"{scheme}://{host}" if usual else f"{scheme}://{host}:{parts.port}")
    return found


def main() -> None:
    """Becomes the server."""
    environment = {**os.environ, "MLFLOW_BACKEND_STORE_URI": store_uri(os.environ)}
    arguments = [sys.executable, "-m", "mlflow", "server", *sys.argv[1:]]
    if allowed := origins(os.environ.get("MLFLOW_SITE", "")):
        arguments += ["--cors-allowed-origins", ",".join(allowed)]
    os.execve(sys.executable, arguments, environment)


if __name__ == "__main__":
    main()
