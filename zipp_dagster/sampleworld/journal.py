"""Everything that happens in the world: all comments and submissions, with ids, threads and noise.

Adds to people's own records the bots' and the deleted ones. How a record looks in a dump is in
`layouts.py`; bad and repeated lines are added where files are written, in `dumps.py`.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from dataclasses import dataclass

from zipp_dagster.sampleworld import chatter
from zipp_dagster.sampleworld.activity import Month, Volume, event_times, only, spread
from zipp_dagster.sampleworld.communities import Community
from zipp_dagster.sampleworld.config import WorldSettings
from zipp_dagster.sampleworld.people import Person, stream, text_stream
from zipp_dagster.sampleworld.posts import ImagePost
from zipp_dagster.sampleworld.text import Said, Writer

BOTS: tuple[tuple[str, str], ...] = (
    ("AutoModerator", "I am a bot, and this action was performed automatically. Read the rules."),
    ("AutoModerator", "Your submission is visible. Please choose a flair if you have not yet."),
    ("AutoModerator", "Welcome to the daily thread! Be kind to one another."),
    ("RemindMeBot", "I will be messaging you in 7 days to remind you of this link."),
    ("sneakpeekbot", "Here's a sneak peek of the top posts of the year."),
    ("WikiSummarizerBot", "Here is a short summary of the linked article. I am a bot."),
)
DELETED, REMOVED = "[deleted]", "[removed]"


@dataclass(slots=True)
class Comment:
    """A comment. `deleted` is how it went: author, body, both or later (None if it stayed)."""

    author: str
    community: int
    created: int
    body: str
    score: int
    deleted: str | None = None
    bot: bool = False
    said: Said | None = None
    id: str = ""
    link_id: str = ""
    parent_id: str = ""


@dataclass(slots=True)
class Submission:
    """A submission: a self post if `url` is empty, a link or an image otherwise."""

    author: str
    community: int
    created: int
    title: str
    selftext: str
    url: str
    score: int
    over_18: bool
    deleted: str | None = None
    bot: bool = False
    image: ImagePost | None = None
    num_comments: int = 0
    id: str = ""


@dataclass(frozen=True)
class Journal:
    """All records in the order of their time; ids ascend with it."""

    comments: list[Comment]
    submissions: list[Submission]

    def authors(self) -> set[str]:
        """Names of the people with at least one record that was not deleted."""
        comments = {c.author for c in self.comments if c.deleted is None and not c.bot}
        return comments | {s.author for s in self.submissions if s.deleted is None and not s.bot}


def make_journal(
    settings: WorldSettings,
    people: list[Person],
    communities: list[Community],
    memberships: list[dict[int, float]],
    volume: Volume,
    months: list[Month],
    images: list[ImagePost],
) -> Journal:
    """Every record of the world, before the dumps' own faults."""
    rng = text_stream(settings.seed, "journal")
    submissions = [_image_submission(post, people, communities, rng) for post in images]
    comments: list[Comment] = []
    for person in people:
        times = stream(settings.seed, "times", person.index)
        writer = Writer(person, settings.seed)
        shares = memberships[person.index]
        count = int(volume.comments[person.index])
        places = spread(shares, count, times)
        for place, created in zip(places, event_times(months, count, times), strict=True):
            said = writer.comment(communities[place])
            comments.append(Comment(person.name, place, created, said.body, _score(rng), said=said))
        # People start threads in communities of words; pictures have their own plan.
        verbal = only(shares, [c for c in communities if not c.visual]) or shares
        count = int(volume.text_posts[person.index])
        for place, created in zip(
            spread(shares if person.creator else verbal, count, times),
            event_times(months, count, times),
            strict=True,
        ):
            submissions.append(_text_submission(writer, communities[place], created, rng))
    _add_bots(settings, communities, months, comments, submissions)
    _add_deleted(settings, people, communities, months, comments, submissions)
    submissions.sort(key=lambda post: (post.created, post.author, post.title))
    comments.sort(key=lambda comment: (comment.created, comment.author, comment.body))
    _number(settings, comments, submissions)
    _thread(settings, comments, submissions)
    return Journal(comments, submissions)


def base36(number: int) -> str:
    """A number as Reddit writes its ids."""
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[rest] + digits
    return digits or "0"


def _score(rng: random.Random) -> int:
    return int(rng.paretovariate(0.9)) if rng.random() < 0.93 else -rng.randint(0, 12)


