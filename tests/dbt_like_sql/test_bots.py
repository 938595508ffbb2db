"""Accounts that nobody listed, planted with one automatic habit each, and people who write a lot."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import pytest

START = datetime(2020, 1, 1)
REASONS = "SELECT user_id, bot_reason FROM stg_accounts ORDER BY user_id"


def comments(
    user: int, seconds: list[float], body: str = "a comment of its own, number {}"
) -> list:
    return [
        {
            "id": f"u{user}c{number}",
            "user_id": user,
            "body": body.format(number),
            "created_at": START + timedelta(seconds=int(second)),
        }
        for number, second in enumerate(seconds)
    ]


def person(user: int, count: int, days: int = 27) -> list:
    """Somebody who writes in bursts, sleeps, and often says thanks."""
    rng = random.Random(user)
    moments = []
    while len(moments) < count:
        evening = rng.randrange(days) * 86400 + rng.uniform(8, 20) * 3600
        moments += [evening + rng.expovariate(1 / 90) for _ in range(rng.randrange(1, 12))]
    rows = comments(user, sorted(moments)[:count])
    return [row | {"body": "thanks!"} if n % 2 else row for n, row in enumerate(rows)]


@pytest.mark.parametrize(
    ("reason", "planted"),
    [
        ("rate", comments(1, [random.Random(1).uniform(0, 86400) for _ in range(310)])),
        (
            "repetition",
            comments(1, [n * n * 100 for n in range(110)], "Beep, this is an automatic answer."),
        ),
        ("rhythm", comments(1, [n * 3600 + n % 7 for n in range(120)])),
    ],
)
def test_an_automatic_habit_flags_the_account_with_its_reason(build, reason, planted):
    run = build(comments=planted + person(2, 30))
    assert run(REASONS) == [(1, reason), (2, None)]
    assert run("SELECT DISTINCT user_id FROM stg_comments") == [(2,)]
    assert run("SELECT DISTINCT user_id FROM interactions") == [(2,)]
    assert run("SELECT count(*) FROM comments WHERE user_id = 1") == [(len(planted),)]  # not lost
    assert run("SELECT user_id, reasons, months FROM int_bots") == [(1, reason, 1)]


def test_a_person_who_writes_very_much_is_no_bot(build):
    run = build(comments=person(1, 1500))
    assert run(REASONS) == [(1, None)]
    variation, share = run("SELECT gap_variation, repeated_share FROM stg_accounts")[0]
    assert variation > 1 and share == 0


def test_the_same_habits_in_a_few_events_flag_nobody(build):
    few = comments(1, [n * 3600 for n in range(99)], "Beep, this is an automatic answer.")
    assert build(comments=few)(REASONS) == [(1, None)]


def test_the_list_comes_first_and_covers_every_record_of_the_account(build):
    run = build(comments=[{"is_bot": True}, {"is_bot": False}, {"user_id": 2}])
    assert run(REASONS) == [(1, "listed"), (2, None)]
    assert run("SELECT user_id FROM stg_comments") == [(2,)]


def test_thresholds_are_settings(build):
    rows = comments(1, [n * n * 100 for n in range(20)], "Beep, this is an automatic answer.")
    assert build(comments=rows, bot_min_events=10)(REASONS) == [(1, "repetition")]
    assert build(comments=rows, bot_min_events=10, bot_text_chars=60)(REASONS) == [(1, None)]


def test_a_bot_leaves_image_posts_and_documents_too(build, picture):
    run = build(
        comments=comments(1, [n * 3600 for n in range(120)]) + person(2, 20),
        submissions=[picture("p1", "red fox", user_id=1), picture("p2", "old oak", user_id=2)],
        min_comments=1000,
    )
    assert run("SELECT user_id FROM image_posts") == [(2,)]
    document = run("SELECT document FROM subreddit_documents")[0][0]
    assert "old oak" in document and "red fox" not in document
