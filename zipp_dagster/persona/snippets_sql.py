"""The SQL of `snippets.py`: cleaning and scoring what people wrote, as set operations."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import Final

from zipp_dagster.persona.config import SnippetSettings
from zipp_dagster.persona.injection import ADDRESSES_A_MODEL
from zipp_dagster.persona.text_scan import Mark

TOKENS: Final = "zipp_tokens"

# Text beyond this many characters is never read: a comment of a megabyte costs no more than others.
_READ_CHARS: Final = 6000
# Below the 0.8 of the leak checks, because sets of words forget repetitions.
_NEAR_TITLE: Final = 0.75
_STREET: Final = (
    r"(?i)\b\d{1,5}[a-z]? ([a-z][\w'-]* ){1,3}(street|st|avenue|ave|road|rd|boulevard|blvd|lane|ln|"
    r"drive|dr|court|ct|terrace|highway|hwy)\b\.?|"
    r"\b[A-ZÄÖÜ][\wäöüß]*(straße|strasse|gasse|weg|platz) \d{1,4}\b"
)
# Others' words (quoted lines), addresses and links go before anything is counted or shown. Order
# matters: links lose their target first, then bare addresses, e-mails, names, long numbers. Each
# pattern is tried only on texts that hold its mark: most hold none, and this is the dearest step.
_CLEANING: Final[tuple[tuple[Mark, str, str], ...]] = (
    (Mark.QUOTE, r"(?m)^\s*(>|&gt;).*$", " "),
    (Mark.LINK, r"!?\[([^\]]*)\]\([^)]*\)", r"\1"),
    (Mark.ADDRESS, r"https?://\S+", " "),
    (Mark.ADDRESS, r"www\.\S+", " "),
    (Mark.AT, r"[\w.+-]+@[\w-]+\.[\w.]+", " "),
    (
        Mark.SPELLED_AT,
        r"(?i)[\w.+-]+\s*[\[({]\s*at\s*[\])}]\s*[\w-]+(\s*[\[({]\s*dot\s*[\])}]\s*|\.)\w+",
        " ",
    ),
    (Mark.NAME, r"(^|[^\w/])/?u/[\w-]+", r"\1 "),
    (Mark.AT, r"@\w{2,}", " "),
    (Mark.LONG_NUMBER, r"\+?\(?\d{2,4}\)?[ .-]?\d{3}[ .-]?\d{3,4}|\d{7,}", " "),
    (Mark.HOUSE, _STREET, " "),
    (Mark.ENTITY, r"&gt;|&lt;|&nbsp;|&#x200b;", " "),
    (Mark.MARKUP, r"[*_`~#|^\\]+", " "),
)
# Runs and line ends only: replacing every single space would cost more than all the rest. Every other
# step may leave a run behind.
_SPACES: Final = r"\s{2,}|[\t\n\r\f]"
MARKS: Final = "zipp_find_marks"


def quoted(text: str) -> str:
    """A SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def read_files(files: Sequence[str]) -> str:
    """A table function over Parquet files."""
    return "read_parquet([" + ", ".join(quoted(file) for file in files) + "])"


def word_macros() -> str:
    """`zipp_words(text)`: the distinct words of a lower-case text; `zipp_f1` of two such lists."""
    return """
    create or replace temp macro zipp_words(t) as list_distinct(regexp_extract_all(t, '\\w+'));
    create or replace temp macro zipp_f1(a, b) as
        2.0 * len(list_intersect(a, b)) / nullif(len(a) + len(b), 0);
    """


def excluded_communities(subreddits: Sequence[str], settings: SnippetSettings) -> str:
    """Communities that are no evidence: sensitive, over-18, and people's own pages."""
    reasons = ["subreddit ilike 'u\\_%' escape '\\'"]
    if not settings.include_sensitive:
        reasons.append("coalesce(sensitive, false)")
    if not settings.include_over_18:
        reasons.append(f"coalesce(over_18_share, 0) > {settings.over_18_max_share}")
    return (
        "create or replace temp table zipp_excluded as select distinct subreddit "
        f"from {read_files(subreddits)} where {' or '.join(reasons)}"
    )


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
        f"from {read_files(files)}"
    )


def sources(comments: Sequence[str], submissions: Sequence[str], only_users: bool = False) -> str:
    """Comments and text posts as one view; nothing is read before a user range asks.

    With `only_users`, those of the users in zipp_only.
    """
    chosen = "and user_id in (select user_id from zipp_only)" if only_users else ""
    posts = (
        f"""
        union all by name
        select id, user_id, subreddit, null::varchar as link_id, score, created_at, title,
            title || case when coalesce(selftext, '') in ('', '[removed]', '[deleted]') then ''
                else '. ' || left(selftext, {_READ_CHARS}) end as body
        from {read_files(submissions)} where not is_image and not coalesce(over_18, false)
          and subreddit not in (select subreddit from zipp_excluded) {chosen}"""
        if submissions
        else ""
    )
    return f"""
    create or replace temp view zipp_sources as
        select id, user_id, subreddit, link_id, score, created_at, null::varchar as title,
            left(body, {_READ_CHARS}) as body
        from {read_files(comments)} where body not in ('[removed]', '[deleted]')
          and subreddit not in (select subreddit from zipp_excluded) {chosen}
        {posts}
    """


def _clean(source: str) -> str:
    """A query that adds `clean` to the columns of a source; one step of _CLEANING a subquery."""
    query = f"select *, body as clean, {MARKS}(body) as marks from {source}"
    for mark, pattern, replacement in _CLEANING:
        query = _replaced(query, f"marks & {int(mark)} > 0", pattern, replacement)
    query = _replaced(query, f"marks & {_ANY_CLEANED | Mark.SPACES:d} > 0", _SPACES, " ")
    return f"select * exclude (body, marks) replace (trim(clean) as clean) from ({query})"


