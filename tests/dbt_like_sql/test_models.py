from __future__ import annotations

import math
from datetime import datetime

COMMENT = [{}]


def ids(rows):
    return [row[0] for row in rows]


def test_staging_drops_bots_profile_pages_and_texts_that_say_nothing(build):
    run = build(
        comments=[
            {"id": "ok", "body": " a &lt;b&gt; &amp;amp; c\n"},
            {"id": "bot", "user_id": 9, "is_bot": True},
            {"id": "profile", "subreddit": "u_00ff"},
            {"id": "blank", "body": " \n"},
            {"id": "placeholder", "body": "[deleted]"},
        ],
        submissions=[
            {"id": "ok", "title": "x &amp; y\0"},
            {"id": "bot", "user_id": 9, "is_bot": True},
            {"id": "none", "title": ""},
        ],
    )
    assert run("SELECT id, body FROM stg_comments") == [("ok", "a <b> &amp; c")]
    assert run("SELECT id, title FROM stg_submissions") == [("ok", "x & y")]


def test_monthly_activity_counts_comments_and_posts_but_no_image_posts(build, picture):
    run = build(
        comments=[
            {"score": 0},
            {"score": -3, "created_at": "2020-01-05"},
            {"user_id": 2, "score": None},
        ],
        submissions=[{"score": 8}, picture("p1", "a fox", day=20)],
    )
    rows = run(
        "SELECT user_id, subreddit, posts, comments, score_log, first_at, last_at "
        "FROM int_activity_monthly"
    )
    assert rows[1] == (2, "pics", 0, 1, 0.0, datetime(2020, 1, 1), datetime(2020, 1, 1))
    assert rows[0][:4] == (1, "pics", 1, 2)
    assert rows[0][4] == 0.810931  # ln 9 - ln 4
    assert rows[0][5:] == (datetime(2020, 1, 1), datetime(2020, 1, 5))


def test_image_posts_carry_their_hashes_where_the_picture_is_there(build, picture, image):
    run = build(submissions=[picture("p1", "a"), picture("p2", "b"), {}], media=[image("p1", "a")])
    assert run("SELECT post_id, sha256, dhash FROM int_image_posts") == [
        ("p1", "a" * 64, 5),
        ("p2", None, None),
    ]


def test_the_last_image_posts_are_held_out_and_leave_everything_else(build, picture):
    run = build(
        comments=COMMENT,
        submissions=[
            picture("p1", "red fox", 1),
            picture("p2", "blue boat", 2),
            picture("p3", "old oak", 3),
        ],
        holdout_posts=2,
    )
    assert run("SELECT post_id, position FROM benchmark_holdout") == [("p3", 1), ("p2", 2)]
    assert run("SELECT post_id FROM image_posts") == [("p1",)]
    assert run("SELECT posts, comments FROM interactions") == [(1, 1)]
    assert run("SELECT image_posts, posts FROM users") == [(1, 1)]
    assert run("SELECT image_posts FROM subreddits") == [(1,)]
    document = run("SELECT document FROM subreddit_documents")[0][0]
    assert document == "pics\nred fox\nhello"


def test_the_holdout_is_the_same_whatever_the_order_of_the_input(build, picture):
    posts = [picture(f"p{n}", f"title number {n}", 1 + n % 3, user_id=n % 5) for n in range(40)]
    comments = [{"user_id": user} for user in range(5)]
    query = "SELECT * FROM benchmark_holdout"
    options = {"holdout_posts": 2, "benchmark_users": 3}
    one = build(comments=comments, submissions=posts, **options)(query)
    two = build(comments=comments[::-1], submissions=posts[::-1], **options)(query)
    assert one == two and len(one) == 6
    assert one != build(comments=comments, submissions=posts, **options | {"seed": 8})(query)


