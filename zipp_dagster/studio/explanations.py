"""Why a phrase is in the personalised prompt: the sentence, intake line or evidence behind it.

The reason is found in what the visitor sees, never asked of a model: for a written persona its
sentences, for a mined one the evidence that its tastes cite.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from zipp_dagster.persona.aesthetics import find_styles
from zipp_dagster.persona.lexicon import tokenize
from zipp_dagster.persona.prompts import content_words
from zipp_dagster.studio.intake import Line

WHOLE = "persona as a whole"


@dataclass(frozen=True)
class Reason:
    """One added phrase: `source` names the kind of reason, `because` shows it."""

    phrase: str
    source: str
    because: str


def added_phrases(prompt: str, rewritten: str) -> list[str]:
    """The comma-separated parts of a rewritten prompt that the visitor did not write."""
    wrote = set(content_words(prompt))
    parts = [part.strip() for part in rewritten.split(",")]
    return [part for part in parts if part and not set(content_words(part)) <= wrote]


def reasons_of_text(
    prompt: str, rewritten: str, sentences: Sequence[str], lines: Sequence[Line] = ()
) -> list[dict[str, str]]:
    """Reasons in a persona text; `lines` says which sentences come from which intake line."""
    sources = {line.sentence: line.source for line in lines}
    reasons = []
    for phrase in added_phrases(prompt, rewritten):
        sentence = _saying(phrase, sentences)
        if sentence is None:
            reasons.append(Reason(phrase, WHOLE, ""))
        else:
            reasons.append(Reason(phrase, sources.get(sentence, "Your own words"), sentence))
    return [asdict(reason) for reason in reasons]


def reasons_of_persona(
    prompt: str, rewritten: str, persona: Mapping[str, Any], evidence: Mapping[str, str]
) -> list[dict[str, str]]:
    """Reasons in a mined persona: the evidence of the taste that the phrase stands for.

    `evidence` maps the ids that tastes cite to their texts; an id without one is shown by itself.
    """
    reasons = []
    for phrase in added_phrases(prompt, rewritten):
        meant = _styles(phrase) or {phrase}
        cited = [
            entry
            for taste in persona["preferences"]
            if taste["phrase"] in meant and taste["polarity"] == "like"
            for entry in taste["evidence"]
        ]
        texts = list(dict.fromkeys(evidence.get(entry, entry) for entry in cited))[:3]
        source = "Evidence" if texts else WHOLE
        reasons.append(Reason(phrase, source, " · ".join(texts)))
    return [asdict(reason) for reason in reasons]


def _saying(phrase: str, sentences: Sequence[str]) -> str | None:
    """The first sentence that holds the phrase's style, or else most of its words."""
    meant, words = _styles(phrase), set(content_words(phrase))
    for sentence in sentences:
        if meant and meant & _styles(sentence):
            return sentence
    shared = {s: len(words & set(content_words(s))) for s in sentences}
    best = max(sentences, key=lambda s: shared[s], default=None)
    return best if best is not None and shared[best] else None


def _styles(text: str) -> set[str]:
    return {hit.value.phrase for hit in find_styles(tokenize(text))}
