"""Each stage on the cluster, with a worker killed in its middle: the bytes of the local engine."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tests.dbt_like_sql.test_ranges import materialise
from tests.encoder.conftest import data, settings, trained  # noqa: F401  (fixtures)
from tests.imaging import tiny_models
from tests.persona.conftest import reddit  # noqa: F401  (a fixture)
from tests.reddit.conftest import comment, pseudonymizer  # noqa: F401  (fixtures)
from tests.slow.ray import work
from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.encoder.embedding_files import embed_all
from zipp_dagster.encoder.rankings import write_rankings
from zipp_dagster.encoder.together import TrainingTask, train_together
from zipp_dagster.fanout import Local, Need, loaded
from zipp_dagster.persona.config import PersonaSettings, SnippetSettings
from zipp_dagster.persona.evidence import EvidenceInputs, collect_evidence
from zipp_dagster.persona.loading import load_writer
from zipp_dagster.persona.personas import write_personas
from zipp_dagster.persona.snippets import SnippetInputs, write_snippets
from zipp_dagster.platform.compute import engine_of, train_in_processes
from zipp_dagster.platform.warehouse import Warehouse
from zipp_dagster.reddit.erasure import NO_TOMBSTONES
from zipp_dagster.reddit.read_month import DumpToRead, read_dump

pytestmark = pytest.mark.ray
LOCAL = Local(2)


class Killing:
    """The cluster's engine, whose workers are killed once in the middle of each call."""

    elsewhere = True

    def __init__(self, engine, folder: Path) -> None:
        self.engine, self.folder, self.calls = engine, folder, 0

    def map_reporting(self, function, items, progress=lambda *_: None, *, need=None):
        killed = partial(work.killed_while_it_reports, function, self._marks())
        return self.engine.map_reporting(killed, items, progress)

    def stream(self, opening, function, items, *, need=None):
        return self.engine.stream(
            opening, partial(work.killed_after, function, self._marks()), items
        )

    def _marks(self) -> Path:
        self.calls += 1
        folder = self.folder / f"marks-{self.calls}"
        folder.mkdir()
        return folder


@pytest.fixture
def cluster_engine(compute, tmp_path, caplog):
    """An engine that kills; fails the test if nothing was killed."""
    engine = Killing(engine_of(compute), tmp_path)
    yield engine
    assert engine.calls
    said = (record.getMessage() for record in caplog.get_records("call"))
    lost = [line for line in said if "lost its worker, try 2" in line]
    assert len(lost) >= engine.calls


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def folders(tmp_path: Path, *names: str) -> list[Path]:
    found = [tmp_path / name for name in names]
    for folder in found:
        folder.mkdir()
    return found


def test_a_month_of_dumps(cluster_engine, tmp_path, comment, pseudonymizer):  # noqa: F811
    lines = [json.dumps(comment(id=f"{n:x}", author=f"person{n % 90}")) for n in range(4000)]
    dump = tmp_path / "RC_2023-11.zst"
    dump.write_bytes(zstandard.ZstdCompressor().compress("\n".join(lines).encode() + b"\n"))
    reports, results = [], []
    for engine, out in zip((LOCAL, cluster_engine), folders(tmp_path, "local", "cluster")):
        month = DumpToRead(dump, out, pseudonymizer, NO_TOMBSTONES, frozenset())
        reports.append(engine.map_reporting(read_dump, [month])[0])
        results.append(hashes(out))
    assert reports[0] == reports[1] and reports[0].kept == 4000
    assert results[0] == results[1]


def test_user_ranges_of_the_warehouse(cluster_engine, tmp_path, monkeypatch):
    from tests.dbt_like_sql import test_ranges

    wanted = ("stg_accounts", "stg_comments", "stg_submissions", "int_activity_monthly")
    models = [model for model in test_ranges.in_order() if model.name in wanted]
    monkeypatch.setattr(test_ranges, "in_order", lambda: models)
    materialise(tmp_path / "local", 4)
    materialise(tmp_path / "cluster", 4, cluster_engine)
    assert cluster_engine.calls == len(models)
    assert hashes(tmp_path / "local") == hashes(tmp_path / "cluster")


