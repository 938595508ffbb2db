"""The `media` asset where images are fetched: what it makes, and what it depends on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pyarrow.parquet as pq
import pytest

from assets import sources
from assets.catalogue import catalogue
from assets.reddit import images_found
from tests.reddit.rude_server import RudeServer, picture
from tests.test_monthly_increments import NoTracking
from zipp_dagster import runner
from zipp_dagster.platform.artifacts import Input, Inputs, Skip
from zipp_dagster.platform.expectations import validate
from zipp_dagster.platform.materialise import expect, materialise
from zipp_dagster.progress import silent
from zipp_dagster.reddit import media_fetch
from zipp_dagster.reddit.columns import SUBMISSIONS_SCHEMA
from zipp_dagster.reddit.media_addresses import AllowedHost

FIELDS = {"code_version": "1", "config_hash": "c", "config": {}, "inputs": (), "seconds": 0.1}
LINKS = {"s1": "good/red.png", "s2": "page/a.png", "s3": "good/also.png", "s4": "good/blue.png"}


@pytest.fixture
def server():
    server = RudeServer()
    yield server
    server.stop()


@pytest.fixture
def publish(tmp_path):
    """Publishes a version of one table, or a skipped one."""

    def make(lake, asset, partition=None, rows=None, skipped=None):
        import pyarrow as pa

        with lake.draft(asset, partition, "key") as draft:
            if rows is not None:
                table = pa.Table.from_pylist(rows, schema=SUBMISSIONS_SCHEMA)
                pq.write_table(table, draft.path("part-00000.parquet"))
            version = lake.publish(draft, data_version="d", run_id=None, skipped=skipped, **FIELDS)
        return Input(asset, [version])

    return make


@pytest.fixture
def made(server, tmp_path, environment, publish, monkeypatch):
    """`made(**settings)` calls the asset's body; returns its draft, inputs, summary, platform."""
    dumps = tmp_path / "dumps"
    dumps.mkdir()

    async def resolve(name: str) -> list[str]:
        return ["127.0.0.1"]

    hosts = [AllowedHost("images.test", "http", server.port, loopback=True)]
    fetcher = partial(media_fetch.Fetcher, hosts=hosts, resolve=resolve)
    monkeypatch.setattr(media_fetch, "Fetcher", fetcher)
    monkeypatch.setattr("zipp_dagster.reddit.media.image_address", lambda url, key: url)

    def make(**settings):
        rows = [
            dict.fromkeys(SUBMISSIONS_SCHEMA.names)
            | {
                "id": post,
                "url": f"http://images.test:{server.port}/{path}",
                "over_18": post == "s4",
            }
            | {"is_image": True, "is_bot": False, "media_key": path.rsplit("/", 1)[-1]}
            for post, path in LINKS.items()
        ]
        with environment(ZIPP_HOME=tmp_path / "home", ZIPP_REDDIT__DUMPS_DIR=dumps, **settings):
            platform = runner.local_platform()
            inputs = Inputs(
                {
                    "submissions": publish(platform.lake, "submissions", "2024-01", rows),
                    "sample_world": publish(platform.lake, "sample_world", skipped="real dumps"),
                }
            )
            reddit = platform.settings.reddit
            folder = tmp_path / "out"
            folder.mkdir(exist_ok=True)
            from zipp_dagster.platform.lake import Draft

            draft = Draft("media", "2024-01", folder, tmp_path)
            summary = catalogue()["media"].function(inputs, draft, platform, reddit, silent)
            return draft, inputs, summary, platform

    return make


def test_images_are_fetched_where_it_is_set_and_the_table_keeps_its_contract(made, server):
    draft, inputs, summary, platform = made(ZIPP_REDDIT__FETCH_MEDIA="true")
    rows = pq.read_table(draft.files()).to_pylist()
    assert [(row["post_id"], row["duplicate_of"]) for row in rows] == [("s1", None), ("s3", "s1")]
    assert rows[0]["image"] == picture()
    contract = catalogue()["media"].contract
    assert validate(contract, draft.files(), {}).passed
    failures = pq.read_table(draft.path("failures.parquet")).to_pylist()
    assert {f["post_id"]: f["reason"] for f in failures} == {"s2": "web_page", "s4": "over_18"}
    numbers = {key: summary.metadata[key] for key in ("fetched", "cached", "requests", "collected")}
    assert numbers == {"fetched": 2, "cached": 0, "requests": 3, "collected": 2}
    assert summary.metadata["failure_reasons"] == {"over_18": 1, "web_page": 1}
    assert summary.images == {}, "pictures of real people are not shown"
    outcome = images_found.function(draft, inputs)
    assert outcome.passed and outcome.metadata == {"found_share": 0.5}
    assert server.requests["/good/blue.png"] == 0
    assert (platform.home / "media-cache" / "index.db").is_file()


