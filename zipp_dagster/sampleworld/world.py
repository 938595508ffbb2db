"""The whole sample world in one call: dumps, media and ground truth from a seed.

The pipeline reads `dumps/` and `media/` and nothing else; `truth/` is for evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zipp_dagster.progress import Progress, silent
from zipp_dagster.sampleworld.activity import make_months, make_volume
from zipp_dagster.sampleworld.communities import make_communities, memberships
from zipp_dagster.sampleworld.config import WorldSettings
from zipp_dagster.sampleworld.dumps import FileCounts, counts_document, write_dumps
from zipp_dagster.sampleworld.journal import make_journal
from zipp_dagster.sampleworld.people import make_people
from zipp_dagster.sampleworld.posts import plan_image_posts, write_media
from zipp_dagster.sampleworld.truth_writer import write_truth

_FOLDERS = ("dumps", "media", "truth")


@dataclass(frozen=True)
class WorldReport:
    """What was generated. `counts` has one entry a dump file; comments and posts are people's."""

    folder: Path
    people: int
    communities: int
    comments: int
    image_posts: int
    text_posts: int
    media_files: int
    media_bytes: int
    dump_bytes: int
    counts: dict[str, FileCounts]


def generate_world(
    settings: WorldSettings, out_dir: Path, progress: Progress = silent
) -> WorldReport:
    """Writes `out_dir/dumps/*.zst`, `out_dir/media/*` and `out_dir/truth/*`.

    The same settings give the same bytes. Raises FileExistsError if one of the three folders
    already holds something: a mixture of two worlds would have no truth.
    """
    out_dir = Path(out_dir)
    for name in _FOLDERS:
        folder = out_dir / name
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise FileExistsError(f"{folder} is not empty: give an empty folder or remove it first")
    people = make_people(settings)
    communities = make_communities(settings)
    joined = memberships(settings, people, communities)
    months = make_months(settings)
    volume = make_volume(settings, people)
    images = plan_image_posts(settings, people, communities, joined, volume, months)
    journal = make_journal(settings, people, communities, joined, volume, months, images)
    counts = write_dumps(journal, communities, months, settings, out_dir / "dumps", progress)
    media_bytes = write_media(images, settings, out_dir / "media", progress)
    document = counts_document(counts, len(journal.authors()))
    write_truth(out_dir / "truth", settings, people, communities, journal, document)
    return WorldReport(
        folder=out_dir,
        people=len(people),
        communities=len(communities),
        comments=int(volume.comments.sum()),
        image_posts=len(images),
        text_posts=int(volume.text_posts.sum()),
        media_files=sum(post.has_media for post in images),
        media_bytes=media_bytes,
        dump_bytes=sum(path.stat().st_size for path in (out_dir / "dumps").iterdir()),
        counts=counts,
    )
