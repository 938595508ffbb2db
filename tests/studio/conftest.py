"""A studio in a temporary folder: real store, real pages, a painter in place of the diffusion model."""

from __future__ import annotations

import io
import random
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image
from starlette.testclient import TestClient

from tests.personal.people import ANA, a_platform, publish
from zipp_dagster.studio.app import create_app
from zipp_dagster.studio.artist import Artist
from zipp_dagster.studio.records import Picture
from zipp_dagster.studio.sketches import PairRequest, Sketch
from zipp_dagster.studio.store import Store
from zipp_dagster.studio.study import StudyConfig

HOST = "http://127.0.0.1:8765"
ANSWERS = {
    "consent": "yes",
    "age_band": "25-34",
    "surroundings": "coast",
    "work": "health",
    "hobbies": ["painting", "sailing"],
    "profession": "nurse",
}
HTML = {"accept": "text/html"}


def png(*what: object) -> bytes:
    """A small picture whose colour follows from what it is of."""
    out = io.BytesIO()
    number = zlib.crc32(repr(what).encode())
    image = Image.new("RGB", (8, 8), (number % 256, number // 256 % 256, number // 65536 % 256))
    # Two halves, so that a shuffled picture is another one.
    image.paste((255, 255, 255), (0, 0, 8, 4))
    image.save(out, "PNG")
    return out.getvalue()


def painted(job: Sketch | PairRequest) -> Any:
    """What the artist would return, painted in no time."""
    if isinstance(job, PairRequest):
        return tuple(
            Picture(png(method, job.prompt, job.seed), {"method": method, "prompt": job.prompt})
            for method in (job.left_method, job.right_method)
        )
    sides = {
        "generic": {"prompt": f"{job.prompt}, vivid colors", "png": png(1), "truncated": False},
        "personalized": {
            "prompt": f"{job.prompt}, oil painting",
            "png": png(2),
            "truncated": False,
        },
    }
    rest = {
        "flags": [],
        "models": {"language_model": "lexical-1", "rewriter": None},
        "persona_id": "p",
        "seed": job.seed,
    }
    return sides | rest


def an_artist(function: Any = painted, **values: Any) -> Artist:
    return Artist(executor=lambda: ThreadPoolExecutor(1), function=function, **values)


@pytest.fixture
def study() -> StudyConfig:
    return StudyConfig(name="pilot", pairs=4, attention_checks=1, participants=3, too_fast_s=0.0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(f"sqlite:///{tmp_path / 'studio.db'}", durable=False)
    yield made
    made.close()


@pytest.fixture
def platform(tmp_path: Path) -> Any:
    made = a_platform(tmp_path)
    publish(made.lake, "diffusion_model")
    said = {"user_id": pa.array([ANA], pa.uint64()), "text": ["I paint"], "subreddit": ["art"]}
    publish(made.lake, "persona_evidence", pa.table(said | {"snippet_id": ["c1"]}))
    return made


@pytest.fixture
def client(platform: Any, store: Store, study: StudyConfig) -> Iterator[TestClient]:
    store.create(study)
    app = create_app(platform, store, an_artist())
    with TestClient(app, base_url=HOST, follow_redirects=True) as made:
        yield made


def joined(client: TestClient, study: str = "pilot", **changes: Any) -> str:
    """A new participant's token."""
    answer = client.post(f"/study/{study}/join", data=ANSWERS | changes, headers=HTML)
    assert answer.status_code == 200, answer.text
    return str(answer.url).split("/s/")[1].split("/")[0]


def take_part(store: Store, study: StudyConfig, choose: Any, **values: Any) -> str:
    """A participant who votes on everything by `choose(left_method, right_method)`; their id."""
    who, _ = store.join(study, values.pop("intake", {"age_band": "25-34"}), "text", **values)
    methods = {}
    for row in _planned(store, who.id):
        sides = (row["left_method"], row["right_method"])
        store.save_drawing(row["id"], *(Picture(png(m, row["id"]), {"method": m}) for m in sides))
        methods[row["id"]] = sides
    while (seen := store.next_pair(who.id)).state == "pair":
        store.vote(who.id, seen.pair, choose(*methods[seen.pair]), study.too_fast_s)
    return who.id


def _planned(store: Store, participant: str) -> list[Any]:
    from sqlalchemy import select

    from zipp_dagster.studio import tables as t

    with store.reading() as c:
        query = select(t.pairs).where(t.pairs.c.participant == participant)
        return list(c.execute(query).mappings())


def prefers(method: str, chance: float = 1.0, seed: int = 0) -> Any:
    """Votes for a method with some chance, else for the other side; never for a broken picture."""
    rng = random.Random(seed)

    def choose(left: str, right: str) -> str:
        if "broken" in (left, right):
            return "right" if left == "broken" else "left"
        wanted = rng.random() < chance
        return "left" if (left == method) == wanted else "right"

    return choose
