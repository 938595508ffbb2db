"""A prompt personalised and drawn."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.personal.people import (
    ANA,
    ANA_HEX,
    BEN,
    QUARANTINED,
    a_persona,
    a_platform,
    publish,
)
from zipp_dagster.persona.language_models import LanguageModelError
from zipp_dagster.persona.rewriter import FILE, RewriterError, write_rewriter
from zipp_dagster.persona.schema import Persona
from zipp_dagster.personal import PersonaError, Personalizer
from zipp_dagster.personal.free_text import NOTHING_RECOGNISED
from zipp_dagster.platform.versions import NotMaterialised


@pytest.fixture(scope="module")
def drawing(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A platform of three people with a generator and no champion."""
    import torch

    from zipp_dagster.imaging.models_path import packaged
    from zipp_dagster.imaging.stored_models import store_model

    torch.set_num_threads(1)
    platform = a_platform(tmp_path_factory.mktemp("home"))
    publish(
        platform.lake,
        "diffusion_model",
        lambda folder: store_model(packaged("generator"), None, folder, setting="s", packaged=True),
    )
    return platform


@pytest.fixture(scope="module")
def personalizer(drawing: Any) -> Personalizer:
    return Personalizer(drawing)


def test_a_prompt_becomes_a_generic_and_a_personal_image(
    personalizer: Personalizer, tmp_path: Path
):
    result = personalizer.personalize("a fox", user=ANA, seed=3, out_dir=tmp_path / "new")
    json.dumps(result)
    assert result["personalized"]["prompt"] == "a fox, watercolor painting"
    assert result["generic"]["prompt"].startswith("a fox, highly detailed")
    assert (result["user"], result["persona_id"]) == (ANA_HEX, a_persona().persona_id)
    assert result["models"]["language_model"] == "lexical-1"
    for name in ("generic", "personalized"):
        path = Path(result[name]["image"])
        assert path == tmp_path / "new" / f"{name}.png"
        assert Image.open(path).size == (64, 64)
    again = personalizer.personalize("a fox", user=ANA, seed=3, out_dir=tmp_path / "again")
    other = personalizer.personalize("a fox", user=ANA, seed=4, out_dir=tmp_path / "other")
    pictures = [Path(r["personalized"]["image"]).read_bytes() for r in (result, again, other)]
    assert pictures[0] == pictures[1] != pictures[2]


def test_models_are_loaded_once_and_a_call_takes_under_two_seconds(
    personalizer: Personalizer, tmp_path: Path
):
    personalizer.personalize("a fox", user=ANA, out_dir=tmp_path)
    loaded = personalizer._loaded
    started = time.process_time()
    personalizer.personalize("a castle", user=BEN, out_dir=tmp_path)
    assert personalizer._loaded is loaded
    assert time.process_time() - started < 2


def test_the_champion_rewriter_writes_once_there_is_one(drawing: Any, tmp_path: Path):
    own = Personalizer(drawing)

    def drawn() -> tuple[str, str | None]:
        result = own.personalize("a fox", user=ANA, out_dir=tmp_path)
        return result["generic"]["prompt"], result["models"]["rewriter"]

    def promoted(phrases: int) -> str:
        chosen = drawing.settings.persona.model_copy(update={"style_phrases": phrases})
        files = partial(write_rewriter, chosen)
        return publish(drawing.lake, "champion_rewriter", files).id

    by_settings, version = drawn()
    assert by_settings.count(",") == 4 and version is None
    for phrases in (1, 2):  # promoted, then another one: no new Personalizer is needed
        version = promoted(phrases)
        assert drawn() == (", ".join(by_settings.split(", ")[: phrases + 1]), version)
    assert own._rewriter().model is own.language_model, "one model is not loaded twice"
    publish(drawing.lake, "champion_rewriter", skipped="there is no champion")
    assert drawn() == (by_settings, None)


def test_a_champion_rewriter_of_another_model_loads_that_model(drawing: Any, tmp_path: Path):
    def nameless(folder: Path) -> None:
        write_rewriter(drawing.settings.persona, folder)
        document = json.loads((folder / FILE).read_text())
        document["language_model"]["kind"] = "transformers"
        (folder / FILE).write_text(json.dumps(document))

    publish(drawing.lake, "champion_rewriter", nameless)
    try:
        with pytest.raises(LanguageModelError, match=r"needs persona\.language_model\.model"):
            Personalizer(drawing).personalize("a fox", user=ANA, out_dir=tmp_path)
        publish(drawing.lake, "champion_rewriter", lambda folder: (folder / FILE).write_text("{}"))
        with pytest.raises(RewriterError, match="is no rewriter of this release"):
            Personalizer(drawing).personalize("a fox", user=ANA, out_dir=tmp_path)
    finally:
        publish(drawing.lake, "champion_rewriter", skipped="there is no champion")


def test_shots_are_the_users_own_past_prompts(personalizer: Personalizer, tmp_path: Path):
    result = personalizer.personalize("a fox", user=BEN, shots=3, out_dir=tmp_path)
    assert result["shots"] == 1
    assert result["personalized"]["prompt"] == "a fox, pixel art, warm autumn colors"


def test_a_text_is_a_person_too(personalizer: Personalizer, tmp_path: Path):
    result = personalizer.personalize(
        "a castle", persona_text="A sailor who loves woodcut prints", out_dir=tmp_path
    )
    assert result["personalized"]["prompt"] == "a castle, woodcut print"
    assert Persona.model_validate(result["persona"]).persona_id == result["persona_id"]


def test_a_person_without_a_taste_for_the_subject_is_flagged(
    personalizer: Personalizer, tmp_path: Path
):
    result = personalizer.personalize("a castle", persona_text="likes tea", out_dir=tmp_path)
    assert result["flags"] == [NOTHING_RECOGNISED, "no_known_taste"]
    assert result["personalized"]["prompt"] == result["generic"]["prompt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompt": " ", "user": ANA}, "the prompt is empty"),
        ({"prompt": "a fox"}, "either a user, a persona text or an intake form"),
        (
            {"prompt": "a fox", "user": ANA, "persona_text": "x"},
            "either a user, a persona text or an intake form",
        ),
        ({"prompt": "a fox", "user": ANA, "seed": -1}, "seed -1"),
        ({"prompt": "a fox", "user": ANA, "shots": -1}, "shots=-1"),
        ({"prompt": "a fox", "user": QUARANTINED}, "quarantined .e-mail in the text.: write"),
    ],
)
def test_unusable_arguments_are_named(
    personalizer: Personalizer, tmp_path: Path, arguments: dict[str, Any], message: str
):
    with pytest.raises(PersonaError, match=message):
        personalizer.personalize(**arguments, out_dir=tmp_path)


def test_without_a_diffusion_model_the_run_that_makes_it_is_named(platform: Any, tmp_path: Path):
    with pytest.raises(NotMaterialised, match=r"zipp run --select \+diffusion_model"):
        Personalizer(platform).personalize("a fox", user=ANA, out_dir=tmp_path / "out")
