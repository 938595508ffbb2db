"""Where the pipeline's raw input lies: dump folder, media folder, pseudonym key, tombstones.

Answers questions of several assets, the sensor and the command line. Holds no asset.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from zipp_dagster.platform.catalogue import Platform
from zipp_dagster.platform.files import sha256_of
from zipp_dagster.platform.versions import Version
from zipp_dagster.progress import Progress, silent

SAMPLE_WORLD = "sample world"
DUMP_FOLDER = "dump folder"

DAYS_OF_TRIES = 7
"""On how many days the images of a month are asked for, where some failed for now."""


def source(platform: Platform) -> str:
    """Where the dumps come from: the sample world, or a folder of the user's."""
    return SAMPLE_WORLD if platform.settings.reddit.dumps_dir is None else DUMP_FOLDER


def dumps_directory(platform: Platform) -> Path:
    """The folder of dump files; NotMaterialised before the sample world was made."""
    folder: Path | None = platform.settings.reddit.dumps_dir
    if folder is not None:
        return folder.expanduser().absolute()
    return platform.lake.current("sample_world").directory / "dumps"


def media_directory(platform: Platform) -> Path | None:
    """The folder of image files, None where there is none."""
    reddit = platform.settings.reddit
    if reddit.media_dir is not None:
        folder: Path = reddit.media_dir.expanduser().absolute()
        return folder
    if reddit.dumps_dir is None:
        return platform.lake.current("sample_world").directory / "media"
    return None


def fetches(platform: Platform) -> bool:
    """Whether images are fetched: for real dumps, where it is set and no folder is named."""
    return media_directory(platform) is None and platform.settings.reddit.fetch_media


def media_cache(platform: Platform) -> Path:
    """Where fetched images are kept between runs."""
    return platform.home / "media-cache"


def months_in_folder(platform: Platform) -> list[str]:
    """The months that the dump folder holds now; DumpError where it cannot be used."""
    from zipp_dagster.reddit.dumps import find_dumps

    found = find_dumps(dumps_directory(platform))
    return sorted({dump.month for dump in found if dump.month is not None})


def active_months(platform: Platform) -> list[str]:
    """The ingested months of the current source.

    Months of another source stay in the lake and are left out: real and synthetic people never
    mix. A month whose dump file was deleted after it was ingested stays active.
    """
    current = source(platform)
    months = []
    for month in platform.lake.partitions("reddit_dumps"):
        version = platform.lake.current("reddit_dumps", month)
        if month is not None and version.manifest.metadata.get("source") == current:
            months.append(month)
    return months


def month_files(platform: Platform, month: str) -> list[dict[str, Any]]:
    """The dump files of a month: path, kind, size, SHA-256 (remembered by size and time)."""
    from zipp_dagster.reddit.dumps import find_dumps

    found = [dump for dump in find_dumps(dumps_directory(platform)) if dump.month == month]
    return [
        {
            "path": str(dump.path),
            "kind": dump.kind,
            "size": dump.size,
            "sha256": remembered_sha256(dump.path, platform.home / "dump-hashes.json"),
        }
        for dump in found
    ]


def dumps_fingerprint(platform: Platform, partition: str | None) -> str:
    """What a month's dump files are: changes when their content does."""
    assert partition is not None
    files = month_files(platform, partition)
    return json.dumps([[Path(f["path"]).name, f["sha256"]] for f in files] + [source(platform)])


