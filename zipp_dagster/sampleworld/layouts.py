"""How one record looks in a dump: the fields and field types of three eras of Reddit.

Month by month the world passes through the eras, so that every sample contains the drift that real
archives have: `created_utc` as string, int and float; `edited` as bool, int and float; null scores;
missing `name` and `author_fullname`; `url` null beside `url_overridden_by_dest`. Files are written
in `dumps.py`.
"""

from __future__ import annotations

import html
import random
from urllib.parse import urlsplit

from zipp_dagster.sampleworld.catalog import words
from zipp_dagster.sampleworld.communities import Community
from zipp_dagster.sampleworld.journal import DELETED, REMOVED, Comment, Submission

Record = dict[str, object]
ERAS = ("2015", "2017", "2023")

_COMMENT_2015: Record = {
    **dict.fromkeys(("author_flair_css_class", "author_flair_text", "distinguished")),
    **{"archived": False, "controversiality": 0, "downs": 0, "gilded": 0, "removal_reason": None},
    "score_hidden": False,
}
_COMMENT_2017: Record = {
    **dict.fromkeys(("author_flair_css_class", "author_flair_text", "distinguished")),
    **{"can_gild": True, "controversiality": 0, "gilded": 0, "stickied": False},
    "subreddit_type": "public",
}
_COMMENT_2023: Record = {
    **dict.fromkeys(
        words(
            "approved_at_utc approved_by associated_award author_cakeday"
            " author_flair_background_color author_flair_css_class author_flair_template_id"
            " author_flair_text author_flair_text_color banned_at_utc banned_by"
            " collapsed_because_crowd_control collapsed_reason collapsed_reason_code"
            " comment_type distinguished likes mod_note mod_reason_by mod_reason_title"
            " num_reports removal_reason report_reasons top_awarded_type unrepliable_reason"
        )
    ),
    **{key: [] for key in ("all_awardings", "author_flair_richtext", "awarders", "mod_reports")},
    **{key: [] for key in ("treatment_tags", "user_reports")},
    **{"author_flair_type": "text", "author_is_blocked": False, "author_patreon_flair": False},
    **{"author_premium": False, "archived": False, "can_gild": False, "can_mod_post": False},
    **{"collapsed": False, "controversiality": 0, "downs": 0, "gilded": 0, "gildings": {}},
    **{"locked": False, "no_follow": True, "replies": "", "saved": False, "score_hidden": False},
    **{"send_replies": True, "stickied": False, "subreddit_type": "public"},
    "total_awards_received": 0,
}
_SUBMISSION_2015: Record = {
    **dict.fromkeys(
        words(
            "author_flair_css_class author_flair_text distinguished from from_id from_kind"
            " link_flair_css_class link_flair_text media secure_media"
        )
    ),
    **{"archived": False, "downs": 0, "gilded": 0, "hide_score": False, "media_embed": {}},
    **{"quarantine": False, "saved": False, "secure_media_embed": {}, "stickied": False},
}
_SUBMISSION_2017: Record = {
    **dict.fromkeys(
        words(
            "author_flair_css_class author_flair_text distinguished link_flair_css_class"
            " link_flair_text media secure_media suggested_sort view_count whitelist_status"
        )
    ),
    **{"archived": False, "brand_safe": True, "can_gild": True, "contest_mode": False},
    **{"gilded": 0, "hidden": False, "hide_score": False, "is_crosspostable": False},
    **{"is_reddit_media_domain": False, "is_video": False, "locked": False, "media_embed": {}},
    **{"num_crossposts": 0, "parent_whitelist_status": None, "pinned": False},
    **{"secure_media_embed": {}, "spoiler": False, "stickied": False, "subreddit_type": "public"},
}
_SUBMISSION_2023: Record = {
    **dict.fromkeys(
        words(
            "approved_at_utc approved_by author_flair_background_color author_flair_css_class"
            " author_flair_template_id author_flair_text author_flair_text_color banned_at_utc"
            " banned_by category content_categories discussion_type distinguished likes"
            " link_flair_css_class link_flair_text media mod_note mod_reason_by"
            " mod_reason_title num_reports parent_whitelist_status removal_reason removed_by"
            " removed_by_category report_reasons secure_media suggested_sort top_awarded_type"
            " view_count whitelist_status wls pwls"
        )
    ),
    **{key: [] for key in ("all_awardings", "author_flair_richtext", "awarders", "mod_reports")},
    **{key: [] for key in ("link_flair_richtext", "treatment_tags", "user_reports")},
    **{key: {} for key in ("gildings", "media_embed", "secure_media_embed")},
    **dict.fromkeys(
        words(
            "allow_live_comments archived author_is_blocked author_patreon_flair"
            " author_premium can_gild can_mod_post clicked contest_mode hidden hide_score"
            " is_created_from_ads_ui is_crosspostable is_meta is_original_content is_video"
            " locked media_only pinned quarantine saved spoiler stickied visited"
        ),
        False,
    ),
    **{"author_flair_type": "text", "downs": 0, "gilded": 0, "link_flair_background_color": ""},
    **{"link_flair_text_color": "dark", "link_flair_type": "text", "no_follow": True},
    **{"is_robot_indexable": True, "num_crossposts": 0, "send_replies": True},
    **{"subreddit_subscribers": 40_210, "subreddit_type": "public", "total_awards_received": 0},
    "upvote_ratio": 0.93,
}


