"""The SQL of `evidence.py`: cleaning, scoring and choosing snippets as set operations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from zipp_dagster.persona.config import PersonaSettings

TOKENIZER: Final = "zipp_count_tokens"
_TOKEN_PATTERN: Final = r"\w+|[^\w\s]"
TOKEN_PATTERN_PYTHON: Final = re.compile(_TOKEN_PATTERN, re.ASCII)

# Text beyond this many characters is never read: a comment of a megabyte costs no more than others.
_READ_CHARS: Final = 6000
# Below the 0.8 of the leak checks, because sets of words forget repetitions.
_NEAR_TITLE: Final = 0.75
# A comment that addresses a language model is no evidence of anything, and may be an attack on one.
_INJECTION: Final = (
    r"(ignore|disregard|forget|override)\W+(\w+\W+){0,3}(instructions?|prompts?|rules|guidelines)|"
    r"system prompt|you are (now )?(an? )?(ai|assistant|language model|chatgpt|dan)\b|"
    r"<\|?(im_start|im_end|system|endoftext)|\[/?inst\]|###\s*(system|instruction)"
)
# Others' words (quoted lines), addresses and links go before anything is counted or shown. Order
# matters: links lose their target first, then bare addresses, e-mails, names, long numbers.
_CLEANING: Final[tuple[tuple[str, str], ...]] = (
    (r"(?m)^\s*(>|&gt;).*$", " "),
    (r"\[([^\]]*)\]\([^)]*\)", r"\1"),
    (r"https?://\S+|www\.\S+", " "),
    (r"[\w.+-]+@[\w-]+\.[\w.]+", " "),
    (r"(^|[^\w/])/?u/[\w-]+", r"\1 "),
    (r"@\w{2,}", " "),
    (r"\+?\(?\d{2,4}\)?[ .-]?\d{3}[ .-]?\d{3,4}", " "),
    (r"&gt;|&lt;|&nbsp;|&#x200b;", " "),
    (r"[*_`~#|^\\]+", " "),
    (r"\s+", " "),
)


def quoted(text: str) -> str:
    """A SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def _files(files: Sequence[str]) -> str:
    return "read_parquet([" + ", ".join(quoted(file) for file in files) + "])"


def token_macro(with_tokenizer: bool) -> str:
    """`zipp_tokens(text)`: by the given tokenizer, or words and marks."""
    body = (
        f"{TOKENIZER}(t)"
        if with_tokenizer
        else f"len(regexp_extract_all(t, {quoted(_TOKEN_PATTERN)}))"
    )
    return f"create or replace temp macro zipp_tokens(t) as ({body})::integer"


def word_macros() -> str:
    """`zipp_words(text)`: the distinct words of a lower-case text; `zipp_f1` of two such lists."""
    return """
    create or replace temp macro zipp_words(t) as list_distinct(regexp_extract_all(t, '\\w+'));
    create or replace temp macro zipp_f1(a, b) as
        2.0 * len(list_intersect(a, b)) / nullif(len(a) + len(b), 0);
    """


def excluded_communities(subreddits: Sequence[str], settings: PersonaSettings) -> str:
    """Communities that are no evidence: sensitive, over-18, and people's own pages."""
    reasons = ["subreddit ilike 'u\\_%' escape '\\'"]
    if not settings.include_sensitive:
        reasons.append("coalesce(sensitive, false)")
    if not settings.include_over_18:
        reasons.append(f"coalesce(over_18_share, 0) > {settings.over_18_max_share}")
    return (
        "create or replace temp table zipp_excluded as select distinct subreddit "
        f"from {_files(subreddits)} where {' or '.join(reasons)}"
    )


def ranked_communities(rankings: Sequence[str], settings: PersonaSettings, weight: str) -> str:
    """Each person's best communities with their share of the budget and the tokens of the names."""
    return f"""
    create or replace temp table zipp_communities as
    with allowed as (
        select * from {_files(rankings)}
        where subreddit not in (select subreddit from zipp_excluded)
    ),
    weighted as (
        select user_id, subreddit, greatest(coalesce({weight}, 0), 0)::double as weight
        from allowed window person as (partition by user_id)
    ),
    top as (
        select *, row_number() over (
            partition by user_id order by weight desc, subreddit) as community_rank
        from weighted
        qualify community_rank <= {settings.max_communities}
    )
    select user_id, subreddit, community_rank::integer as community_rank,
        -- All weights zero: equal shares.
        coalesce(weight / nullif(sum(weight) over person, 0), 1.0 / count(*) over person) as share,
        zipp_tokens('r/' || subreddit) as name_tokens
    from top window person as (partition by user_id)
    """


def holdout(files: Sequence[str]) -> str:
    """The held-out posts: their ids, and their titles' words for the title check."""
    if not files:
        return (
            "create or replace temp table zipp_holdout as "
            "select 0::ubigint as user_id, '' as post_id, []::varchar[] as title_words where false"
        )
    return (
        "create or replace temp table zipp_holdout as "
        "select user_id, post_id, zipp_words(lower(title)) as title_words "
        f"from {_files(files)}"
    )


def sources(comments: Sequence[str], submissions: Sequence[str]) -> str:
    """Comments and text posts as one view; nothing is read before a user range asks."""
    posts = (
        f"""
        union all by name
        select id, user_id, subreddit, null::varchar as link_id, score, created_at, title,
            title || case when coalesce(selftext, '') in ('', '[removed]', '[deleted]') then ''
                else '. ' || left(selftext, {_READ_CHARS}) end as body
        from {_files(submissions)} where not is_image and not coalesce(over_18, false)"""
        if submissions
        else ""
    )
    return f"""
    create or replace temp view zipp_sources as
        select id, user_id, subreddit, link_id, score, created_at, null::varchar as title,
            left(body, {_READ_CHARS}) as body
        from {_files(comments)} where body not in ('[removed]', '[deleted]')
        {posts}
    """


