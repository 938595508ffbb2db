"""One batch of people at a time: what a language model is asked, what it may answer, and the guards.

What lives here: the conversation, the answer's form, and the row that comes of it. What does not: the
table (`personas`), and loading a model where it works (`loading`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
from pydantic import ValidationError

from zipp_dagster.persona import guards
from zipp_dagster.persona.bundles import EvidenceBundle, bundles_of, community_id
from zipp_dagster.persona.canonical import canonical_persona
from zipp_dagster.persona.config import PersonaSettings
from zipp_dagster.persona.contexts import all_contexts
from zipp_dagster.persona.injection import defuse
from zipp_dagster.persona.language_models import (
    Answer,
    Conversation,
    LanguageModel,
    Message,
    NoAnswer,
    parse_json,
)
from zipp_dagster.persona.lexical_persona import PersonaTask
from zipp_dagster.persona.schema import (
    CLOSED_FIELDS,
    Persona,
    content_id,
    persona_schema,
    schema_text,
)
from zipp_dagster.persona.templates import PromptTemplate, load_template

PERSONAS_SCHEMA: Final = pa.schema(
    [
        ("user_id", pa.uint64()),
        ("persona_id", pa.string()),
        ("summary", pa.string()),
        ("profile", pa.string()),
        ("model", pa.string()),
        ("template", pa.string()),
        ("evidence_tokens", pa.int32()),
        ("quarantined", pa.string()),
    ]
)

UNPARSEABLE: Final = "unparseable answer"
UNANSWERED: Final = "no answer"

PicturesOf = Callable[[Sequence[int]], Mapping[int, Mapping[str, bytes]]]
"""Users to the encoded pictures that they posted, by the id that a claim cites."""


@dataclass(frozen=True)
class WrittenPersonas:
    """The rows of a batch of people, and what to add up over all batches."""

    rows: pa.Table
    model: str
    reasons: Counter[str]
    known: Counter[str]
    counts: Counter[str]
    usage: Counter[str]


@dataclass
class PersonaWriter:
    """A language model, the guards, and the pictures that a model that sees is shown."""

    model: LanguageModel
    settings: PersonaSettings
    extra_guards: Sequence[guards.TextGuard] = ()
    pictures: PicturesOf | None = None

    def __post_init__(self) -> None:
        self._template = load_template(self.settings.template)
        if not getattr(self.model, "sees", False):
            self.pictures = None

    def write(self, people: pa.RecordBatch) -> WrittenPersonas:
        """The personas of some people, from the rows of their evidence."""
        batch = list(bundles_of(people))
        before = Counter(self.model.usage.__dict__)
        reasons: Counter[str] = Counter()
        known: Counter[str] = Counter()
        counts: Counter[str] = Counter(users=len(batch))
        seen = self.pictures([bundle.user_id for bundle in batch]) if self.pictures else {}
        asked = [(bundle, seen.get(bundle.user_id, {})) for bundle in batch]
        drafts, counts["retried"] = _ask(asked, self.model, self._template)
        rows = []
        for (bundle, images), draft in zip(asked, drafts, strict=True):
            ids = bundle.ids() | images.keys()
            row, persona, why = _row(
                bundle, ids, draft, self.model, self._template, self.settings, self.extra_guards
            )
            rows.append(row)
            counts["pictures"] += len(images)
            counts["unparsed"] += isinstance(draft, str)
            counts["quarantined"] += bool(why)
            counts["tokens"] += bundle.tokens
            reasons.update(_kind(reason) for reason in why)
            if persona is not None and not why:
                counts["with_tastes"] += bool(persona.preferences)
                known.update(name for name, d in persona.demographics.items() if d.known)
        usage = Counter(self.model.usage.__dict__)
        usage.subtract(before)
        table = pa.Table.from_pylist(rows, schema=PERSONAS_SCHEMA)
        return WrittenPersonas(table, self.model.name, reasons, known, counts, usage)


def persona_conversation(
    bundle: EvidenceBundle,
    template: PromptTemplate | None,
    pictures: Mapping[str, bytes] | None = None,
) -> tuple[Message, ...]:
    """The messages that ask for one persona: rules, then evidence as JSON lines, never as prose.

    Without a template the task alone, for a model that reads no prose.
    """
    if template is None:
        return (Message("user", "", PersonaTask(bundle)),)
    lines = [
        json.dumps({"id": community_id(name), "community": name, "share": round(share, 3)})
        for name, share in bundle.communities
    ]
    lines += [
        json.dumps(
            {"id": s.id, "community": s.community, "text": defuse(s.text)}, ensure_ascii=False
        )
        for s in bundle.snippets
    ]
    lines += [
        json.dumps({"id": name, "picture": number, "posted_by": "the person"})
        for number, name in enumerate(pictures or (), 1)
    ]
    system = template.render(
        "system",
        {
            "contexts": ", ".join(all_contexts()),
            "schema": schema_text(),
            **{f"{name}s": ", ".join(values) for name, values in CLOSED_FIELDS.items()},
        },
    )
    user = template.render("user", {"evidence": "\n".join(lines)})
    images = tuple((pictures or {}).values())
    return (Message("system", system), Message("user", user, PersonaTask(bundle), images))


def parse_persona(answer: str) -> Persona:
    """The persona in a model's answer, its demographics in the words of population tables.

    Raises ValueError with a reason that quotes no text.
    """
    try:
        return canonical_persona(Persona.model_validate_json(answer))
    except ValidationError:
        pass  # more than one JSON object, or another object: the slower way says what
    try:
        return canonical_persona(Persona.model_validate(parse_json(answer)))
    except ValidationError as error:
        places = sorted({".".join(str(p) for p in e["loc"][:1]) for e in error.errors()})
        raise ValueError(f"does not fit the schema at {', '.join(places[:5])}") from error


def _ask(
    asked: Sequence[tuple[EvidenceBundle, Mapping[str, bytes]]],
    model: LanguageModel,
    template: PromptTemplate,
) -> tuple[list[Persona | str], int]:
    """A persona a bundle, or the reason why there is none; and how many were asked for twice."""
    rendered = template if getattr(model, "reads_prose", True) else None
    conversations = [persona_conversation(bundle, rendered, seen) for bundle, seen in asked]
    drafts = [_parsed(answer) for answer in model.generate(conversations, persona_schema())]
    # What the model would not answer, it was asked as often as may help.
    failed = [
        i for i, draft in enumerate(drafts) if isinstance(draft, str) and UNPARSEABLE in draft
    ]
    if failed:
        reminder = Message("user", "Answer with one valid JSON object by the schema, nothing else.")
        second: list[Conversation] = [(*conversations[i], reminder) for i in failed]
        for i, answer in zip(failed, model.generate(second, persona_schema()), strict=True):
            drafts[i] = _parsed(answer)
    return drafts, len(failed)


def _parsed(answer: Answer) -> Persona | str:
    if isinstance(answer, NoAnswer):
        return f"{UNANSWERED}: {answer.reason}"
    try:
        return parse_persona(answer)
    except ValueError as error:
        return f"{UNPARSEABLE}: {error}"


def _row(
    bundle: EvidenceBundle,
    ids: frozenset[str],
    draft: Persona | str,
    model: LanguageModel,
    template: PromptTemplate,
    settings: PersonaSettings,
    extra_guards: Sequence[guards.TextGuard],
) -> tuple[dict[str, Any], Persona | None, list[str]]:
    if isinstance(draft, str):
        persona, why = None, [draft]
    else:
        persona = draft
        texts = [snippet.text for snippet in bundle.snippets]
        why = guards.problems(persona, ids, texts, settings, extra_guards)
    profile = persona.to_json() if persona else "{}"
    row = {
        "user_id": bundle.user_id,
        "persona_id": content_id(profile) if persona else "",
        # What is quarantined may hold an identity: the reason stays, the text does not.
        "summary": persona.summary if persona and not why else "",
        "profile": profile if persona and not why else "{}",
        "model": model.name,
        "template": template.version,
        "evidence_tokens": bundle.tokens,
        "quarantined": "; ".join(why) or None,
    }
    return row, persona, why


def _kind(reason: str) -> str:
    """A reason without its numbers, for counting."""
    kind = reason.split(":")[0]
    return " ".join(word for word in kind.split() if not word.isdigit())
