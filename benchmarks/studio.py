"""Does the studio stay quick and lose nothing with many people at once?

    python benchmarks/studio.py [--participants 20] [--pairs 6] [--seconds 240] [--json]

A real `zipp studio` process on loopback with the small models. `first_image_s` is the time from the
click in a real page's place (POST /personalize) to both pictures, on a server that is warm. Then all
participants join at once and vote without a pause while their later pairs are being drawn in the
background: `p95_ms` is over every page, picture and vote answer, `lost_votes` are votes that the
server has acknowledged and the database does not hold. The customary way, drawing a pair inside
the request that shows it, is measured on the same server as `drawn_in_request_ms`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import numpy as np
from sample_home import machine

from zipp_dagster.studio.database import default_url
from zipp_dagster.studio.store import Store

INTAKE = {
    "age_band": "25-34",
    "surroundings": "coast",
    "work": "health",
    "hobbies": ["painting", "sailing"],
}
HTML = {"accept": "text/html"}
PERSONA = "I like oil painting and golden tones in pictures."


def zipp(home: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "zipp_dagster.cli", *arguments]


def environment(home: Path) -> dict[str, str]:
    ours = {k: v for k, v in os.environ.items() if not k.startswith("ZIPP_")}
    return ours | {"ZIPP_HOME": str(home), "PYTHONUNBUFFERED": "1"}


@contextlib.contextmanager
def studio(home: Path, options: argparse.Namespace) -> Iterator[str]:
    """The URL of a running studio with one study."""
    make = ["study", "create", "load", "--pairs", str(options.pairs)]
    make += ["--participants", str(10 * options.participants)]
    for command in (["run", "--select", "diffusion_model"], make):
        subprocess.run(zipp(home, *command), env=environment(home), check=True, stdout=sys.stderr)
    server = subprocess.Popen(
        zipp(home, "studio", "--port", "0"),
        env=environment(home),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        found = re.search(r"http://[\d.:]+", server.stdout.readline())
        if found is None:
            raise SystemExit("the studio did not start")
        yield found[0]
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()


class Participant(threading.Thread):
    """Joins, looks at both pictures of each pair, votes at once; notes every answer's time."""

    def __init__(self, url: str, start: threading.Barrier, deadline: float) -> None:
        super().__init__()
        self.http = httpx.Client(base_url=url, headers=HTML, timeout=60)
        self.begin, self.deadline = start, deadline
        self.milliseconds: list[float] = []
        self.answered: list[str] = []
        self.joined_ms = 0.0
        self.problem: str | None = None

    def run(self) -> None:
        """Until the last vote, or the deadline."""
        try:
            self._take_part()
        except Exception as error:  # noqa: BLE001 (any problem is the benchmark's result)
            self.problem = repr(error)

    def _take_part(self) -> None:
        self.begin.wait()
        started = time.monotonic()
        answer = self.http.post("/study/load/join", data=INTAKE | {"consent": "yes"})
        self.joined_ms = 1000 * (time.monotonic() - started)
        place = answer.headers["location"].removesuffix("/start")
        while time.monotonic() < self.deadline:
            page = self._timed("GET", place)
            if "Thank you" in page.text:
                return
            pair = re.search(r'name="pair" value="([^"]+)"', page.text)
            if pair is None:
                time.sleep(0.5)
                continue
            for picture in re.findall(r'<img src="(/s/[^"]+)"', page.text):
                self._timed("GET", picture)
            vote = {"pair": pair[1], "choice": "left"}
            if self._timed("POST", f"{place}/vote", data=vote).status_code == 303:
                self.answered.append(pair[1])

    def _timed(self, method: str, url: str, **values: object) -> httpx.Response:
        started = time.monotonic()
        answer = self.http.request(method, url, **values)
        self.milliseconds.append(1000 * (time.monotonic() - started))
        if answer.status_code >= 400:
            raise RuntimeError(f"{method} {url}: {answer.status_code}")
        return answer


def first_image(url: str, tries: int = 5) -> list[float]:
    """Seconds from asking to both pictures; the first call, which waits for the models, is left out."""
    seconds = []
    with httpx.Client(base_url=url, timeout=240) as http:
        for number in range(tries + 1):
            body = {"prompt": "a sailboat on a lake", "persona_text": PERSONA, "seed": number}
            started = time.monotonic()
            answer = http.post("/personalize", json=body)
            seconds.append(time.monotonic() - started)
            if answer.status_code != 200:
                raise SystemExit(f"/personalize: {answer.status_code} {answer.text}")
    return seconds[1:]


def measure(options: argparse.Namespace) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="zipp-studio-benchmark-") as folder:
        home = Path(folder)
        with studio(home, options) as url:
            images = first_image(url)
            barrier = threading.Barrier(options.participants)
            deadline = time.monotonic() + options.seconds
            people = [Participant(url, barrier, deadline) for _ in range(options.participants)]
            started = time.monotonic()
            for person in people:
                person.start()
            for person in people:
                person.join()
            elapsed = time.monotonic() - started
        problems = [person.problem for person in people if person.problem]
        if problems:
            raise SystemExit(f"{len(problems)} participants failed, such as {problems[0]}")
        store = Store(default_url(home))
        kept = {vote["pair"] for vote in store.votes("load")}
        finished = store.counts("load")["finished"]
        store.close()
    answered = {pair for person in people for pair in person.answered}
    times = np.array([ms for person in people for ms in person.milliseconds])
    results = [
        ("p95_ms", float(np.quantile(times, 0.95)), "ms", "<= 300"),
        ("median_ms", float(np.median(times)), "ms", None),
        ("slowest_join_ms", max(person.joined_ms for person in people), "ms", None),
        ("lost_votes", len(answered - kept), "votes", "0"),
        ("votes", len(answered), "votes", None),
        ("participants_finished", finished, "people", str(options.participants)),
        ("first_image_s", max(images), "s", "<= 3"),
        ("drawn_in_request_ms", 1000 * statistics.median(images), "ms", None),
        ("seconds", elapsed, "s", None),
    ]
    names = ("name", "value", "unit", "target")
    return {
        "benchmark": "studio",
        "machine": machine(),
        "results": [
            dict(zip(names, (name, round(value, 3), unit, target), strict=True))
            for name, value, unit, target in results
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--participants", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=240.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    document = measure(options)
    if options.json:
        print(json.dumps(document, indent=1))
        return
    for row in document["results"]:
        target = f"  (target {row['target']})" if row["target"] else ""
        print(f"{row['name']:24}{row['value']:>12} {row['unit']}{target}")


if __name__ == "__main__":
    main()
