from __future__ import annotations

import threading
import time
from pathlib import Path

import psutil
import pytest

from tests.studio.server import Visitor, run_zipp, serving
from zipp_dagster.studio.database import default_url
from zipp_dagster.studio.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed-home")
    run_zipp(folder, "run", "--select", "diffusion_model")
    run_zipp(folder, "study", "create", "pilot", "--pairs", "6")
    return folder


def test_votes_that_were_answered_survive_a_kill_and_people_go_on(home):
    answered: list[str] = []
    visitors: list[Visitor] = []
    for votes_before_the_kill in (3, 7):
        with serving(home) as server:
            while len(visitors) < 3:
                visitors.append(Visitor(server.url, "pilot"))
            for visitor in visitors:
                visitor.http.base_url = server.url
                visitor.next_pair()
            drawing = psutil.Process(server.process.pid).children(recursive=True)
            wanted = len(answered) + votes_before_the_kill
            threads = [
                threading.Thread(target=vote_on, args=(visitor, answered)) for visitor in visitors
            ]
            for thread in threads:
                thread.start()
            while len(answered) < wanted:
                time.sleep(0.001)
            server.kill()
            for thread in threads:
                thread.join(60)
        _, alive = psutil.wait_procs(drawing, timeout=30)
        assert alive == [], "the drawing process ends with its server"
        store = Store(default_url(home))
        kept = {vote["pair"] for vote in store.votes("pilot")}
        store.close()
        assert set(answered) <= kept
    with serving(home) as server:
        for visitor in visitors:
            visitor.http.base_url = server.url
            while (page := visitor.next_pair()) is not None:
                answered.append(visitor.vote(page))
    store = Store(default_url(home))
    assert store.counts("pilot")["finished"] == 3
    found = [vote["pair"] for vote in store.votes("pilot")]
    store.close()
    assert len(found) == len(set(found)) and set(answered) <= set(found)


def vote_on(visitor: Visitor, answered: list[str]) -> None:
    """Votes until the server is gone."""
    import httpx2 as httpx

    try:
        while (page := visitor.next_pair()) is not None:
            answered.append(visitor.vote(page))
    except httpx.TransportError:
        return
