"""Dump files to monthly tables of comments, submissions, rejected lines and images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assets import sources
from assets.reddit_checks import DUMP_CHECKS, TABLE_CHECKS, rejections_complete
from zipp_dagster.fanout import FanOut, Need, own_errors
from zipp_dagster.platform.artifacts import (
    CheckOutcome,
    Inputs,
    Skip,
    Summary,
    Unchanged,
    artifact,
    check,
)
from zipp_dagster.platform.catalogue import Platform
from zipp_dagster.platform.lake import Draft
from zipp_dagster.platform.versions import FileEntry
from zipp_dagster.progress import Progress
from zipp_dagster.reddit.config import RedditSettings
from zipp_dagster.sampleworld.config import WorldSettings

OWNER = "team:ingest"


@check("dumps_and_truth_written")
def dumps_and_truth_written(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """Every month has both dump files, and the ground truth has its counts."""
    names = sorted(path.name for path in (draft.directory / "dumps").glob("*.zst"))
    comments = {name[3:] for name in names if name.startswith("RC_")}
    posts = {name[3:] for name in names if name.startswith("RS_")}
    counts = draft.directory / "truth" / "counts.json"
    return CheckOutcome(
        bool(comments) and comments == posts and counts.is_file(),
        f"{len(comments)} comment dumps, {len(posts)} submission dumps",
    )


@artifact(
    group="reddit",
    kinds={"python", "zstd"},
    owner=OWNER,
    checks=[dumps_and_truth_written],
    external_state=sources.sample_world_fingerprint,
)
def sample_world(
    out: Draft, platform: Platform, settings: WorldSettings, progress: Progress
) -> Summary:
    """A synthetic Reddit, generated from one seed, where the user has no dumps.

    Writes dump files in the real format, a media folder, and the ground truth that only
    evaluation opens. Skipped when `reddit.dumps_dir` names a folder of real dumps.
    """
    from zipp_dagster.sampleworld.world import generate_world

    if sources.source(platform) != sources.SAMPLE_WORLD:
        raise Skip("real dumps are read: reddit.dumps_dir is set")
    report = generate_world(settings, out.directory, progress)
    return Summary(
        metadata={
            "people": report.people,
            "communities": report.communities,
            "comments": report.comments,
            "image_posts": report.image_posts,
            "text_posts": report.text_posts,
            "media_files": report.media_files,
            "taste_coupling": settings.taste_coupling,
        }
    )


@artifact(
    group="reddit",
    kinds={"zstd"},
    owner=OWNER,
    inputs=["sample_world"],
    optional=["sample_world"],
    partitioned=True,
    checks=DUMP_CHECKS,
    external_state=sources.dumps_fingerprint,
    version_by_content=True,
)
def reddit_dumps(out: Draft, platform: Platform) -> Summary:
    """The dump files of a month as they lie in the dump folder: names, sizes, SHA-256.

    Nothing is copied: this asset records external files, its version follows their content.
    Every lineage ends here.
    """
    import json

    assert out.partition is not None
    files = sources.month_files(platform, out.partition)
    if not files:
        raise FileNotFoundError(
            f"{sources.dumps_directory(platform)} holds no dump of {out.partition}: put RC_{out.partition}.zst "
            "there, or remove the month from the partitions"
        )
    out.path("inventory.json").write_text(json.dumps(files, indent=1))
    return Summary(
        metadata={
            "source": sources.source(platform),
            "files": len(files),
            "compressed_bytes": sum(file["size"] for file in files),
            "external_files": [FileEntry(f["path"], f["size"], f["sha256"]) for f in files],
        },
        tables={"dump files": [{k: v for k, v in f.items() if k != "path"} for f in files]},
    )


@artifact(
    group="reddit",
    kinds={"zstd", "parquet"},
    owner=OWNER,
    inputs=["reddit_dumps", "erasures"],
    partitioned=True,
    pool="decode",
    checks=TABLE_CHECKS,
    external_state=sources.comments_fingerprint,
    version_by_content=True,
)
def comments(
    inputs: Inputs,
    out: Draft,
    platform: Platform,
    settings: RedditSettings,
    compute: FanOut,
    progress: Progress,
) -> Summary:
    """A month's comments with pseudonyms for names; deleted and erased ones are never stored.

    The evidence of personas and the links of the graph come from here.
    """
    return _ingest("comments", inputs, out, platform, settings, compute, progress)


@artifact(
    group="reddit",
    kinds={"zstd", "parquet"},
    owner=OWNER,
    inputs=["reddit_dumps", "erasures"],
    partitioned=True,
    pool="decode",
    checks=TABLE_CHECKS,
    external_state=sources.submissions_fingerprint,
    version_by_content=True,
)
def submissions(
    inputs: Inputs,
    out: Draft,
    platform: Platform,
    settings: RedditSettings,
    compute: FanOut,
    progress: Progress,
) -> Summary:
    """A month's posts with pseudonyms for names; image posts are recognised by their links.

    Image posts become the benchmark's cases, people's past prompts, and the encoder's images.
    """
    return _ingest("submissions", inputs, out, platform, settings, compute, progress)


def _ingest(
    kind: str,
    inputs: Inputs,
    out: Draft,
    platform: Platform,
    settings: RedditSettings,
    compute: FanOut,
    progress: Progress,
) -> Summary:
    import json
    from pathlib import Path

    from zipp_dagster.reddit.read_month import DumpToRead, read_dump

    inventory = json.loads(inputs["reddit_dumps"].path("inventory.json").read_text())
    paths = [Path(entry["path"]) for entry in inventory if entry["kind"] == kind]
    if not paths:
        raise Skip(f"the dump folder holds no {kind} of {out.partition}")
    pseudonymizer, tombstones = sources.pseudonymizer(platform), sources.tombstones(platform)
    month = DumpToRead(paths[0], out.directory, pseudonymizer, tombstones, frozenset(settings.bots))
    # One item: months run beside one another, each on the machine of a cluster that has room.
    with own_errors():
        [report] = compute.map_reporting(read_dump, [month], progress, need=Need(cpus=2))
    out.path("report.json").write_text(json.dumps(report.as_dict(), indent=1))
    numbers = {k: v for k, v in report.as_dict().items() if isinstance(v, int)}
    return Summary(
        rows=report.kept,
        metadata={
            **numbers,
            "rejected_reasons": report.rejected_reasons,
            "pseudonym_key": pseudonymizer.fingerprint,
        },
    )


@artifact(
    group="reddit",
    kinds={"parquet"},
    owner=OWNER,
    inputs=["comments", "submissions"],
    optional=["comments", "submissions"],
    partitioned=True,
    checks=[rejections_complete],
)
def rejected_lines(inputs: Inputs, out: Draft) -> Summary:
    """The lines of a month's dumps that could not be used: file, line, byte, reason, first bytes.

    What a data engineer reads when a count looks wrong.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as parquet

    files = [path for entry in inputs.values() for path in entry.files("rejected.parquet")]
    if not files:
        raise Skip("neither comments nor submissions of this month were read")
    table = pa.concat_tables([parquet.read_table(path) for path in files])
    parquet.write_table(table, out.path("part-0.parquet"), compression="zstd")
    reasons = pc.value_counts(table["reason"]).to_pylist()
    return Summary(
        rows=table.num_rows,
        tables={"reasons": [{"reason": r["values"], "lines": r["counts"]} for r in reasons]},
    )