def _clean(column: str) -> str:
    for pattern, replacement in _CLEANING:
        column = f"regexp_replace({column}, {quoted(pattern)}, {quoted(replacement)}, 'g')"
    return f"trim({column})"


def chosen_snippets(settings: PersonaSettings, low: int, high: int) -> str:
    """The evidence of the users with `low` <= user_id <= `high`, as table zipp_evidence.

    A snippet's quality is the mean of four parts in 0..1: length, score, recency and novelty; a
    snippet in the first person counts a quarter more, because it speaks of its author.
    """
    half_life = settings.recency_half_life_days
    most = settings.max_snippet_chars
    snippets_wanted = "false" if settings.communities_only else "true"
    return f"""
    create or replace temp table zipp_evidence as
    with mine as (
        select * from zipp_sources
        where user_id between {low} and {high}
          and subreddit not in (select subreddit from zipp_excluded)
          and id not in (select post_id from zipp_holdout)
          -- What is said under a held-out post is about the target.
          and coalesce(link_id, '') not in (select 't3_' || post_id from zipp_holdout)
    ),
    cleaned as (
        select * exclude (body), {_clean("body")} as clean from mine
        where not regexp_matches(lower(body), {quoted(_INJECTION)})
    ),
    cut as (
        select *, case when length(clean) <= {most} then clean
            else regexp_replace(left(clean, {most}), '\\s+\\S*$', '') end as text
        from cleaned
    ),
    usable as (
        select *, lower(text) as low_text,
            len(string_split(text, ' ')) as word_count,
            max(created_at) over (partition by user_id) as newest
        from cut where len(string_split(text, ' ')) >= {settings.min_snippet_words}
    ),
    distinct_text as (
        -- A person who repeats a text says nothing new.
        select * from usable
        qualify row_number() over (
            partition by user_id, low_text order by created_at desc, id) = 1
    ),
    active as (
        select *, count(*) over (partition by user_id) as usable_snippets from distinct_text
        qualify usable_snippets >= {settings.min_comments}
    ),
    placed as (
        select a.*, c.community_rank, c.share from active a
        join zipp_communities c on c.user_id = a.user_id and c.subreddit = a.subreddit
        where not exists (
            -- Token F1 with a held-out title, by sets of words: it is high on short snippets only.
            select 1 from zipp_holdout h where h.user_id = a.user_id
              and ((a.word_count <= 3 * len(h.title_words) + 3
                    and zipp_f1(h.title_words, zipp_words(a.low_text)) >= {_NEAR_TITLE})
                or (a.title is not null
                    and zipp_f1(h.title_words, zipp_words(lower(a.title))) >= {_NEAR_TITLE}))
        )
    ),
    parts as (
        select *,
            -- Fifty words say about as much as any number of them.
            least(1.0, ln(1 + word_count) / ln(51)) as by_length,
            case when coalesce(score, 0) <= 0 then 0.0
                else least(1.0, ln(1 + score) / ln(101)) end as by_score,
            pow(0.5, date_diff('second', created_at, newest) / 86400.0 / {half_life}) as by_recency,
            -- Of texts that open with the same four words, each older one says less.
            1.0 / row_number() over (
                partition by user_id, array_to_string(string_split(low_text, ' ')[1:4], ' ')
                order by created_at desc, id) as by_novelty,
            case when regexp_matches(low_text, '\\b(i|i''m|i''ve|i''d|my|me|mine|we|our)\\b')
                then 1.25 else 1.0 end as first_person
        from placed
    ),
    ranked as (
        select *, first_person * (by_length + by_score + by_recency + by_novelty) / 4 as quality,
            row_number() over (
                partition by user_id, subreddit order by quality desc, id) as snippet_rank
        from parts
        qualify snippet_rank <= {settings.candidates_per_community}
    ),
    counted as (
        select *, zipp_tokens(text) as tokens from ranked where {snippets_wanted}
    ),
    budget as (
        -- Names come first; a budget too small for all of them drops the last communities.
        select c.* from (
            select *, sum(name_tokens) over (
                partition by user_id order by community_rank) as names_so_far
            from zipp_communities where user_id in (select user_id from active)
        ) c where names_so_far <= {settings.token_budget}
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
    select user_id, subreddit, community_rank, share, id, text, tokens,
        format('{{}}; length {{:.2f}}, score {{:.2f}}, recency {{:.2f}}, novelty {{:.2f}}{{}}',
            case when within_share then 'share' else 'left over' end,
            by_length, by_score, by_recency, by_novelty,
            case when first_person > 1 then ', first person' else '' end),
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


def totals(files: Sequence[str]) -> str:
    """Users, rows, snippets, tokens, and the median of tokens for a user."""
    return f"""
    with per_user as (
        select user_id, count(*) as n, count(snippet_id) as snippets, sum(tokens) as tokens
        from {_files(files)} group by user_id
    )
    select count(*), coalesce(sum(n), 0)::bigint, coalesce(sum(snippets), 0)::bigint,
        coalesce(sum(tokens), 0)::bigint, coalesce(median(tokens), 0)
    from per_user
    """


def left_out(files: Sequence[str], settings: PersonaSettings) -> str:
    """People without evidence: below the activity floor, and for want of communities."""
    return f"""
    with written as (
        select user_id, count(*) as n from zipp_sources
        where subreddit not in (select subreddit from zipp_excluded) group by user_id
    ),
    missing as (
        select * from written where user_id not in (select user_id from {_files(files)})
    )
    select count(*) filter (where user_id in (select user_id from zipp_communities)),
        count(*) filter (where user_id not in (select user_id from zipp_communities))
    from missing
    """
