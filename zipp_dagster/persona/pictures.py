"""Pictures that people posted, for language models that see.

Only visible posts (never the hold-out) and only encoded bytes; who looks at them is `personas.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from zipp_dagster.persona.writer import PicturesOf


def posted_pictures(
    image_posts: Sequence[Path], media: Sequence[Path], per_user: int
) -> PicturesOf:
    """A function of users to their newest `per_user` pictures, by `picture:POST_ID`.

    `image_posts` has user_id, post_id, sha256, created_at; `media` has sha256 and image. Read a
    batch of users at a time.
    """

    def pictures(users: Sequence[int]) -> Mapping[int, Mapping[str, bytes]]:
        wanted = pc.field("user_id").isin(pa.array(users, pa.uint64()))
        columns = ["user_id", "post_id", "sha256", "created_at"]
        posts = pq.read_table(list(image_posts), columns=columns, filters=wanted)
        order = [("user_id", "ascending"), ("created_at", "descending"), ("post_id", "ascending")]
        chosen: dict[int, list[tuple[str, str]]] = {}
        for post in posts.sort_by(order).to_pylist():
            mine = chosen.setdefault(post["user_id"], [])
            if post["sha256"] and len(mine) < per_user:
                mine.append((f"picture:{post['post_id']}", post["sha256"]))
        hashes = sorted({sha for mine in chosen.values() for _, sha in mine})
        if not hashes:
            return {}
        found = pq.read_table(
            list(media),
            columns=["sha256", "image"],
            filters=pc.field("sha256").isin(pa.array(hashes, pa.string())),
        )
        images = dict(zip(found["sha256"].to_pylist(), found["image"].to_pylist(), strict=True))
        return {
            user: {name: images[sha] for name, sha in mine if images.get(sha)}
            for user, mine in chosen.items()
        }

    return pictures