def _image_submission(
    post: ImagePost, people: list[Person], communities: list[Community], rng: random.Random
) -> Submission:
    over_18 = communities[post.community].over_18 or rng.random() < 0.005
    author = people[post.person].name
    score = 3 * _score(rng)
    return Submission(
        author, post.community, post.created, post.title, "", post.url, score, over_18, image=post
    )


def _text_submission(
    writer: Writer, community: Community, created: int, rng: random.Random
) -> Submission:
    said = writer.text_post(community)
    url, body = "", said.body
    if said.signal == "noise" and rng.random() < 0.4:
        url, body = f"https://{rng.choice(chatter.DOMAINS)}/{base36(rng.getrandbits(40))}", ""
    return Submission(
        writer.person.name,
        community.index,
        created,
        said.title,
        body,
        url,
        2 * _score(rng),
        community.over_18,
    )


def _add_bots(
    settings: WorldSettings,
    communities: list[Community],
    months: list[Month],
    comments: list[Comment],
    submissions: list[Submission],
) -> None:
    rng, times = text_stream(settings.seed, "bots"), stream(settings.seed, "bot_times")
    for created in event_times(months, round(len(comments) * settings.bot_share), times):
        name, body = rng.choice(BOTS)
        place = rng.randrange(len(communities))
        comments.append(Comment(name, place, created, body, 1, bot=True))
    for created in event_times(months, round(len(submissions) * settings.bot_share), times):
        community = communities[rng.randrange(len(communities))]
        title = chatter.fill("weekly {day} thread", rng)
        submissions.append(
            Submission(
                *("AutoModerator", community.index, created, title, BOTS[2][1], "", 1),
                community.over_18,
                bot=True,
            )
        )


def _add_deleted(
    settings: WorldSettings,
    people: list[Person],
    communities: list[Community],
    months: list[Month],
    comments: list[Comment],
    submissions: list[Submission],
) -> None:
    """Records that were deleted, in every way that dumps show it; on top of all others."""
    rng, times = text_stream(settings.seed, "deleted"), stream(settings.seed, "deleted_times")
    ways = ("author", "body", "both", "later")
    for created in event_times(months, round(len(comments) * settings.deleted_share), times):
        place = rng.randrange(len(communities))
        name = rng.choice(people).name
        comments.append(
            Comment(name, place, created, chatter.noise(rng), _score(rng), deleted=rng.choice(ways))
        )
    for created in event_times(months, round(len(submissions) * settings.deleted_share), times):
        community = communities[rng.randrange(len(communities))]
        url = f"https://i.redd.it/{base36(rng.getrandbits(62))}.jpg" if rng.random() < 0.3 else ""
        submissions.append(
            Submission(
                rng.choice(people).name,
                community.index,
                created,
                chatter.fill(rng.choice(chatter.TITLES), rng),
                "" if url else chatter.noise(rng),
                url,
                _score(rng),
                community.over_18,
                deleted=rng.choice(ways),
            )
        )


def _number(
    settings: WorldSettings, comments: list[Comment], submissions: list[Submission]
) -> None:
    rng = text_stream(settings.seed, "ids")
    number = int("18w4k2a", 36)
    for submission in submissions:
        number += rng.randint(1, 400)
        submission.id = base36(number)
    number = int("kfq0a1b", 36)
    for comment in comments:
        number += rng.randint(1, 900)
        comment.id = base36(number)


def _thread(
    settings: WorldSettings, comments: list[Comment], submissions: list[Submission]
) -> None:
    """Hangs each comment under an earlier submission of its community, or under one unseen."""
    rng = text_stream(settings.seed, "threads")
    places: dict[int, tuple[list[int], list[Submission]]] = {}
    for submission in submissions:
        times, posts = places.setdefault(submission.community, ([], []))
        times.append(submission.created)
        posts.append(submission)
    last: dict[str, str] = {}
    for comment in comments:
        times, posts = places.get(comment.community, ([], []))
        earlier = bisect_left(times, comment.created)
        recency, reply = rng.betavariate(3, 1), rng.random() < 0.4
        if earlier:
            post = posts[min(earlier - 1, int(recency * earlier))]
            post.num_comments += 1
            link = post.id
        else:
            # A thread that began before the first month of the world.
            link = base36(int("18v0000", 36) + comment.community * 97)
        comment.link_id = f"t3_{link}"
        comment.parent_id = last[link] if reply and link in last else comment.link_id
        last[link] = f"t1_{comment.id}"
