"""Prompts rewritten as a person would: the rewritten_prompts table, and one prompt at a time.

All methods share one rewriter and one set of checks: subject kept, length, no leak. What a method
shows to the rewriter is in `rewrite_jobs.py`:

- `no_persona`: asked to improve the prompt, knows nobody;
- `zipp_0shot`, `zipp_1shot`, `zipp_3shot`, `zipp_5shot`: own persona and that many own past prompts;
- `mismatched`: somebody else's persona; `shuffled`: the own one, tastes exchanged between contexts;
- `tailored_visions`, `tailored_visions_bm25`: three own past prompts and no persona;
- `static_taste`: one taste for all prompts, appended without a model.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

import pyarrow as pa

from zipp_dagster.persona import guards
from zipp_dagster.persona.config import Method, PersonaSettings
from zipp_dagster.persona.injection import defuse
from zipp_dagster.persona.language_models import (
    Answer,
    Conversation,
    LanguageModel,
    Message,
    NoAnswer,
    parse_json,
)
from zipp_dagster.persona.lexical_rewriting import RewriteTask, style_for
from zipp_dagster.persona.lexicon import words
from zipp_dagster.persona.retrieval import Embed, past_prompts
from zipp_dagster.persona.rewrite_jobs import Job, RewritePlanner
from zipp_dagster.persona.schema import PROMPT_SCHEMA, Persona
from zipp_dagster.persona.subject import lost_words, subject_similarity
from zipp_dagster.persona.templates import load_template
from zipp_dagster.progress import Progress, silent

METHODS: Final[tuple[Method, ...]] = get_args(Method)
IMPROVE_TEMPLATE: Final = "improve-v1"
HISTORY_TEMPLATE: Final = "history-v1"
# Tailored Visions asks for at most 70 words.
_MOST_WORDS: Final = 70
TokenCount = Callable[[str], int]

REWRITTEN_SCHEMA: Final = pa.schema(
    [
        ("case_id", pa.string()),
        ("method", pa.string()),
        ("prompt", pa.string()),
        ("persona_id", pa.string()),
        ("language_model", pa.string()),
        ("shots", pa.int32()),
        ("flags", pa.string()),
    ]
)


@dataclass(frozen=True)
class RewriteReport:
    """Rows a method, flags raised, and cases that a method could not do and why."""

    rows: int
    by_method: Mapping[str, int]
    flags: Mapping[str, int]
    skipped: Mapping[str, int]
    language_model: str


def rewrite_cases(
    cases: pa.Table,
    personas: Mapping[int, tuple[str, Persona]],
    history: pa.Table,
    model: LanguageModel,
    settings: PersonaSettings,
    methods: Sequence[Method] = METHODS,
    count_tokens: TokenCount | None = None,
    progress: Progress = silent,
    embed: Embed | None = None,
) -> tuple[pa.Table, RewriteReport]:
    """The rewritten_prompts table for benchmark cases, ordered by case and method.

    `cases` is the benchmark_prompts table, `personas` what `read_personas` gives, `history` the
    image_posts (user_id, post_id, title, created_at) that may be shown. `count_tokens` is the text
    encoder's; without it words and marks are counted. `embed` ranks past prompts for
    tailored_visions and checks subjects; without it words alone do. Raises ValueError if a target
    is in the history, and for tailored_visions without `embed`.
    """
    unknown = set(methods) - set(METHODS)
    if unknown:
        raise ValueError(f"unknown rewriting methods {sorted(unknown)}: use {', '.join(METHODS)}")
    planner = RewritePlanner(personas, past_prompts(history), settings, embed)
    jobs: list[Job] = []
    skipped: Counter[str] = Counter()
    for case in cases.to_pylist():
        for method in methods:
            job = planner.job(case, method)
            if isinstance(job, str):
                skipped[f"{method}: {job}"] += 1
            else:
                jobs.append(job)
    rows: list[dict[str, Any]] = []
    for start in range(0, len(jobs), settings.batch_users):
        rows += _rewrite_batch(
            jobs[start : start + settings.batch_users], model, settings, count_tokens, embed
        )
        progress(len(rows), len(jobs), "rewritten prompts")
    flags = Counter(flag for row in rows for flag in row["flags"].split() if flag)
    report = RewriteReport(
        rows=len(rows),
        by_method=dict(Counter(row["method"] for row in rows)),
        flags=dict(sorted(flags.items())),
        skipped=dict(sorted(skipped.items())),
        language_model=model.name,
    )
    return pa.Table.from_pylist(rows, schema=REWRITTEN_SCHEMA), report


def rewrite_prompt(
    prompt: str,
    persona: Persona | None,
    model: LanguageModel,
    settings: PersonaSettings,
    shots: Sequence[str] = (),
    count_tokens: TokenCount | None = None,
    embed: Embed | None = None,
) -> tuple[str, tuple[str, ...]]:
    """One prompt rewritten for a persona (None: improved for nobody), and the flags raised."""
    job = Job("", "single", prompt, persona=persona, shots=tuple(shots))
    row = _rewrite_batch([job], model, settings, count_tokens, embed)[0]
    return row["prompt"], tuple(row["flags"].split())


def _rewrite_batch(
    jobs: Sequence[Job],
    model: LanguageModel,
    settings: PersonaSettings,
    count_tokens: TokenCount | None,
    embed: Embed | None,
) -> list[dict[str, Any]]:
    prompts = [job.written or "" for job in jobs]
    asked = [i for i, job in enumerate(jobs) if job.written is None]
    conversations = {i: _conversation(jobs[i], settings) for i in asked}
    flags = [list(job.flags) for job in jobs]

    def take(places: Iterable[int], answers: Sequence[Answer]) -> list[int]:
        """Keeps the prompts of answers; the places of those that are answers."""
        answered = []
        for i, answer in zip(places, answers, strict=True):
            if isinstance(answer, NoAnswer):
                prompts[i] = jobs[i].base
                flags[i].append("unanswered")
            else:
                prompts[i] = _clean(answer)
                answered.append(i)
        return answered

    answers = model.generate(list(conversations.values()), PROMPT_SCHEMA) if asked else []
    lost = _lost_subjects(jobs, prompts, take(asked, answers), settings, embed)
    if lost:
        again = [(*conversations[i], *_reminder(jobs[i], prompts[i])) for i in lost]
        for i in lost:
            flags[i].append("retried")
        answered = take(lost, model.generate(again, PROMPT_SCHEMA))
        lost = _lost_subjects(jobs, prompts, answered, settings, embed)
    rows = []
    for i, (job, prompt, raised) in enumerate(zip(jobs, prompts, flags, strict=True)):
        if i in lost:
            prompt = job.base
            raised += ["subject_lost", *(["unlike"] if lost[i] == "unlike" else [])]
        elif guards.identities_in(prompt) and not guards.identities_in(job.base):
            # A rewriter that was fed somebody's address, or made one up.
            prompt = job.base
            raised.append("unsafe")
        fitted = fit(prompt, job.base, settings.token_limit, count_tokens or _count_words)
        if fitted != prompt:
            raised.append("shortened")
        if job.persona is not None and not job.written and not style_for(_task(job, settings)):
            raised.append("no_known_taste")
        rows.append(
            {
                "case_id": job.case_id,
                "method": job.method,
                "prompt": fitted,
                "persona_id": job.persona_id,
                "language_model": "none" if job.written else model.name,
                "shots": len(job.shots),
                "flags": " ".join(raised),
            }
        )
    return rows


def _lost_subjects(
    jobs: Sequence[Job],
    prompts: Sequence[str],
    places: Iterable[int],
    settings: PersonaSettings,
    embed: Embed | None,
) -> dict[int, str]:
    """Places of prompts that lost their subject: by a missing word ("words"), else as "unlike"."""
    lost: dict[int, str] = {}
    said = []
    for i in places:
        if lost_words(jobs[i].base, prompts[i]):
            lost[i] = "words"
        else:
            said.append(i)
    if embed is not None and said and settings.subject_similarity > 0:
        cosines = subject_similarity(
            [jobs[i].base for i in said], [prompts[i] for i in said], embed
        )
        lost |= {
            i: "unlike"
            for i, cosine in zip(said, cosines, strict=True)
            if cosine < settings.subject_similarity
        }
    return dict(sorted(lost.items()))


def _conversation(job: Job, settings: PersonaSettings) -> Conversation:
    if job.persona is not None:
        name = settings.rewrite_template
    else:
        name = HISTORY_TEMPLATE if job.shots else IMPROVE_TEMPLATE
    template = load_template(name)
    values = {
        "prompt": defuse(job.base),
        "phrases": str(settings.style_phrases),
        # English words are about three quarters of a token's count.
        "words": str(min(int(settings.token_limit * 0.75), _MOST_WORDS)),
    }
    system = template.render(
        "system", values | ({"persona": describe(job.persona)} if job.persona else {})
    )
    turns = [Message("system", system)]
    ask = template.render("user", values)
    if job.shots:
        # As JSON: whatever a past prompt says stays a string.
        listed = "\n".join(json.dumps(defuse(shot), ensure_ascii=False) for shot in job.shots)
        ask = template.render("shots", {"shots": listed}) + "\n\n" + ask
    return (*turns, Message("user", ask, _task(job, settings)))


def describe(persona: Persona) -> str:
    """The persona as the rewriter reads it: the summary, and tastes line by line."""
    lines = [persona.summary]
    if persona.preferences:
        lines.append("Your tastes:")
        lines += [
            f"- {p.context}: {p.polarity} {p.phrase} ({p.facet})" for p in persona.preferences
        ]
    return "\n".join(lines)


def _task(job: Job, settings: PersonaSettings) -> RewriteTask:
    return RewriteTask(job.base, job.persona, job.shots, settings.style_phrases)


def _reminder(job: Job, prompt: str) -> tuple[Message, Message]:
    missing = lost_words(job.base, prompt)
    keep = (
        f"Keep these words: {', '.join(missing)}."
        if missing
        else "Add nothing that the prompt does not show."
    )
    return (
        # Some endpoints refuse an empty turn.
        Message("assistant", prompt or "{}"),
        Message("user", f"The subject changed. {keep} Rewrite once more: {defuse(job.base)}"),
    )


# The value of "prompt" up to the quote that ends it: whatever quotes stand inside.
_FIELD = re.compile(
    r'"prompt"\s*:\s*"(?P<value>.*?)"\s*(?:\}\s*(?:```)?\s*$|,\s*"\w+"\s*:)', re.DOTALL
)
_BARE_QUOTE = re.compile(r'(?<!\\)"')
_KEY = re.compile(r'"prompt"\s*:')
_JSON_BEGINS = ("{", "[", "```")


def _clean(answer: str) -> str:
    """The prompt in an answer: the JSON field, or the first line without a label and quotes.

    Empty where the answer is JSON without a whole prompt: nothing of its form may be drawn.
    """
    try:
        text = parse_json(answer).get("prompt", "")
        text = text if isinstance(text, str) else ""
    except ValueError:
        text = _from_broken_json(answer)
        head, _, tail = text.partition(":")
        if tail and head.lower().strip(" *") in ("prompt", "rewritten prompt", "new prompt"):
            text = tail
    return " ".join(text.strip(" \"'`*").lower().split())


def _from_broken_json(answer: str) -> str:
    """The field of JSON whose inner quotes are bare; of other words the first line; else nothing."""
    field = _FIELD.search(answer)
    if field:
        quoted = _BARE_QUOTE.sub(r'\\"', field["value"])
        try:
            value = json.loads(f'"{quoted}"', strict=False)
        except json.JSONDecodeError:
            return ""
        return str(value)
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    if not lines or lines[0].startswith(_JSON_BEGINS) or _KEY.search(answer):
        return ""
    return lines[0]


def fit(prompt: str, base: str, limit: int, count_tokens: TokenCount) -> str:
    """The prompt cut to the limit by dropping its last segments, never the base prompt's words.

    A base prompt that is itself over the limit is returned whole: the text encoder cuts it, and
    scoring counts that.
    """
    if count_tokens(prompt) <= limit:
        return prompt
    segments = prompt.split(", ")
    while len(segments) > 1 and count_tokens(", ".join(segments)) > limit:
        segments.pop()
    shorter = ", ".join(segments)
    return shorter if not lost_words(base, shorter) and count_tokens(shorter) <= limit else base


def _count_words(text: str) -> int:
    return len(words(text)) + text.count(",")