def test_fetching_is_off_unless_it_is_set_and_then_the_reason_says_so(made, server):
    with pytest.raises(Skip, match=r"reddit\.media_dir is not set, and reddit\.fetch_media is off"):
        made()
    assert server.requests.total() == 0


def test_the_data_version_of_media_follows_whom_it_may_be_fetched_from(tmp_path, environment):
    def fingerprint(**settings):
        with environment(ZIPP_HOME=tmp_path / "home", ZIPP_REDDIT__DUMPS_DIR=tmp_path, **settings):
            return sources.media_fingerprint(runner.local_platform(), "2024-01")

    off = fingerprint()
    on = fingerprint(ZIPP_REDDIT__FETCH_MEDIA="true")
    hosts = fingerprint(ZIPP_REDDIT__FETCH_MEDIA="true", ZIPP_REDDIT__FETCH__HOSTS='["i.redd.it"]')
    adults = fingerprint(ZIPP_REDDIT__FETCH_MEDIA="true", ZIPP_REDDIT__FETCH__OVER_18="true")
    slower = fingerprint(ZIPP_REDDIT__FETCH_MEDIA="true", ZIPP_REDDIT__FETCH__PER_HOST="1")
    folder = fingerprint(ZIPP_REDDIT__FETCH_MEDIA="true", ZIPP_REDDIT__MEDIA_DIR=tmp_path)
    assert len({off, on, hosts, adults, folder}) == 5 and slower == on


@pytest.mark.parametrize("limit", ["MAX_IMAGE_MIB", "MAX_IMAGE_MEGAPIXELS"])
def test_a_limit_of_images_concerns_media_alone(made, tmp_path, environment, publish, limit):
    def versions(asset, **settings):
        home, dumps = tmp_path / "home", tmp_path / "dumps"
        with environment(ZIPP_HOME=home, ZIPP_REDDIT__DUMPS_DIR=dumps, **settings):
            platform = runner.local_platform()
            for name in ("reddit_dumps", "erasures"):
                publish(platform.lake, name, "2024-01" if name == "reddit_dumps" else None)
            entries = catalogue()
            return expect(entries[asset], "2024-01", platform, entries).data_version

    higher = {f"ZIPP_REDDIT__{limit}": "60"}
    for asset in ("comments", "submissions"):
        assert versions(asset) == versions(asset, **higher), asset
    fetching = {"ZIPP_REDDIT__FETCH_MEDIA": "true"}
    made(**fetching)
    assert versions("media", **fetching) != versions("media", **fetching, **higher)
    folder = {"ZIPP_REDDIT__MEDIA_DIR": tmp_path}
    assert versions("media", **folder) != versions("media", **folder, **higher)


@pytest.fixture
def month(made, server, monkeypatch):
    """`month(day, **settings)` makes the month's media on a day, as a run does."""
    entries = catalogue()
    monkeypatch.setitem(LINKS, "s3", "recovers/a.png")
    monkeypatch.setattr("zipp_dagster.platform.materialise.run_checks", lambda *_: ())
    settings = {"ZIPP_REDDIT__FETCH__ATTEMPTS": 1, "ZIPP_REDDIT__FETCH__MOST_UNREACHABLE": 1}
    _, _, _, platform = made(ZIPP_REDDIT__FETCH_MEDIA="true", **settings)
    place = replace(platform, registry=NoTracking())

    def make(days: int):
        today = datetime.now(UTC).date() + timedelta(days)
        monkeypatch.setattr(sources, "today", today.isoformat)
        return materialise(entries["media"], "2024-01", place, entries)

    return make


def test_images_that_failed_for_now_are_tried_again_on_another_day(month, server):
    first = month(0)
    assert (first.status, first.version.manifest.metadata["unreachable"]) == ("made", 1)
    asked = server.requests.copy()
    assert month(0).status == "unchanged" and server.requests == asked
    assert month(1).status == "unchanged", "tried in vain: nothing follows from it"
    assert server.requests - asked == {"/recovers/a.png": 1}
    server.recovered.set()
    assert month(1).status == "unchanged", "not twice a day"
    again = month(2)
    facts = again.version.manifest.metadata
    assert again.status == "made" and again.version.manifest.rows == first.version.manifest.rows + 1
    assert (facts["unreachable"], facts["days_tried"]) == (0, 3)
    assert again.version.manifest.data_version != first.version.manifest.data_version
    assert month(3).status == "unchanged" and server.requests["/recovers/a.png"] == 4


def test_they_are_not_tried_for_ever(month, server):
    for day in range(3 * sources.DAYS_OF_TRIES):
        month(day)
    assert server.requests["/recovers/a.png"] == sources.DAYS_OF_TRIES + 1  # and the fixture's


def test_the_paper_profile_fetches_and_the_sample_profile_does_not():
    from zipp_dagster.settings import load_settings

    assert load_settings("paper").reddit.fetch_media
    assert not load_settings("sample").reddit.fetch_media
