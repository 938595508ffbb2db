from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.persona.tiny_models import picture, tiny_image_text_model, tiny_language_model
from zipp_dagster.persona.config import LanguageModelSettings, PersonaSettings
from zipp_dagster.persona.language_models import LanguageModelError, Message, load_language_model
from zipp_dagster.persona.personas import build_personas
from zipp_dagster.persona.rewriting import rewrite_prompt


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama-class model of a few thousand random weights, with a byte-level tokenizer."""
    return tiny_language_model(tmp_path_factory.mktemp("tiny-llm"))


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA-class model: a vision tower and a language model of random weights."""
    return tiny_image_text_model(tmp_path_factory.mktemp("tiny-llava"))


def load(checkpoint: Path, **changes: Any):
    values = {"kind": "transformers", "model": str(checkpoint), "batch_size": 2} | changes
    return load_language_model(LanguageModelSettings(**{"max_new_tokens": 8} | values))


def test_a_batch_answers_in_order_whatever_the_lengths(checkpoint: Path) -> None:
    model = load(checkpoint)
    asked = [[Message("user", "hello " * n)] for n in (9, 1, 5)]
    together = model.generate(asked)
    assert together == model.generate(asked)
    assert len(together) == 3 and model.usage.completion_tokens > 0
    assert model.name.startswith(f"transformers:{checkpoint.name}@")


def test_the_name_tells_other_weights_of_the_same_size(tmp_path: Path) -> None:
    folder = tiny_language_model(tmp_path / "llm")
    first = load(folder).name
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    assert load(folder).name != first


def test_a_prompt_longer_than_the_window_is_cut_and_answered(checkpoint: Path) -> None:
    assert len(load(checkpoint).generate([[Message("user", "word " * 2000)]])) == 1


def test_a_random_model_ends_in_quarantine_and_in_the_base_prompt(
    checkpoint: Path, evidence_file, tmp_path: Path
) -> None:
    model = load(checkpoint)
    file = evidence_file({1: ["I love watercolor foxes"]})
    report = build_personas([file], model, PersonaSettings(), tmp_path / "out")
    assert report.quarantined == 1 and list(report.reasons) == ["unparseable answer"]
    prompt, flags = rewrite_prompt("a fox", None, model, PersonaSettings())
    assert prompt == "a fox" and "subject_lost" in flags


def test_a_directory_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(LanguageModelError, match=str(tmp_path)):
        load(tmp_path)


SCHEMA = {
    "type": "object",
    "properties": {
        "palette": {"enum": ["neon colors", "muted colors"]},
        "strength": {"enum": [1, 2, 3]},
    },
    "required": ["palette", "strength"],
    "additionalProperties": False,
}


def test_even_random_weights_answer_with_json_that_fits_the_schema(checkpoint: Path) -> None:
    model = load(checkpoint, max_new_tokens=80)
    asked = [[Message("user", "what palette?" * n)] for n in (1, 3, 2)]
    for answer in model.generate(asked, SCHEMA):
        found = json.loads(answer)
        assert found["palette"] in ("neon colors", "muted colors") and found["strength"] in (
            1,
            2,
            3,
        )
    with pytest.raises(json.JSONDecodeError):
        json.loads(load(checkpoint, constrained=False).generate(asked, SCHEMA)[0])


def test_an_image_text_model_is_recognised_and_looks_at_the_pictures(seeing: Path) -> None:
    model = load(seeing)
    assert model.sees
    red, blue = picture((255, 0, 0)), picture((0, 0, 255))
    ask = "what does this person like to look at?"
    asked = [
        [Message("user", ask)],
        [Message("user", ask, images=(red,))],
        [Message("user", ask, images=(blue, red))],
        [Message("user", ask, images=(blue,))],
    ]
    answers = model.generate(asked)
    assert len(answers) == 4 and answers == model.generate(asked)
    assert answers[1] == model.generate([asked[1]])[0]
    assert len({answers[1], answers[3]}) == 2, "red and blue pictures say the same"


def test_a_text_model_is_given_no_pictures(checkpoint: Path) -> None:
    model = load(checkpoint)
    ask = Message("user", "hello")
    assert not model.sees
    assert model.generate([[ask]]) == model.generate([[replace(ask, images=(b"no image",))]])
