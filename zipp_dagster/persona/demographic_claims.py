"""What a person's self-descriptions add up to: the demographics of a persona.

What lives here: weighing statements. What does not: finding them in texts (`demographics`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from zipp_dagster.persona.demographics import Statement, country_facts
from zipp_dagster.persona.schema import Demographic, Demographics

# Confidence is 1 - prod(1 - worth) over the evidence; a claim below this one stays unknown.
MIN_CONFIDENCE: Final = 0.45
_MAX_EVIDENCE = 4


def summarise(said: Iterable[tuple[Statement, str]]) -> Demographics:
    """The demographics that (statement, evidence id) pairs support; all else is unknown."""
    worth: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for statement, evidence in said:
        known = worth[statement.field][statement.value]
        known[evidence] = max(known.get(evidence, 0.0), statement.worth)
    fields = {field: _resolve(values) for field, values in worth.items()}
    country = fields.get("country", Demographic())
    if country.known:
        facts = country_facts()[country.value]
        fields["region"] = country.model_copy(update={"value": facts["region"]})
        if not fields.get("language", Demographic()).known:
            # Most, by no means all, people of a country speak its main language.
            fields["language"] = Demographic(
                value=facts["language"],
                confidence=round(country.confidence * 0.7, 3),
                evidence=country.evidence,
            )
    return Demographics(**fields)


def _resolve(values: Mapping[str, Mapping[str, float]]) -> Demographic:
    support = {value: sum(by_evidence.values()) for value, by_evidence in values.items()}
    best = min(support, key=lambda value: (-support[value], value))
    doubt = 1.0
    for one in values[best].values():
        doubt *= 1.0 - one
    confidence = (1.0 - doubt) * support[best] / sum(support.values())
    if confidence < MIN_CONFIDENCE:
        return Demographic()
    ids = sorted(values[best], key=lambda e: (-values[best][e], e))[:_MAX_EVIDENCE]
    return Demographic(value=best, confidence=round(min(confidence, 0.99), 3), evidence=tuple(ids))
