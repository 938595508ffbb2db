"""Planted secrets: a run that uses them, and fails over them, leaves them in no file and no output."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

KEY = "sk-planted-7f3a9c2e51"
HOOK = "hook-planted-c0ffee42"
PSEUDONYM_KEY = "planted-key-of-pseudonyms-31415"
PATIENCE_SECONDS = 900


class Refusing(BaseHTTPRequestHandler):
    """An endpoint that repeats the key which it refuses, as some do, and takes messages."""

    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.path, self.headers.get("Authorization"), body))
        hook = HOOK in self.path
        said = {"error": {"message": f"no such key: {self.headers.get('Authorization')}"}}
        answer = b"{}" if hook else json.dumps(said).encode()
        self.send_response(200 if hook else 401)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """What it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Refusing)
        self.seen: list[tuple[str, str | None, bytes]] = []


@pytest.fixture
def endpoint() -> Iterator[Server]:
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def holding(folder: Path, secret: str) -> list[str]:
    """Files below a folder with the secret in them, and in their names."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 50, "nothing was made: there is nothing to look through"
    return [
        path.relative_to(folder).as_posix()
        for path in files
        if secret.encode() in path.read_bytes() or secret in path.name
    ]


def test_no_planted_secret_is_in_any_file_or_output_of_a_run(
    tmp_path, zipp, mlflow_store, endpoint
):
    home = tmp_path / "home"
    mlflow_store(home / "mlflow")
    where = f"http://127.0.0.1:{endpoint.server_port}"
    settings = {
        "ZIPP_PERSONA__LANGUAGE_MODEL__KIND": "http",
        "ZIPP_PERSONA__LANGUAGE_MODEL__MODEL": "planted",
        "ZIPP_PERSONA__LANGUAGE_MODEL__BASE_URL": f"{where}/v1",
        "ZIPP_PERSONA__LANGUAGE_MODEL__API_KEY": KEY,
        "ZIPP_OPERATION__WEBHOOK_URL": f"{where}/{HOOK}",
        "ZIPP_REDDIT__PSEUDONYM_KEY": PSEUDONYM_KEY,
        "ZIPP_ENCODER__EPOCHS": "2",
        "ZIPP_SNIPPETS__MIN_COMMENTS": "1",
    }
    outputs = []
    for arguments, code in (
        (("run", "--select", "+personas,rewriter"), 1),  # the endpoint refuses: personas fail
        (("doctor",), 0),
        (("status",), 0),
        (("run", "--plan"), 0),
        (("lineage", "show", "rewriter", "--json"), 0),
        (("models", "list", "--json"), 0),
    ):
        process = zipp(home, *arguments, **settings)
        output, errors = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == code, errors
        outputs += [output, errors]
    sent = {authorization for path, authorization, _ in endpoint.seen if "/v1" in path}
    assert sent == {f"Bearer {KEY}"}, "the key was not used: the test shows nothing"
    assert "HTTP 401" in "".join(outputs)
    for secret in (KEY, HOOK, PSEUDONYM_KEY):
        assert holding(home, secret) == []
        assert not [output for output in outputs if secret in output]


def test_the_search_finds_a_planted_secret(tmp_path):
    for number in range(60):
        (tmp_path / f"{number}.txt").write_text("nothing")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "log.bin").write_bytes(b"\x00Bearer " + KEY.encode())
    assert holding(tmp_path, KEY) == ["deep/log.bin"]