def media_fingerprint(platform: Platform, partition: str | None) -> str:
    """The media folder's file names, sizes and times: changes when a file comes or goes.

    For fetched media, whom it may be fetched from; not what the servers answer. For both, the limits
    of an image, which concern no other asset.
    """
    folder, reddit = media_directory(platform), platform.settings.reddit
    limits = f"{reddit.max_image_mib} MiB {reddit.max_image_megapixels} Mpx"
    if folder is None:
        fetch = reddit.fetch
        hosts = f"fetched: {sorted(fetch.hosts)} {fetch.over_18} {limits}"
        return hosts if fetches(platform) else "none"
    if reddit.media_dir is None:
        return f"sample world {limits}"
    digest = hashlib.sha256(limits.encode())
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            status = path.stat()
            digest.update(f"{path.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def media_to_try_again(platform: Platform, version: Version) -> str:
    """Why a month's images are asked for again: some failed for now, on an earlier day.

    Empty where none did, or after `DAYS_OF_TRIES` days.
    """
    waiting = version.manifest.metadata.get("unreachable", 0)
    if not waiting or not fetches(platform):
        return ""
    last = max([version.manifest.created[:10], *_days_in_vain(platform, version)])
    if today() <= last or media_days_tried(platform, version) >= DAYS_OF_TRIES:
        return ""
    return f"{waiting} images failed for now, last on {last}"


def media_days_tried(platform: Platform, version: Version) -> int:
    """On how many days the images of a month were asked for, with those of the versions before."""
    before: int = version.manifest.metadata.get("days_tried", 1)
    return before + len(_days_in_vain(platform, version))


def _days_in_vain(platform: Platform, version: Version) -> list[str]:
    from zipp_dagster.reddit.media_cache import MediaCache

    folder = media_cache(platform)
    if not folder.is_dir():
        return []
    with MediaCache(folder) as cache:
        return cache.days_in_vain(version.id)


def today() -> str:
    """The date in UTC, as versions have it."""
    return datetime.now(UTC).date().isoformat()


def sample_world_fingerprint(platform: Platform, partition: str | None) -> str:
    """Whether the sample world is used at all."""
    return source(platform)


def pseudonymizer(platform: Platform) -> Any:
    """Turns user names into pseudonyms with the key of the settings or of the key file."""
    from zipp_dagster.reddit.pseudonyms import Pseudonymizer, key_from_text, load_or_create_key

    reddit = platform.settings.reddit
    if reddit.pseudonym_key is not None:
        return Pseudonymizer(key_from_text(reddit.pseudonym_key.get_secret_value()))
    path = reddit.pseudonym_key_file or platform.home / "pseudonym.key"
    return Pseudonymizer(load_or_create_key(path))


def erasures_file(platform: Platform) -> Path:
    """The tombstones, outside the lake."""
    path: Path | None = platform.settings.reddit.erasures_file
    return path or platform.home / "erasures.jsonl"


def erasures_fingerprint(platform: Platform, partition: str | None) -> str:
    """Changes with every tombstone."""
    from zipp_dagster.reddit.erasure import tombstones_fingerprint

    return tombstones_fingerprint(erasures_file(platform))


def comments_fingerprint(platform: Platform, partition: str | None) -> str:
    """What a month's comments are made from; see `_ingested_from`."""
    return _ingested_from(platform, "comments", partition)


def submissions_fingerprint(platform: Platform, partition: str | None) -> str:
    """What a month's submissions are made from; see `_ingested_from`."""
    return _ingested_from(platform, "submissions", partition)


def _ingested_from(platform: Platform, asset: str, partition: str | None) -> str:
    """The month's dump files, the key, and those tombstones that concern this very table.

    An erasure so re-reads the months that hold the person, not the whole archive.
    """
    from zipp_dagster.reddit.erasure import tombstones_fingerprint

    dumps = platform.lake.current("reddit_dumps", partition).manifest.data_version
    stones = tombstones_fingerprint(erasures_file(platform), f"{asset}[{partition}]")
    return f"{dumps} {pseudonymizer(platform).fingerprint} {stones}"


def tombstones(platform: Platform) -> Any:
    """What every ingest leaves out; ErasureError where it was recorded under another key."""
    from zipp_dagster.reddit.erasure import load_tombstones

    return load_tombstones(erasures_file(platform), pseudonymizer(platform))


def remembered_sha256(path: Path, memory: Path, progress: Progress = silent) -> str:
    """A file's SHA-256, computed again only when its size or time of change is another."""
    status = path.stat()
    key = f"{path} {status.st_size} {status.st_mtime_ns}"
    known: dict[str, str] = json.loads(memory.read_text()) if memory.exists() else {}
    if key not in known:
        known = {k: v for k, v in known.items() if not k.startswith(f"{path} ")}
        known[key] = sha256_of(path)
        memory.parent.mkdir(parents=True, exist_ok=True)
        fresh = memory.with_suffix(".new")
        fresh.write_text(json.dumps(known, indent=1))
        fresh.replace(memory)
    return known[key]
