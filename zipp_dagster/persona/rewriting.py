"""Prompts rewritten as a person would: the rewritten_prompts table, and one prompt at a time.

Four methods share one rewriter: `no_persona` (asked to improve the prompt, knows nobody),
`zipp_0shot` (own persona), `zipp_3shot` (own persona and own past prompts) and `mismatched`
(somebody else's persona). The checks are the same for all: subject kept, length, no leak.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import pyarrow as pa

from zipp_dagster.persona import guards
from zipp_dagster.persona.config import Method, PersonaSettings
from zipp_dagster.persona.contexts import context_of_prompt
from zipp_dagster.persona.injection import addresses_a_model, defuse
from zipp_dagster.persona.language_models import Conversation, LanguageModel, Message, parse_json
from zipp_dagster.persona.lexical_rewriting import RewriteTask, style_for
from zipp_dagster.persona.lexicon import singular, words
from zipp_dagster.persona.prompts import REFERENCE_F1, content_words, token_f1
from zipp_dagster.persona.schema import PROMPT_SCHEMA, Persona
from zipp_dagster.persona.templates import load_template
from zipp_dagster.progress import Progress, silent

METHODS: Final[tuple[Method, ...]] = ("no_persona", "zipp_0shot", "zipp_3shot", "mismatched")
IMPROVE_TEMPLATE: Final = "improve-v1"
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
class PastPrompt:
    """A prompt that a person wrote before: a visible image post's title."""

    post_id: str
    title: str
    created_at: datetime


@dataclass(frozen=True)
class RewriteReport:
    """Rows a method, flags raised, and cases that a method could not do and why."""

    rows: int
    by_method: Mapping[str, int]
    flags: Mapping[str, int]
    skipped: Mapping[str, int]
    language_model: str


@dataclass(frozen=True)
class _Job:
    case_id: str
    method: str
    base: str
    persona_id: str | None
    persona: Persona | None
    shots: tuple[str, ...]
    flags: tuple[str, ...]


def rewrite_cases(
    cases: pa.Table,
    personas: Mapping[int, tuple[str, Persona]],
    history: pa.Table,
    model: LanguageModel,
    settings: PersonaSettings,
    methods: Sequence[Method] = METHODS,
    count_tokens: TokenCount | None = None,
    progress: Progress = silent,
) -> tuple[pa.Table, RewriteReport]:
    """The rewritten_prompts table for benchmark cases, ordered by case and method.

    `cases` is the benchmark_prompts table, `personas` what `read_personas` gives, `history` the
    image_posts (user_id, post_id, title, created_at) that may be shown. `count_tokens` is the text
    encoder's; without it words and marks are counted. Raises ValueError if a target is in the
    history.
    """
    unknown = set(methods) - set(METHODS)
    if unknown:
        raise ValueError(f"unknown rewriting methods {sorted(unknown)}: use {', '.join(METHODS)}")
    past = _past_prompts(history)
    jobs: list[_Job] = []
    skipped: Counter[str] = Counter()
    for case in cases.to_pylist():
        for method in methods:
            job = _job(case, method, personas, past, settings)
            if isinstance(job, str):
                skipped[f"{method}: {job}"] += 1
            else:
                jobs.append(job)
    rows: list[dict[str, Any]] = []
    for start in range(0, len(jobs), settings.batch_users):
        rows += _rewrite_batch(
            jobs[start : start + settings.batch_users], model, settings, count_tokens
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
) -> tuple[str, tuple[str, ...]]:
    """One prompt rewritten for a persona (None: improved for nobody), and the flags raised."""
    job = _Job("", "single", prompt, None, persona, tuple(shots), ())
    row = _rewrite_batch([job], model, settings, count_tokens)[0]
    return row["prompt"], tuple(row["flags"].split())


def nearest_prompts(
    base: str, reference: str, past: Sequence[PastPrompt], count: int
) -> tuple[tuple[str, ...], int]:
    """The past prompts most like a base prompt, and how many were left out as too like the target.

    Likeness is the Jaccard overlap of content words; ties go to the same context, then to the
    newer. Near copies of the target (token F1 of 0.8 or more) and of each other are left out.
    """
    wanted, context = set(content_words(base)), context_of_prompt(base)
    honest = [p for p in past if not addresses_a_model(p.title)]
    safe = [p for p in honest if token_f1(p.title, reference) < REFERENCE_F1]

    def likeness(prompt: PastPrompt) -> tuple[float, bool, datetime, str]:
        found = set(content_words(prompt.title))
        overlap = len(wanted & found) / len(wanted | found) if wanted | found else 0.0
        return (
            overlap,
            context_of_prompt(prompt.title) == context,
            prompt.created_at,
            prompt.post_id,
        )

    chosen: list[str] = []
    for prompt in sorted(safe, key=likeness, reverse=True):
        if len(chosen) == count:
            break
        if all(token_f1(prompt.title, other) < REFERENCE_F1 for other in chosen):
            chosen.append(prompt.title)
    return tuple(chosen), len(honest) - len(safe)