def era_of(month_index: int) -> str:
    """The era whose field types a month has: they take turns."""
    return ERAS[month_index % len(ERAS)]


def comment_record(comment: Comment, community: Community, era: str, rng: random.Random) -> Record:
    """The JSON object of one comment; a deleted one shows it in the way of its era."""
    deleted = comment.deleted
    if deleted == "later" and era != "2023":
        deleted = "both"
    author = DELETED if deleted in ("author", "both") else comment.author
    body = {"body": REMOVED, "both": DELETED}.get(deleted or "", html.escape(comment.body, False))
    base = {"2015": _COMMENT_2015, "2017": _COMMENT_2017, "2023": _COMMENT_2023}[era]
    record: Record = {
        **base,
        **_common(comment.id, author, comment.created, comment.score, community, era, "t1", rng),
        "body": body,
        "link_id": comment.link_id,
        "parent_id": comment.parent_id,
    }
    if era != "2015":
        record["permalink"] = f"/r/{community.name}/comments/{comment.link_id[3:]}/_/{comment.id}/"
        record["is_submitter"] = False
    if era == "2023" and (deleted == "later" or rng.random() < 0.3):
        record["_meta"] = (
            {"was_deleted_later": True} if deleted == "later" else {"retrieved_2nd_on": 1}
        )
    return record


def submission_record(
    post: Submission, community: Community, era: str, rng: random.Random
) -> Record:
    """The JSON object of one submission."""
    deleted = post.deleted
    if deleted == "later" and era != "2023":
        deleted = "both"
    author = DELETED if deleted in ("author", "both") else post.author
    selftext = {"body": REMOVED, "both": DELETED}.get(
        deleted or "", html.escape(post.selftext, False)
    )
    permalink = f"/r/{community.name}/comments/{post.id}/_/"
    url = post.url or f"https://www.reddit.com{permalink}"
    image = url.endswith((".png", ".jpg"))
    base = {"2015": _SUBMISSION_2015, "2017": _SUBMISSION_2017, "2023": _SUBMISSION_2023}[era]
    record: Record = {
        **base,
        **_common(post.id, author, post.created, post.score, community, era, "t3", rng),
        "title": html.escape(post.title, False),
        "selftext": selftext,
        "url": url,
        "domain": urlsplit(url).hostname if post.url else f"self.{community.name}",
        "is_self": not post.url,
        "over_18": post.over_18,
        "num_comments": post.num_comments,
        "permalink": permalink,
        "thumbnail": "self" if not post.url else "default",
    }
    # Only a third of image posts carry the hint: readers must look at domain and suffix.
    if image and era != "2015" and rng.random() < 0.35:
        record["post_hint"] = "image"
    if era == "2023":
        record["is_reddit_media_domain"] = url.startswith("https://i.redd.it/")
        if post.url:
            record["url_overridden_by_dest"] = url
            if rng.random() < 0.05:
                record["url"] = None
        if deleted in ("body", "both"):
            record["removed_by_category"] = "moderator" if deleted == "body" else "deleted"
        if deleted == "later":
            record["_meta"] = {"was_deleted_later": True, "removal_type": "deleted"}
    return record


def _common(
    item: str,
    author: str,
    created: int,
    score: int,
    community: Community,
    era: str,
    prefix: str,
    rng: random.Random,
) -> Record:
    """The fields that comments and submissions share, in the types of the era."""
    record: Record = {
        "id": item,
        "author": author,
        "subreddit": community.name,
        "subreddit_id": f"t5_{2_000_000 + community.index:x}",
        "score": score,
        "retrieved_on": created + 2_600_000,
    }
    fullname = f"t2_{sum(author.encode()) * 7919 + len(author):x}"
    edited = rng.random() < 0.03
    if era == "2015":
        record["created_utc"] = str(created)
        record["name"] = f"{prefix}_{item}"
        record["ups"] = score
        record["edited"] = created + 300 if edited else False
    elif era == "2017":
        record["created_utc"] = created
        record["score"] = None if rng.random() < 0.05 else score
        record["edited"] = float(created + 300) if edited else False
        if rng.random() < 0.5:
            record["author_fullname"] = fullname
    else:
        record["created_utc"] = float(created)
        record["created"] = float(created)
        record["ups"] = score
        record["subreddit_name_prefixed"] = f"r/{community.name}"
        record["edited"] = rng.choice((True, created + 300, created + 300.5)) if edited else False
        if rng.random() < 0.9:
            record["name"] = f"{prefix}_{item}"
        if rng.random() < 0.95:
            record["author_fullname"] = fullname
    return record
