"""A real server: `transformers serve` on loopback with a tiny checkpoint."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.persona.tiny_models import tiny_language_model
from zipp_dagster.persona.config import LanguageModelSettings, PersonaSettings
from zipp_dagster.persona.language_models import load_language_model
from zipp_dagster.persona.personas import build_personas

pytestmark = pytest.mark.slow


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[LanguageModelSettings]:
    model = tiny_language_model(tmp_path / "tiny")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).with_name("transformers"), "serve", str(model)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
                break
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                assert process.poll() is None, (tmp_path / "log").read_text()[-2000:]
                assert time.monotonic() < deadline, (tmp_path / "log").read_text()[-2000:]
                time.sleep(0.5)
        yield LanguageModelSettings(
            kind="http",
            model=str(model),
            base_url=f"http://127.0.0.1:{port}/v1",
            max_new_tokens=16,
            concurrency=2,
            timeout_s=60,
        )
    finally:
        process.terminate()
        process.wait(20)


def test_personas_are_asked_of_a_real_server_and_cut_answers_are_quarantined_and_not_kept(
    endpoint: LanguageModelSettings, evidence_file, tmp_path: Path
) -> None:
    """Random weights never end: every answer is cut at its longest length."""
    endpoint = endpoint.model_copy(update={"max_retries": 1})
    file = evidence_file({1: ["I love watercolor foxes"], 2: ["I love neon cars"]})
    for out in ("out", "again"):
        model = load_language_model(endpoint, tmp_path / "home")
        report = build_personas([file], model, PersonaSettings(), tmp_path / out)
        assert report.users == 2 and report.reasons == {"no answer": 2}
        (why,) = set(pq.read_table(report.file)["quarantined"].to_pylist())
        assert "max_new_tokens" in why
        assert model.usage.calls == 4 and model.usage.completion_tokens > 0
        assert model.usage.cached == 0 and model.usage.unanswered == 2
