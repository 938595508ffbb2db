"""Checks of the SQL models that look beyond one table: nothing is lost or counted twice on the way.

What holds within one table is in its contract. Sums are compared in DuckDB; results are counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zipp_dagster.platform.artifacts import Check, CheckOutcome, Inputs, check
from zipp_dagster.platform.catalogue import Platform
from zipp_dagster.platform.contracts import scan
from zipp_dagster.platform.lake import Draft

LEAST_STAGED = 0.5
"""A month of which staging keeps less than this share is mostly bots, or mostly misread."""

MOST_BY_SIGNS = 0.2
"""More events than this share by accounts that only their habits show: thresholds are too low."""


@check("most_rows_staged")
def most_rows_staged(draft: Draft, inputs: Inputs, platform: Platform) -> CheckOutcome:
    """Staging leaves out bots, profile pages and empty texts, and keeps most of a month."""
    source = draft.asset.removeprefix("stg_")
    kept = _sums(platform, draft.files(), "count(*)")[0]
    read = _sums(platform, inputs[source].files(), "count(*)")[0]
    share = kept / max(read, 1)
    return CheckOutcome(
        LEAST_STAGED <= share <= 1 or read == 0,
        f"{kept} of {read} records are staged",
        {"staged_share": share},
        severity="error" if kept == 0 or kept > read else "warn",
    )


@check("few_bots_by_their_habits", blocking=False)
def few_bots_by_their_habits(draft: Draft, inputs: Inputs, platform: Platform) -> CheckOutcome:
    """Accounts that no list names, but their habits show to be automatic, write a small share."""
    total, by_signs, accounts = _sums(
        platform,
        draft.files(),
        "coalesce(sum(events), 0)",
        "coalesce(sum(events) FILTER (WHERE bot_reason <> 'listed'), 0)",
        "count(*) FILTER (WHERE bot_reason <> 'listed')",
    )
    share = by_signs / max(total, 1)
    return CheckOutcome(
        share <= MOST_BY_SIGNS,
        f"{accounts} accounts with {share:.1%} of the events are automatic by their habits",
        {"share_of_events": share, "accounts": accounts},
        severity="warn",
    )


@check("every_event_counted_once")
def every_event_counted_once(draft: Draft, inputs: Inputs, platform: Platform) -> CheckOutcome:
    """Posts and comments add up to those of all months and all visible image posts, without bots."""
    found = _sums(platform, draft.files(), "coalesce(sum(posts), 0)", "coalesce(sum(comments), 0)")
    bots = _files_as_table(inputs["int_bots"].files())
    posts, comments = _sums(
        platform,
        inputs["int_activity_monthly"].files(),
        "coalesce(sum(posts), 0)",
        "coalesce(sum(comments), 0)",
        where=f"user_id NOT IN (SELECT user_id FROM {bots})",
    )
    pictures = 0
    if inputs.available("image_posts"):
        pictures = _sums(
            platform,
            inputs["image_posts"].files(),
            "count(*)",
            where=f"user_id NOT IN (SELECT user_id FROM {bots})",
        )[0]
    wanted = [posts + pictures, comments]
    return CheckOutcome(
        found == wanted,
        f"{found[0]} posts and {found[1]} comments; {wanted[0]} and {wanted[1]} went in",
        {"posts": found[0], "comments": found[1]},
    )


@check("interactions_add_up")
def interactions_add_up(draft: Draft, inputs: Inputs, platform: Platform) -> CheckOutcome:
    """Posts and comments add up to those of the interactions."""
    sums = ("coalesce(sum(posts), 0)", "coalesce(sum(comments), 0)")
    found = _sums(platform, draft.files(), *sums)
    wanted = _sums(platform, inputs["interactions"].files(), *sums)
    return CheckOutcome(
        found == wanted,
        f"{found[0]} posts and {found[1]} comments; interactions have {wanted[0]} and {wanted[1]}",
    )


CHECKS_OF_TABLES: dict[str, tuple[Check, ...]] = {
    "stg_accounts": (few_bots_by_their_habits,),
    "stg_comments": (most_rows_staged,),
    "stg_submissions": (most_rows_staged,),
    "interactions": (every_event_counted_once,),
    "users": (interactions_add_up,),
    "subreddits": (interactions_add_up,),
}
"""Checks of SQL models that need more than a contract."""


def _files_as_table(files: Sequence[Path]) -> str:
    return scan(files) if files else "(SELECT CAST(NULL AS UBIGINT) AS user_id WHERE false)"


def _sums(
    platform: Platform, files: Sequence[Path], *expressions: str, where: str = "true"
) -> list[int]:
    """One row of whole numbers over some files; zeros where there is no file."""
    if not files:
        return [0] * len(expressions)
    with platform.warehouse.connect() as connection:
        query = f"SELECT {', '.join(expressions)} FROM {scan(files)} WHERE {where}"
        return [int(value) for value in connection.execute(query).fetchone()]