def keeps_subject(base: str, prompt: str) -> bool:
    """Whether every content word of the base prompt is in the prompt, singular or plural."""
    return set(content_words(base)) <= {singular(word) for word in words(prompt)}


def _job(
    case: Mapping[str, Any],
    method: Method,
    personas: Mapping[int, tuple[str, Persona]],
    past: Mapping[int, list[PastPrompt]],
    settings: PersonaSettings,
) -> _Job | str:
    case_id, base, user = case["case_id"], case["base_prompt"], case["user_id"]
    if method == "no_persona":
        return _Job(case_id, method, base, None, None, (), ())
    whose = case["mismatched_user_id"] if method == "mismatched" else user
    if whose is None or whose not in personas:
        return "no other persona" if method == "mismatched" else "no persona"
    persona_id, persona = personas[whose]
    if method != "zipp_3shot":
        return _Job(case_id, method, base, persona_id, persona, (), ())
    mine = past.get(user, [])
    if any(p.post_id == case_id for p in mine):
        raise ValueError(
            f"case {case_id}: its target is among the past prompts; rebuild image_posts from the "
            "hold-out"
        )
    shots, left_out = nearest_prompts(base, case["reference_prompt"], mine, settings.shots)
    flags = (("near_target_left_out",) if left_out else ()) + (() if shots else ("no_history",))
    return _Job(case_id, method, base, persona_id, persona, shots, flags)


def _rewrite_batch(
    jobs: Sequence[_Job],
    model: LanguageModel,
    settings: PersonaSettings,
    count_tokens: TokenCount | None,
) -> list[dict[str, Any]]:
    conversations = [_conversation(job, settings) for job in jobs]
    prompts = [_clean(answer) for answer in model.generate(conversations, PROMPT_SCHEMA)]
    flags = [list(job.flags) for job in jobs]
    lost = [i for i, job in enumerate(jobs) if not keeps_subject(job.base, prompts[i])]
    if lost:
        again = [(*conversations[i], *_reminder(jobs[i], prompts[i])) for i in lost]
        for i, answer in zip(lost, model.generate(again, PROMPT_SCHEMA), strict=True):
            prompts[i] = _clean(answer)
            flags[i].append("retried")
    rows = []
    for job, prompt, raised in zip(jobs, prompts, flags, strict=True):
        if not keeps_subject(job.base, prompt):
            prompt = job.base
            raised.append("subject_lost")
        elif guards.identities_in(prompt) and not guards.identities_in(job.base):
            # A rewriter that was fed somebody's address, or made one up.
            prompt = job.base
            raised.append("unsafe")
        fitted = fit(prompt, job.base, settings.token_limit, count_tokens or _count_words)
        if fitted != prompt:
            raised.append("shortened")
        if job.persona is not None and not style_for(_task(job, settings)):
            raised.append("no_known_taste")
        rows.append(
            {
                "case_id": job.case_id,
                "method": job.method,
                "prompt": fitted,
                "persona_id": job.persona_id,
                "language_model": model.name,
                "shots": len(job.shots),
                "flags": " ".join(raised),
            }
        )
    return rows


def _conversation(job: _Job, settings: PersonaSettings) -> Conversation:
    template = load_template(IMPROVE_TEMPLATE if job.persona is None else settings.rewrite_template)
    values = {
        "prompt": defuse(job.base),
        "phrases": str(settings.style_phrases),
        # English words are about three quarters of a token's count.
        "words": str(int(settings.token_limit * 0.75)),
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


def _task(job: _Job, settings: PersonaSettings) -> RewriteTask:
    return RewriteTask(job.base, job.persona, job.shots, settings.style_phrases)


def _reminder(job: _Job, prompt: str) -> tuple[Message, Message]:
    missing = [
        w for w in words(job.base) if singular(w) not in {singular(x) for x in words(prompt)}
    ]
    return (
        Message("assistant", prompt),
        Message(
            "user",
            f"The subject changed. Keep these words: {', '.join(missing)}. "
            f"Rewrite once more: {job.base}",
        ),
    )


def _clean(answer: str) -> str:
    """The prompt in an answer: the JSON field, or the first line without a label and quotes."""
    try:
        text = str(parse_json(answer).get("prompt", ""))
    except ValueError:
        lines = [line.strip() for line in answer.splitlines() if line.strip()]
        text = lines[0] if lines else ""
        head, _, tail = text.partition(":")
        if tail and head.lower().strip(" *") in ("prompt", "rewritten prompt", "new prompt"):
            text = tail
    return " ".join(text.strip(" \"'`*").lower().split())


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
    return shorter if keeps_subject(base, shorter) and count_tokens(shorter) <= limit else base


def _count_words(text: str) -> int:
    return len(words(text)) + text.count(",")


def _past_prompts(history: pa.Table) -> dict[int, list[PastPrompt]]:
    past: dict[int, list[PastPrompt]] = {}
    columns = (history.column(c).to_pylist() for c in ("user_id", "post_id", "title", "created_at"))
    for user, post_id, title, created_at in zip(*columns, strict=True):
        if title and words(title):
            past.setdefault(user, []).append(PastPrompt(post_id, title, created_at))
    return past
