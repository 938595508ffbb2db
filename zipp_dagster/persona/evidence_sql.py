"""The SQL of `evidence.py`: sharing a budget over communities and filling each share."""

from __future__ import annotations

from collections.abc import Sequence

from zipp_dagster.persona.config import PersonaSettings
from zipp_dagster.persona.snippets_sql import quoted, read_files


def people(file: str, only_users: bool) -> str:
    """The people of one snippet file, as table zipp_people."""
    chosen = "where user_id in (select user_id from zipp_only)" if only_users else ""
    return f"""
    create or replace temp table zipp_people as
        select distinct user_id from {read_files([file])} {chosen}
    """


def ranked_communities(
    rankings: Sequence[str], settings: PersonaSettings, weight: str, low: int, high: int
) -> str:
    """Each person's best communities with their share of the budget and the tokens of the names.

    Rankings are ordered by user, so that the range of ids reads only its own row groups.
    """
    return f"""
    create or replace temp table zipp_communities as
    with allowed as (
        select * from {read_files(rankings)}
        where user_id between {low} and {high}
          and user_id in (select user_id from zipp_people)
          and subreddit not in (select subreddit from zipp_excluded)
    ),
    weighted as (
        select user_id, subreddit, greatest(coalesce({weight}, 0), 0)::double as weight
        from allowed window person as (partition by user_id)
    ),
    top as (
        select *, row_number() over (
            partition by user_id order by weight desc, subreddit) as community_rank
        from weighted qualify community_rank <= {settings.max_communities}
    )
    select t.user_id, t.subreddit, t.community_rank::integer as community_rank,
        -- All weights zero: equal shares.
        coalesce(t.weight / nullif(sum(t.weight) over person, 0), 1.0 / count(*) over person)
            as share,
        n.tokens as name_tokens
    from top t join zipp_names n on n.subreddit = t.subreddit
    window person as (partition by t.user_id)
    """


def name_tokens(rankings: Sequence[str]) -> str:
    """Tokens of each community's name as evidence shows it, counted once: table zipp_names."""
    return f"""
    create or replace temp table zipp_names as
        select subreddit, zipp_tokens('r/' || subreddit) as tokens
        from (select distinct subreddit from {read_files(rankings)})
    """


def chosen_snippets(file: str, settings: PersonaSettings) -> str:
    """The evidence of the people in zipp_communities, as table zipp_evidence."""
    snippets_wanted = "false" if settings.communities_only else "true"
    return f"""
    create or replace temp table zipp_evidence as
    with counted as (
        select s.*, c.community_rank, c.share from {read_files([file])} s
        join zipp_communities c on c.user_id = s.user_id and c.subreddit = s.subreddit
        where {snippets_wanted}
    ),
    budget as (
        -- Names come first; a budget too small for all of them drops the last communities.
        select * from (
            select *, sum(name_tokens) over (
                partition by user_id order by community_rank) as names_so_far
            from zipp_communities
        ) where names_so_far <= {settings.token_budget}
    ),
    room as (
        select user_id, {settings.token_budget} - sum(name_tokens) as room
        from budget group by user_id
    ),
    by_share as (
        select n.*, r.room, sum(n.tokens) over (
                partition by n.user_id, n.subreddit order by n.snippet_rank) as so_far,
            so_far <= n.share * r.room as within_share
        from counted n
        join room r on r.user_id = n.user_id
        join budget b on b.user_id = n.user_id and b.subreddit = n.subreddit
    ),
    second_round as (
        -- What communities with little text leave over goes to the others' next snippets.
        select *, coalesce(sum(case when within_share then tokens end) over (
                partition by user_id), 0) as taken,
            sum(case when within_share then 0 else tokens end) over (
                partition by user_id order by snippet_rank, community_rank) as extra_so_far
        from by_share
    ),
    chosen as (
        select * from second_round where within_share or taken + extra_so_far <= room
    )
    select user_id, subreddit, community_rank, share, null::varchar as snippet_id,
        'r/' || subreddit as text, name_tokens as tokens,
        'community' as reason, 0 as snippet_rank
    from budget
    union all
    select user_id, subreddit, community_rank, share, snippet_id, text, tokens,
        format('{{}}; length {{:.2f}}, score {{:.2f}}, recency {{:.2f}}, novelty {{:.2f}}{{}}',
            case when within_share then 'share' else 'left over' end,
            by_length, by_score, by_recency, by_novelty,
            case when first_person then ', first person' else '' end),
        snippet_rank
    from chosen
    """


def copy_evidence(path: str) -> str:
    """Writes zipp_evidence in its final order."""
    return f"""
    copy (
        select user_id::ubigint as user_id, subreddit, community_rank::integer as community_rank,
            share::double as share, snippet_id, text, tokens::integer as tokens, reason
        from zipp_evidence order by user_id, community_rank, snippet_rank
    ) to {quoted(path)} (format parquet, compression zstd)
    """


def totals() -> str:
    """A row a person of zipp_people with evidence: rows, snippets and tokens."""
    return """
    select count(*)::integer as n, count(snippet_id)::integer as snippets,
        sum(tokens)::integer as tokens
    from zipp_evidence group by user_id
    """