def test_people_for_development_are_held_out_beside_the_benchmark_s_and_change_none_of_them(
    build, picture
):
    posts = [picture(f"p{n}", f"title number {n}", 1 + n // 8, user_id=n % 8) for n in range(24)]
    comments = [{"user_id": user} for user in range(8)]
    query = "SELECT user_id, post_id FROM benchmark_holdout"
    alone = build(comments=comments, submissions=posts, benchmark_users=3)(query)
    run = build(comments=comments, submissions=posts, benchmark_users=3, development_users=4)
    assert run(f"{query} WHERE split = 'benchmark'") == alone and len(alone) == 3
    development = run(f"{query} WHERE split = 'development'")
    assert len(development) == 4 and not {u for u, _ in alone} & {u for u, _ in development}
    visible = ids(run("SELECT post_id FROM image_posts"))
    assert not {post for _, post in alone + development} & set(visible)


def test_users_without_enough_posts_comments_or_history_are_no_benchmark_users(build, picture):
    def posts(user, *titles):
        return [picture(f"u{user}p{n}", t, n + 1, user_id=user) for n, t in enumerate(titles)]

    run = build(
        comments=[{"user_id": u} for u in (1, 3, 4, 4)] + [{"user_id": 2, "is_bot": True}],
        submissions=[
            *posts(1, "red fox", "old oak"),
            *posts(2, "red fox", "old oak"),  # no comment
            *posts(3, "old oak"),  # no history
            *posts(
                4, "a red fox in snow", "the red fox in snow"
            ),  # a history that repeats the held-out title
        ],
    )
    assert run("SELECT user_id, post_id FROM benchmark_holdout") == [(1, "u1p1")]


def test_titles_like_a_held_out_one_leave_for_that_user_only(build, picture):
    run = build(
        comments=COMMENT,
        submissions=[
            picture("same", "THE red fox, at night!", 1),
            picture("near", "the red fox at dusk", 2),  # 4 shared of 5 and 5 words: F1 = 0.8
            picture("far", "the red fox on ice", 3),  # 3 shared of 5 and 5: F1 = 0.6
            picture("held", "the red fox at night", 9),
            picture("other", "the red fox at night", 4, user_id=2),
        ],
    )
    assert run("SELECT post_id FROM benchmark_holdout") == [("held",)]
    assert ids(run("SELECT post_id FROM image_posts")) == ["far", "other"]


def test_a_held_out_picture_leaves_whoever_posted_it(build, picture, image):
    run = build(
        comments=COMMENT,
        submissions=[
            picture("history", "one", 1),
            picture("held", "two", 5),
            picture("repost", "three", 2, user_id=2),
            picture("lost", "four", 3, user_id=2),
        ],
        media=[image("history", "a"), image("held", "b"), image("repost", "b")],
    )
    assert run("SELECT post_id, sha256 FROM benchmark_holdout") == [("held", "b" * 64)]
    assert ids(run("SELECT post_id FROM image_posts")) == ["history", "lost"]


def test_one_picture_in_three_communities_is_one_case(build, picture, image):
    run = build(
        comments=COMMENT,
        submissions=[
            picture("a", "red fox", 1),
            picture("b", "old oak", 3),
            picture("c", "old oak", 4, subreddit="art"),
            picture("d", "boat", 5),
            picture("e", "ship", 6),
        ],
        media=[image("a", "a"), image("b", "b"), image("c", "c"), image("d", "d"), image("e", "d")],
        holdout_posts=2,
    )
    assert run("SELECT post_id FROM benchmark_holdout") == [("e",), ("c",)]
    assert ids(run("SELECT post_id FROM image_posts")) == ["a"]


def test_without_any_media_the_benchmark_still_has_prompts(build, picture):
    run = build(
        comments=COMMENT, submissions=[picture("p1", "red fox", 1), picture("p2", "old oak", 2)]
    )
    assert run("SELECT post_id, sha256 FROM benchmark_holdout") == [("p2", None)]


def test_with_media_a_post_whose_picture_is_lost_is_no_case(build, picture, image):
    run = build(
        comments=COMMENT,
        submissions=[
            picture("p1", "red fox", 1),
            picture("p2", "old oak", 2),
            picture("p3", "boat", 3),
        ],
        media=[image("p1", "a"), image("p2", "b")],
    )
    assert run("SELECT post_id FROM benchmark_holdout") == [("p2",)]
    assert ids(run("SELECT post_id FROM image_posts")) == ["p1", "p3"]


def test_posts_for_adults_and_titles_without_words_are_never_held_out(build, picture):
    run = build(
        comments=COMMENT,
        submissions=[
            picture("p1", "red fox", 1),
            picture("p2", "old oak", 2),
            picture("p3", "nude", 3, over_18=True),
            picture("p4", "…!", 4),
        ],
    )
    assert run("SELECT post_id FROM benchmark_holdout") == [("p2",)]
    assert run("SELECT over_18_share FROM subreddits") == [(1 / 3,)]


def test_a_post_in_the_dumps_of_two_months_counts_once(build, picture):
    run = build(
        comments=COMMENT, submissions=[picture("p1", "red fox", 1), picture("p1", "red fox", 1)]
    )
    assert run("SELECT count(*) FROM image_posts") == [(1,)]


def test_recency_halves_with_every_half_life_before_the_newest_event(build):
    run = build(
        comments=[
            {"user_id": 1, "created_at": "2020-01-21"},
            {"user_id": 2, "created_at": "2020-01-11"},
            {"user_id": 3, "created_at": "2020-01-01"},
        ]
    )
    assert run("SELECT user_id, recency FROM interactions") == [(1, 1.0), (2, 0.5), (3, 0.25)]


def test_interactions_add_up_over_months_and_image_posts(build, picture):
    run = build(
        comments=[{"score": 2}, {"score": 2, "created_at": "2020-02-01"}],
        submissions=[{"created_at": "2020-02-03"}, picture("p1", "red fox", 5, score=7)],
        min_comments=100,
    )
    rows = run("SELECT posts, comments, first_at, last_at, score_log FROM interactions")
    assert rows[0][:4] == (2, 2, datetime(2020, 1, 1), datetime(2020, 2, 3))
    assert math.isclose(rows[0][4], 2 * math.log(3) + math.log(2) + math.log(8), abs_tol=1e-5)


def test_subreddits_know_their_size_and_what_is_sensitive(build):
    run = build(
        comments=[
            {"subreddit": "Depression"},
            {"subreddit": "pics"},
            {"user_id": 2, "subreddit": "pics"},
        ]
    )
    assert run("SELECT subreddit, users, comments, sensitive FROM subreddits") == [
        ("Depression", 1, 1, True),
        ("pics", 2, 2, False),
    ]
    empty = build(comments=[{"subreddit": "Depression"}], sensitive_communities={})
    assert empty("SELECT sensitive FROM subreddits") == [(False,)]


def test_documents_hide_the_holdout_its_echoes_and_the_talk_below_it(build, picture):
    run = build(
        comments=[
            {"body": "hello"},
            {"body": "My prompt: old oak tree"},
            {"body": "old oak tree", "user_id": 2},
            {"body": "great colours", "user_id": 2, "link_id": "t3_p2"},
        ],
        submissions=[
            picture("p1", "red fox", 1),
            picture("p2", "prompt: my old oak tree", 2),
            {"title": "my old oak tree"},
        ],
    )
    assert run("SELECT post_id FROM benchmark_holdout") == [("p2",)]
    lines = run("SELECT document FROM subreddit_documents")[0][0].split("\n")
    assert (lines[0], sorted(lines[1:])) == ("pics", ["hello", "old oak tree", "red fox"])


def test_documents_are_samples_of_bounded_length(build):
    comments = [{"body": f"{n} " + "x" * 50} for n in range(100)]
    settings = {"document_comments": 5, "snippet_chars": 20, "document_chars": 60}
    document = build(comments=comments, **settings)("SELECT document FROM subreddit_documents")[0][
        0
    ]
    assert len(document) == 60
    assert (
        document
        == build(comments=comments, **settings)("SELECT document FROM subreddit_documents")[0][0]
    )
    assert all(len(line) <= 20 for line in document.split("\n"))


def test_no_input_at_all_gives_empty_tables(build):
    run = build()
    for table in (
        "benchmark_holdout",
        "interactions",
        "users",
        "subreddits",
        "subreddit_documents",
    ):
        assert run(f"SELECT count(*) FROM {table}") == [(0,)]


def test_records_of_another_month_are_not_staged_because_that_month_has_them(build, picture):
    run = build(
        comments=[
            {"id": "in", "created_at": "2020-01-31 23:59:59"},
            {"id": "late", "created_at": "2020-02-01"},
            {"id": "early", "created_at": "2019-12-31 23:59:59"},
        ],
        submissions=[
            picture("in", "red fox", 31),
            picture("late", "old oak", created_at="2020-02-01"),
        ],
        month="2020-01",
    )
    assert run("SELECT id FROM stg_comments") == [("in",)]
    assert run("SELECT id FROM stg_submissions") == [("in",)]
    assert run("SELECT posts, comments FROM int_activity_monthly") == [(0, 1)]


def test_communities_are_over_18_by_their_posts_or_by_the_list(build):
    run = build(
        comments=[{"subreddit": "gonewild"}, {"subreddit": "pics"}],
        submissions=[
            {"subreddit": "sketches", "over_18": True},
            {"subreddit": "sketches"},
            {"subreddit": "pics", "over_18": True},
            {"subreddit": "pics"},
            {"subreddit": "pics"},
        ],
    )
    assert run("SELECT subreddit, over_18, sensitive, sensitive_category FROM subreddits") == [
        ("gonewild", True, True, "adult"),
        ("pics", False, False, None),
        ("sketches", True, False, None),
    ]
