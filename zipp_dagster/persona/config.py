"""Settings of evidence, personas and rewriting. No behaviour lives here."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, SecretStr

from zipp_dagster.section import Section

Ranking = Literal["attention", "dot", "tfidf", "count"]
Method = Literal[
    "no_persona",
    "zipp_0shot",
    "zipp_1shot",
    "zipp_3shot",
    "zipp_5shot",
    "mismatched",
    "shuffled",
    "tailored_visions",
    "tailored_visions_bm25",
    "static_taste",
]


class LanguageModelSettings(Section):
    """Which language model writes personas and rewrites prompts."""

    operational: ClassVar[frozenset[str]] = frozenset(
        {
            "api_key",
            "base_url",
            "timeout_s",
            "max_retries",
            "backoff_s",
            "concurrency",
            "batch_size",
            "device",
            "cache_dir",
            "price_in",
            "price_out",
        }
    )

    kind: Literal["lexical", "transformers", "http"] = Field(
        "lexical",
        description="lexical (deterministic, no weights), transformers (in process) or http "
        "(any OpenAI-compatible endpoint).",
    )
    model: str = Field("", description="Directory or hub id (transformers), model name (http).")
    revision: str | None = Field(None, description="Pinned hub revision (transformers).")
    tokenizer: str = Field(
        "",
        description="Directory or hub id of the tokenizer that counts evidence; empty: the model's own "
        "(transformers), or words and marks (lexical, http).",
    )
    base_url: str = Field("", description="Endpoint up to and including /v1 (http).")
    api_key: SecretStr = Field(SecretStr(""), description="Bearer token of the endpoint (http).")
    timeout_s: float = Field(60.0, gt=0, description="Seconds for one HTTP call.")
    max_retries: int = Field(5, ge=0, le=20, description="Retries on 429, 5xx and cut answers.")
    backoff_s: float = Field(1.0, ge=0, description="First wait before a retry; doubles each time.")
    concurrency: int = Field(8, ge=1, le=256, description="HTTP calls in flight.")
    batch_size: int = Field(8, ge=1, le=1024, description="Conversations a batch (transformers).")
    max_new_tokens: int = Field(1024, ge=8, description="Longest answer, in tokens.")
    temperature: float = Field(0.0, ge=0, le=2, description="0 is greedy and repeatable.")
    device: str = Field("cpu", description="Torch device (transformers).")
    cache_dir: str = Field(
        "",
        description="Folder of the answer cache (http): empty for language_model_cache/ under "
        "ZIPP_HOME, off for none. It may be deleted at any time.",
    )
    vision: bool = Field(False, description="The endpoint's model sees images (http).")
    price_in: float = Field(0.0, ge=0, description="Price of a million prompt tokens.")
    price_out: float = Field(0.0, ge=0, description="Price of a million answer tokens.")
    constrained: bool = Field(
        True,
        description="Let a model in process write only what fits the JSON schema (transformers).",
    )


class SnippetSettings(Section):
    """What people wrote, and which of it may ever become evidence."""

    operational: ClassVar[frozenset[str]] = frozenset({"rows_per_range"})

    min_comments: int = Field(
        5, ge=1, description="Activity floor: people with fewer usable snippets get no persona."
    )
    max_snippet_chars: int = Field(
        600, ge=40, le=10_000, description="A longer snippet is cut at a word."
    )
    min_snippet_words: int = Field(4, ge=1, description="Shorter snippets are no evidence.")
    candidates_per_community: int = Field(
        60, ge=1, le=1000, description="Best snippets of a community that are considered at all."
    )
    recency_half_life_days: float = Field(180.0, gt=0, description="Age at which recency halves.")
    over_18_max_share: float = Field(
        0.1, ge=0, le=1, description="Communities with a larger share of over-18 posts stay out."
    )
    include_sensitive: bool = Field(False, description="Let sensitive communities in.")
    include_over_18: bool = Field(False, description="Let over-18 communities in.")
    rows_per_range: int = Field(
        600_000,
        ge=1,
        description="Comments and posts handled at once (bounds memory).",
    )


class PersonaSettings(Section):
    """Evidence under a token budget, personas and rewritten prompts."""

    operational: ClassVar[frozenset[str]] = frozenset({"batch_users"})

    token_budget: int = Field(4096, ge=16, le=131_072, description="Evidence tokens for a person.")
    ranking: Ranking = Field("dot", description="Which ranking of communities shares the budget.")
    communities_only: bool = Field(False, description="Names without snippets (an ablation).")
    max_communities: int = Field(16, ge=1, le=64, description="Communities that share the budget.")
    language_model: LanguageModelSettings = Field(
        LanguageModelSettings(), description="The model that writes."
    )
    template: str = Field("persona-v2", description="Prompt template of persona building.")
    rewrite_template: str = Field("rewrite-v1", description="Prompt template of rewriting.")
    style_phrases: int = Field(4, ge=1, le=8, description="Style phrases that a rewrite may add.")
    subject_similarity: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Least cosine of the base prompt and its rewrite without style words, by the text "
        "encoder: below it a rewrite has lost its subject. 0 checks words alone.",
    )
    token_limit: int = Field(75, ge=8, description="Longest rewritten prompt, in encoder tokens.")
    summary_chars: tuple[int, int] = Field(
        (8, 2400), description="Shortest and longest summary of a persona, in characters."
    )
    min_latin_share: float = Field(
        0.8, ge=0, le=1, description="Share of Latin letters that a summary must have."
    )
    ablation_users: int = Field(
        200, ge=2, description="People of the ablation of rankings, budgets and snippets."
    )
    ablation_budgets: tuple[int, ...] = Field(
        (256, 1024, 4096), min_length=1, description="Token budgets of that ablation."
    )
    analyzer: str = Field(
        "",
        description='A finder of personal data that guards personas beside the rules, as "module:'
        "factory\" of an object like Presidio's AnalyzerEngine.",
    )
    images_per_user: int = Field(
        4,
        ge=0,
        le=64,
        description="Posted pictures that a model which sees is shown for a persona.",
    )
    batch_users: int = Field(256, ge=1, description="Personas asked for in one call to the model.")
    seed: int = Field(
        0, ge=0, description="Seed of the order in which mismatched personas are sought."
    )