@artifact(
    group="reddit",
    kinds={"parquet"},
    owner=OWNER,
    external_state=sources.erasures_fingerprint,
)
def erasures(out: Draft, platform: Platform) -> Summary:
    """Whose data, and which items, must go: keyed hashes recorded by `zipp erase`.

    Comments and submissions leave them out, and so does everything that is made from those.
    """
    import pyarrow.parquet as parquet

    from zipp_dagster.reddit.erasure import tombstone_table

    table = tombstone_table(sources.erasures_file(platform))
    parquet.write_table(table, out.path("part-0.parquet"), compression="zstd")
    return Summary(rows=table.num_rows)


@check("images_found")
def images_found(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """At least half of the image posts have a usable image file."""
    import pyarrow.parquet as parquet

    found = sum(parquet.read_metadata(path).num_rows for path in draft.files())
    failed = sum(parquet.read_metadata(p).num_rows for p in draft.files("failures.parquet"))
    share = found / max(found + failed, 1)
    return CheckOutcome(
        share >= 0.5 or found + failed == 0,
        f"{found} of {found + failed} image posts have their image",
        {"found_share": share},
        severity="warn",
    )


@artifact(
    group="reddit",
    kinds={"parquet", "pillow"},
    owner=OWNER,
    inputs=["submissions", "sample_world"],
    optional=["sample_world"],
    partitioned=True,
    checks=[images_found],
    external_state=sources.media_fingerprint,
    try_again=sources.media_to_try_again,
)
def media(
    inputs: Inputs, out: Draft, platform: Platform, settings: RedditSettings, progress: Progress
) -> Summary:
    """The images that a month's posts point to, checked, hashed, and packed into Parquet.

    Fetched images that failed for now are asked for again by a run of another day, for some days.
    Read by the hold-out (reference images), ImageAlign, and the benchmark. Thumbnails are shown
    only where the people are synthetic.
    """
    from zipp_dagster.platform.previews import contact_sheet
    from zipp_dagster.reddit.media import collect_media

    folder = sources.media_directory(platform)
    limits = {
        "max_bytes": settings.max_image_mib * 2**20,
        "max_pixels": settings.max_image_megapixels * 10**6,
    }
    posts = inputs["submissions"].files()
    fetched: dict[str, Any] = {}
    if folder is not None:
        report = collect_media(posts, folder, out.directory, progress, **limits)
    elif sources.fetches(platform):
        report, fetched = _fetch(posts, out, platform, settings, progress, limits)
    else:
        raise Skip(
            "there are no images: reddit.media_dir is not set, and reddit.fetch_media is off"
        )
    images = {}
    if inputs.available("sample_world"):
        images["first images"] = contact_sheet(_first_images(out, 24))
    numbers = {k: v for k, v in report.as_dict().items() if isinstance(v, int)}
    return Summary(
        rows=report.collected,
        metadata={**numbers, "failure_reasons": report.failure_reasons, **fetched},
        images=images,
    )


def _fetch(
    posts: list[Path],
    out: Draft,
    platform: Platform,
    settings: RedditSettings,
    progress: Progress,
    limits: dict[str, int],
) -> tuple[Any, dict[str, Any]]:
    """The media of posts from the network, and what the fetch did, for metadata."""
    from zipp_dagster.reddit.media import NothingNewError, fetch_media
    from zipp_dagster.reddit.media_cache import MediaCache
    from zipp_dagster.reddit.media_fetch import Fetcher

    with MediaCache(sources.media_cache(platform)) as cache:
        fetcher = Fetcher(settings.fetch, cache, **limits)
        try:
            report = fetch_media(
                posts,
                fetcher,
                cache,
                out.directory,
                progress,
                over_18=settings.fetch.over_18,
                most_unreachable=settings.fetch.most_unreachable,
                failed_before=out.again.directory / "failures.parquet" if out.again else None,
            )
        except NothingNewError as error:
            assert out.again is not None
            cache.tried_in_vain(out.again.id, sources.today())
            raise Unchanged(str(error)) from None
    names = ("cached", "fetched", "unreachable", "requests", "retries", "received_bytes")
    numbers = {name: getattr(fetcher.report, name) for name in names}
    days = 1 + (sources.media_days_tried(platform, out.again) if out.again else 0)
    return report, {**numbers, "days_tried": days}


def _first_images(out: Draft, count: int) -> list[bytes]:
    import pyarrow.parquet as parquet

    batch = next(parquet.ParquetFile(out.files()[0]).iter_batches(count, columns=["image"]), None)
    return [] if batch is None else [bytes(value) for value in batch["image"].to_pylist()]


ARTIFACTS = (
    sample_world,
    reddit_dumps,
    comments,
    submissions,
    rejected_lines,
    erasures,
    media,
)