def test_user_ranges_of_snippets_and_evidence_and_batches_of_personas(
    cluster_engine,
    tmp_path,
    reddit,  # noqa: F811
):
    texts = ("I love my old cat and quiet watercolor paintings", "my garden is full of red tulips")
    comments = [
        {"id": f"c{user}-{n}", "user_id": user * 2**59 + user, "body": f"{texts[n % 2]} number {n}"}
        | {"subreddit": ("cats", "gardening")[n % 2]}
        for user in range(1, 31)
        for n in range(8)
    ]
    tables = reddit(comments)
    opening = Warehouse("1GB", 1, tmp_path / "spill").connect
    floor = SnippetSettings(min_comments=2, rows_per_range=50)
    chosen = PersonaSettings(ranking="count", batch_users=4)
    results = []
    for engine, out in zip((LOCAL, cluster_engine), folders(tmp_path, "local", "cluster")):
        inputs = SnippetInputs(tables.comments, tables.subreddits)
        snippets = write_snippets(opening, inputs, floor, out / "snippets", fan_out=engine)
        assert snippets.ranges == 8 and snippets.users == 30
        sources = EvidenceInputs(snippets.files, tables.rankings, tables.subreddits)
        evidence = collect_evidence(
            opening, sources, chosen, floor, out / "evidence", fan_out=engine
        )
        writing = partial(loaded, load_writer, chosen, tmp_path, [], [])
        written = write_personas(evidence.files, writing, chosen, out / "personas", fan_out=engine)
        assert written.users == 30
        results.append((hashes(out), dict(written.usage)))
    assert results[0] == results[1]


def test_lanes_of_inference_and_blocks_of_rankings(cluster_engine, tmp_path, data, trained):  # noqa: F811
    chosen = EncoderSettings(inference_block_users=40, checkpoint_seconds=0)
    results = []
    for engine, out in zip((LOCAL, cluster_engine), folders(tmp_path, "local", "cluster")):
        scratch = tmp_path / f"scratch-{out.name}"
        scratch.mkdir()
        graph_dir, _, features_dir = data.dirs
        embed_all(trained.directory, graph_dir, features_dir, out, scratch, chosen, fan_out=engine)
        file = out / "rankings.parquet"
        write_rankings(graph_dir, out, file, block_users=70, fan_out=engine)
        assert not list(scratch.iterdir())
        results.append(hashes(out))
    assert results[0] == results[1]


def test_batches_of_images_for_an_encoder(cluster_engine, tmp_path, monkeypatch):
    from zipp_dagster.imaging import post_embeddings

    monkeypatch.setattr(post_embeddings, "BATCH_IMAGES", 2048)
    count = 5000
    ids, shas = [f"p{n:05}" for n in range(count)], [f"s{n}" for n in range(count)]
    posts = {"post_id": ids, "user_id": pa.array(range(count), pa.uint64()), "sha256": shas}
    pq.write_table(pa.table(posts | {"subreddit": ["cats"] * count}), tmp_path / "posts.parquet")
    images = [bytes([n % 251, 7, n % 13]) for n in range(count)]
    media = {"post_id": ids, "sha256": shas, "image": images}
    pq.write_table(pa.table(media), tmp_path / "media.parquet")
    results = []
    for engine, out in zip((LOCAL, cluster_engine), folders(tmp_path, "local", "cluster")):
        rows = post_embeddings.embed_posts(
            duckdb.connect(),
            [tmp_path / "posts.parquet"],
            [tmp_path / "media.parquet"],
            partial(loaded, work.Mean),
            out / "part-0.parquet",
            fan_out=engine,
        )
        assert rows == count
        results.append(hashes(out))
    assert results[0] == results[1]


def test_batches_of_images_that_are_drawn(cluster_engine, tmp_path):
    from tests.imaging.test_generation import REQUESTS, SETTINGS
    from zipp_dagster.imaging.generation import Elsewhere, generate
    from zipp_dagster.imaging.pipelines import load_pipeline

    chosen = SETTINGS.model_copy(update={"batch_size": 2})
    model = tiny_models.tiny_sd(tmp_path / "model")
    load = partial(load_pipeline, model, None, chosen)
    results = []
    for name, elsewhere in (
        ("local", None),
        ("cluster", Elsewhere(cluster_engine, load, Need())),
    ):
        out, scratch = tmp_path / name, tmp_path / f"scratch-{name}"
        summary = generate(REQUESTS, load(), chosen, out, scratch, elsewhere=elsewhere)
        assert summary.drawn == len(REQUESTS)
        results.append([row for f in summary.files for row in pq.read_table(f).to_pylist()])
    assert results[0] == results[1]


def test_training_by_two_workers_of_the_cluster(compute, tmp_path, data):  # noqa: F811
    chosen = EncoderSettings(
        hidden=16, heads=2, users_per_batch=64, epochs=3, device="cpu", train_workers=2, threads=1
    )
    results = []
    for name in ("local", "cluster"):
        out, scratch = folders(tmp_path, name, f"scratch-{name}")
        task = TrainingTask(*data.dirs, data.world.image_embeddings, chosen, out, scratch)
        seen = []
        if name == "local":
            report = train_together(task, 2)
        else:
            report = train_in_processes(task, compute, lambda *r: seen.append(r))
            assert seen[-1][:2] == (3, 3)
        results.append((hashes(out), report.validation_hits, report.history))
    assert results[0] == results[1]
