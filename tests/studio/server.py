"""A real `zipp studio` process over a real small diffusion model, for the slow tests."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx

from tests.studio.conftest import ANSWERS, HTML


@dataclass
class Server:
    process: subprocess.Popen[str]
    url: str

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(30)


def run_zipp(home: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "zipp_dagster.cli", *arguments],
        env=_environment(home),
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextlib.contextmanager
def serving(home: Path) -> Iterator[Server]:
    """The studio of a ZIPP_HOME on a free port of loopback."""
    log = (home / "studio.log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "zipp_dagster.cli", "studio", "--port", "0"],
        env=_environment(home) | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://[\d.:]+", line)
        assert found, line + (home / "studio.log").read_text()
        yield Server(process, found[0])
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
        log.close()


def _environment(home: Path) -> dict[str, str]:
    ours = {k: v for k, v in os.environ.items() if not k.startswith("ZIPP_")}
    return ours | {"ZIPP_HOME": str(home), "OMP_NUM_THREADS": "1"}


class Visitor:
    """A participant over HTTP, without a browser."""

    def __init__(self, url: str, study: str) -> None:
        self.http = httpx.Client(base_url=url, headers=HTML, follow_redirects=True, timeout=60)
        answer = self.http.post(f"/study/{study}/join", data=ANSWERS)
        assert answer.status_code == 200, answer.text
        self.token = str(answer.url).split("/s/")[1].split("/")[0]

    def next_pair(self, seconds: float = 240) -> str | None:
        """The page of the next pair once it is drawn; None after the last one."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            page = self.http.get(f"/s/{self.token}").text
            if 'name="pair"' in page:
                return page
            if "Thank you" in page:
                return None
            time.sleep(0.3)
        raise AssertionError("no pair was drawn in time")

    def vote(self, page: str, choice: str = "left") -> str:
        """Votes; the pair's id once the server has answered."""
        pair = re.search(r'name="pair" value="([^"]+)"', page)
        assert pair is not None
        data = {"pair": pair[1], "choice": choice}
        answer = self.http.post(f"/s/{self.token}/vote", data=data, follow_redirects=False)
        assert answer.status_code == 303, answer.text
        return pair[1]