def _replaced(query: str, needed: str, pattern: str, replacement: str) -> str:
    replaced = f"regexp_replace(clean, {quoted(pattern)}, {quoted(replacement)}, 'g')"
    return f"select * replace (case when {needed} then {replaced} else clean end as clean) from ({query})"


_ANY_CLEANED: Final = reduce(or_, (mark for mark, _, _ in _CLEANING))


def partition_sources(folder: str, bits: int) -> str:
    """All rows of zipp_sources to Parquet files under `folder`, one folder a user range."""
    return f"""
    copy (
        select (user_id >> {64 - bits})::integer as user_range, * from zipp_sources
    ) to {quoted(folder)} (format parquet, compression snappy, partition_by (user_range))
    """


def read_range(folder: str, user_range: int) -> str:
    """`zipp_sources` narrowed to a user range that `partition_sources` wrote."""
    return f"""
    create or replace temp view zipp_range as
        select * from read_parquet({quoted(f"{folder}/user_range={user_range}/*.parquet")},
            hive_partitioning = false)
    """


def usable(settings: SnippetSettings) -> str:
    """Cleaned texts in zipp_range that could be snippets, as table zipp_usable.

    A table, not a subquery: its rowid is the key of a text, and counting rows in a query would be
    the work of one thread, with all that comes before.
    """
    most = settings.max_snippet_chars
    return f"""
    create or replace temp table zipp_usable as
    with mine as (
        select * from zipp_range
        where id not in (select post_id from zipp_holdout)
          -- What is said under a held-out post is about the target.
          and coalesce(link_id, '') not in (select 't3_' || post_id from zipp_holdout)
    ),
    honest as (
        select * from mine where not regexp_matches(lower(body), {quoted(ADDRESSES_A_MODEL)})
    ),
    cleaned as (
        {_clean("honest")}
    ),
    cut as (
        -- Bytes are counted faster than characters, and are never fewer.
        select * exclude (clean), case when strlen(clean) <= {most} or length(clean) <= {most}
            then clean else regexp_replace(left(clean, {most}), '\\s+\\S*$', '') end as text
        from cleaned
    ),
    counted as (
        select *, strlen(text) - strlen(replace(text, ' ', '')) + 1 as word_count from cut
    )
    select *, lower(text) as low_text from counted
    where word_count >= {settings.min_snippet_words}
    """


def snippets(settings: SnippetSettings) -> str:
    """The snippets chosen from zipp_usable, as table zipp_snippets.

    A snippet's quality is the mean of four parts in 0..1: length, score, recency and novelty; a
    snippet in the first person counts a quarter more, because it speaks of its author.
    """
    half_life = settings.recency_half_life_days
    return f"""
    create or replace temp table zipp_snippets as
    with
    -- Sorting and counting is done on narrow rows; the texts join the chosen ones at the end.
    narrow as (
        select u.rowid as row_key, id, user_id, subreddit, score, created_at, word_count,
            hash(low_text) as text_hash,
            hash(regexp_extract(left(low_text, 120), '^(?:[^ ]* ){{0,3}}[^ ]*')) as opening,
            regexp_matches(low_text, '\\b(i|i''m|i''ve|i''d|my|me|mine|we|our)\\b') as first_person,
            user_id in (select user_id from zipp_holdout) and exists (
                -- Token F1 with a held-out title, by sets of words: high on short snippets only.
                select 1 from zipp_holdout h where h.user_id = u.user_id
                  and ((u.word_count <= 3 * len(h.title_words) + 3
                        and zipp_f1(h.title_words, zipp_words(u.low_text)) >= {_NEAR_TITLE})
                    or (u.title is not null
                        and zipp_f1(h.title_words, zipp_words(lower(u.title))) >= {_NEAR_TITLE}))
            ) as near_held_out
        from zipp_usable u
    ),
    distinct_text as (
        -- A person who repeats a text says nothing new.
        select * from narrow
        qualify row_number() over (
            partition by user_id, text_hash order by created_at desc, id) = 1
        -- A post can be in the dumps of two months.
        and row_number() over (partition by user_id, id order by created_at desc, text_hash) = 1
    ),
    active as (
        select *, count(*) over person as usable_snippets,
            max(created_at) over person as newest
        from distinct_text window person as (partition by user_id)
        qualify usable_snippets >= {settings.min_comments}
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
                partition by user_id, opening order by created_at desc, id) as by_novelty
        from active where not near_held_out
    ),
    ranked as (
        select *, case when first_person then 1.25 else 1.0 end
                * (by_length + by_score + by_recency + by_novelty) / 4 as quality,
            row_number() over (
                partition by user_id, subreddit order by quality desc, id) as snippet_rank
        from parts
        qualify snippet_rank <= {settings.candidates_per_community}
    )
    select r.user_id::ubigint as user_id, r.subreddit, r.snippet_rank::integer as snippet_rank,
        r.id as snippet_id, u.text, zipp_tokens(u.text) as tokens, by_length::float as by_length,
        by_score::float as by_score, by_recency::float as by_recency,
        by_novelty::float as by_novelty, first_person
    from ranked r join zipp_usable u on u.rowid = r.row_key
    """


def copy_snippets(path: str) -> str:
    """Writes zipp_snippets in its final order."""
    return f"""
    copy (select * from zipp_snippets order by user_id, subreddit, snippet_rank)
    to {quoted(path)} (format parquet, compression zstd)
    """


def range_totals() -> str:
    """People in zipp_range, those of them in zipp_snippets, snippets, tokens."""
    return """
    select (select count(distinct user_id) from zipp_range),
        count(distinct user_id), count(*), coalesce(sum(tokens), 0)::bigint
    from zipp_snippets
    """
