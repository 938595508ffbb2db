"""Writes monthly comment dumps for benchmarks: the form of published lines of 2018 to 2023.

Modelled on lines of RC_2018-10 and later that people have published: keys in the alphabet's order,
no blanks, every slash escaped, letters beyond ASCII as they are. The words are few and drawn at
random, the shares of paragraphs, quotation marks, links, emoji, flairs and deleted comments are
estimates. No text or name is anybody's.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import zstandard

WORDS = tuple(
    str.split(
        "the a to of and i it is that you in was for on not have but they with be this are just "
        "like what people my so me do if can about there one time know think would get right also "
        "out good game really never always because thing picture music water light paint friend "
        "money player episode question answer season weather colour mountain another something"
    )
)
SHORT = ("don't", "it's", "I'm", "that's", "can't", "you're", "didn't", "there's")
EMOJI = ("\N{FACE WITH TEARS OF JOY}", "\N{LOUDLY CRYING FACE}", "\N{THUMBS UP SIGN}")
FLAIRS = ("Team Blue", "Level 12", "Veteran", "he/him", "OC: 3", "Verified")
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
FIRST_ID = int("ed00000", 36)
COMMUNITIES, A_SECOND = 20_000, 40
LINES_A_THREAD = 40

_TEMPLATE = "f5cf88f8-1872-11eb-9541-0e78e1249dad"
_ID, _AUTHOR = "@id@", "@author@"


def generate(path: Path, lines: int, window_log: int) -> None:
    """Writes comments of January 2019, about 1.25 KB and 42 keys a line."""
    rng = random.Random(7)
    options = zstandard.ZstdCompressionParameters.from_level(3, window_log=window_log)
    authors = [f"user_{rng.randrange(10**9)}" for _ in range(max(10, lines // 12))]
    with (
        path.open("wb") as file,
        zstandard.ZstdCompressor(compression_params=options).stream_writer(file) as stream,
    ):
        for number in range(lines):
            stream.write(line(comment(rng, number, authors[int(len(authors) * rng.random() ** 2)])))


def generate_long(path: Path, lines: int, window_log: int) -> None:
    """Writes so many comments quickly: 20,000 bodies in turn, ids and authors their own."""
    rng = random.Random(8)
    pool = []
    for _ in range(20_000):
        text = line(comment(rng, 0, _AUTHOR) | {"author": _AUTHOR, "id": _ID})
        pool.append(
            text.replace(_AUTHOR.encode(), b"user_%(author)d").replace(_ID.encode(), b"%(id)b")
        )
    options = zstandard.ZstdCompressionParameters.from_level(1, window_log=window_log)
    compressor = zstandard.ZstdCompressor(compression_params=options)
    with path.open("wb") as file, compressor.stream_writer(file) as stream:
        for start in range(0, lines, len(pool)):
            count = min(len(pool), lines - start)
            filled = [
                pool[n] % {b"id": item_id(start + n).encode(), b"author": (start + n) // 12}
                for n in range(count)
            ]
            stream.write(b"".join(filled))


def line(record: dict[str, Any]) -> bytes:
    """A record as the archive writes it."""
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    return text.replace("/", "\\/").encode() + b"\n"


def comment(rng: random.Random, number: int, author: str) -> dict[str, Any]:
    """The record of one comment of the late 2010s."""
    identifier, thread = item_id(number), number // LINES_A_THREAD - rng.randrange(500)
    created = 1_546_300_800 + number // A_SECOND
    place = int(COMMUNITIES * rng.random() ** 4)
    community = f"{WORDS[place % len(WORDS)].title()}{place}"
    flair = rng.choice(FLAIRS) if rng.random() < 0.15 else None
    body, gone = _body(rng), rng.random()
    if gone < 0.05:
        body, author = ("[removed]", author) if gone < 0.02 else ("[deleted]", "[deleted]")
    link = f"a{thread & 0xFFFFF:05x}"
    slug = "_".join(rng.choices(WORDS, k=rng.randrange(3, 9)))
    return {
        "all_awardings": [],
        "archived": False,
        "author": author,
        "author_created_utc": created - rng.randrange(300_000_000),
        "author_flair_background_color": "" if flair else None,
        "author_flair_css_class": flair and flair.lower(),
        "author_flair_richtext": [{"e": "text", "t": flair}] if flair else [],
        "author_flair_template_id": _TEMPLATE if flair else None,
        "author_flair_text": flair,
        "author_flair_text_color": "dark" if flair else None,
        "author_flair_type": "richtext" if flair else "text",
        "author_fullname": f"t2_{rng.randrange(36**6):x}",
        "author_patreon_flair": False,
        "body": body,
        "can_gild": True,
        "can_mod_post": False,
        "collapsed": False,
        "collapsed_reason": None,
        "controversiality": 0,
        "created_utc": created,
        "distinguished": None,
        "edited": created + 300 if rng.random() < 0.03 else False,
        "gilded": 0,
        "gildings": {"gid_1": 0, "gid_2": 0, "gid_3": 0},
        "id": identifier,
        "is_submitter": rng.random() < 0.1,
        "link_id": f"t3_{link}",
        "locked": False,
        "no_follow": rng.random() < 0.7,
        "parent_id": f"t1_{item_id(number - 3)}" if rng.random() < 0.6 else f"t3_{link}",
        "permalink": f"/r/{community}/comments/{link}/{slug}/{identifier}/",
        "removal_reason": None,
        "retrieved_on": created + 3_000_000,
        "score": int(1 / (0.002 + rng.random())) - 1,
        "send_replies": True,
        "stickied": False,
        "subreddit": community,
        "subreddit_id": f"t5_{place:x}",
        "subreddit_name_prefixed": f"r/{community}",
        "subreddit_type": "public",
        "total_awards_received": 0,
        "treatment_tags": [],
    }


def item_id(number: int) -> str:
    """The id of a month's comment: Reddit counts upwards, in base 36."""
    value, digits = FIRST_ID + number, ""
    while value:
        value, digit = divmod(value, 36)
        digits = DIGITS[digit] + digits
    return digits


def _body(rng: random.Random) -> str:
    words = rng.choices(WORDS, k=min(400, int(rng.expovariate(1 / 35)) + 2))
    for place in range(7, len(words), 11):
        words[place] = rng.choice(SHORT)
    paragraphs = rng.random() < 0.45
    for place in range(12, len(words), 14):
        words[place] += ".\n\n" if paragraphs and rng.random() < 0.4 else "."
    chance = rng.random
    if chance() < 0.08:
        words[0] = f'"{words[0]}"'
    if chance() < 0.05:
        words.append(f"[{words[0]}](https://example.org/{rng.randrange(10**8)})")
    if chance() < 0.04:
        words.insert(0, "&gt; as you said\n\n")
    if chance() < 0.03:
        words.append(rng.choice(EMOJI))
    if chance() < 0.01:
        words.append(f"u/somebody_{rng.randrange(10**6)}")
    text = " ".join(words).replace("\n ", "\n")
    return text.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}") if chance() < 0.15 else text
