"""A persona from a few words that somebody writes about themselves or about an invented person.

The word lists of the lexical model read evidence: what a person says in the first person. Here a
description ("a sailor who loves watercolor; avoids neon") is put that way, sentence by sentence.
"""

from __future__ import annotations

import re

from zipp_dagster.persona.bundles import EvidenceBundle, Snippet
from zipp_dagster.persona.config import PersonaSettings
from zipp_dagster.persona.language_models import LanguageModel, NoAnswer
from zipp_dagster.persona.schema import Persona, persona_schema
from zipp_dagster.persona.templates import load_template
from zipp_dagster.persona.writer import parse_persona, persona_conversation
from zipp_dagster.personal.entries import PersonaError, checked

NOTHING_RECOGNISED = "no_taste_recognised"
"""The flag of a text in which no like or dislike was found; its words stay the summary."""

_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+|\n+")
_FIRST_PERSON = re.compile(r"\b(?:i|i'm|i've|i'd|me|my|mine)\b", re.IGNORECASE)
_FEELING = (
    r"(?:(?:really|also|always|mostly|does not|doesn't|do not|don't|never) )*"
    r"(?:love|like|adore|enjoy|prefer|hate|dislike|detest|avoid)s?\b"
    r"|(?:is |are )?(?:really )?(?:into|fond of|drawn to|fan of|can't stand)\b"
)
# Who it is, then what they feel: "a sailor who", "she", "a nurse from Spain," before "loves …".
# Not "for landscapes, …": that says where the taste holds, and stays with it.
_DESCRIPTION = re.compile(
    rf"(?P<who>|he|she|they|(?!for |in |on |with |when |as ).*?(?:\bwho|\bthat|,))"
    rf"\s*\b(?P<taste>(?:{_FEELING}).*)",
    re.IGNORECASE | re.DOTALL,
)
_REFUSAL = re.compile(r"(?:no|not|never)\b", re.IGNORECASE)
_VERB = re.compile(r"\b(love|like|adore|enjoy|prefer|hate|dislike|detest|avoid)s\b", re.IGNORECASE)


def persona_of_text(
    text: str, model: LanguageModel, settings: PersonaSettings
) -> tuple[Persona, tuple[str, ...]]:
    """A persona whose summary is the text, and flags.

    With the lexical model its sentences are evidence for structured tastes. Other models read the
    summary itself. Raises PersonaError if the text is empty or a guard refuses it.
    """
    text = " ".join(text.split())
    if not text:
        raise PersonaError("the persona text is empty: describe what the person likes to look at")
    shortest = settings.summary_chars[0]
    summary = text if len(text) >= shortest else f"About me, in my own words: {text}"
    if settings.language_model.kind != "lexical":
        return checked({"summary": summary}, settings, "the persona text"), ()
    sentences = [s for part in _SENTENCE_END.split(text) for s in first_person(part)]
    snippets = tuple(Snippet(f"text:{i}", "", said) for i, said in enumerate(sentences, 1))
    bundle = EvidenceBundle(0, (), snippets, 0)
    conversation = persona_conversation(bundle, load_template(settings.template))
    (answer,) = model.generate([conversation], persona_schema())
    if isinstance(answer, NoAnswer):
        raise PersonaError(f"the persona text got no answer: {answer.reason}")
    found = parse_persona(answer)
    document = found.model_dump(mode="json") | {"summary": summary}
    persona = checked(document, settings, "the persona text")
    return persona, () if persona.preferences else (NOTHING_RECOGNISED,)


def first_person(sentence: str) -> list[str]:
    """A sentence of a description as the person would say it: who they are, what they like."""
    sentence = sentence.strip(" ;")
    described = _DESCRIPTION.fullmatch(sentence)
    if described:
        who, taste = described["who"].rstrip(" ,"), described["taste"]
        return [*_about(who), "I " + _VERB.sub(r"\1", taste)]
    if not sentence or _FIRST_PERSON.search(sentence) or _REFUSAL.match(sentence):
        return [sentence] if sentence else []
    return ["I like " + _VERB.sub(r"\1", sentence[0].lower() + sentence[1:])]


def _about(who: str) -> list[str]:
    if who.lower() in ("", "he", "she", "they", "who", "that"):
        return []
    return [f"I'm {who[0].lower()}{who[1:]}" if who.lower().startswith(("a ", "an ")) else who]
