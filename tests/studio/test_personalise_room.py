from __future__ import annotations

import base64
import threading

import pytest
from starlette.testclient import TestClient

from tests.personal.people import ANA_HEX, a_platform, publish
from tests.studio.conftest import ANSWERS, HOST, an_artist, painted, png
from zipp_dagster.persona.config import PersonaSettings
from zipp_dagster.personal import PersonaError
from zipp_dagster.studio.app import create_app
from zipp_dagster.studio.artist import Artist, Busy
from zipp_dagster.studio.config import StudioSettings
from zipp_dagster.studio.safety import Refused, check_text
from zipp_dagster.studio.sketches import Sketch

INTAKE = {key: value for key, value in ANSWERS.items() if key != "consent"}


def test_an_intake_and_a_prompt_give_both_pictures_and_the_reason(client):
    answer = client.post("/personalize", json={"prompt": "a cat", "intake": INTAKE, "seed": 3})
    found = answer.json()
    assert base64.b64decode(found["personalized"]["image_png_base64"]) == png(2)
    assert found["generic"]["prompt"] == "a cat, vivid colors"
    assert found["added"] == [
        {
            "phrase": "oil painting",
            "source": "Hobby: painting",
            "because": "My hobby is painting. A guess from that: I like oil painting and golden tones"
            " in pictures.",
        }
    ]
    assert found["synthetic"] is True


def test_an_edited_persona_wins_over_the_intake_it_came_from(client):
    body = {"prompt": "a cat", "intake": INTAKE, "persona_text": "I love thick oil painting."}
    (reason,) = client.post("/personalize", json=body).json()["added"]
    assert (reason["source"], reason["because"]) == ("Your own words", "I love thick oil painting.")


def test_a_mined_persona_is_shown_with_its_evidence(client):
    body = {"prompt": "a cat", "user": ANA_HEX}
    found = client.post("/personalize", json=body).json()
    assert found["persona_text"] == "In pictures of animals I like watercolor painting."


def test_personas_of_real_people_are_not_shown_to_whoever_opens_the_page(tmp_path, store):
    platform = a_platform(tmp_path / "real", real=True)
    publish(platform.lake, "diffusion_model")
    with TestClient(create_app(platform, store, an_artist()), base_url=HOST) as client:
        answer = client.post("/personalize", json={"prompt": "a cat", "user": ANA_HEX})
        assert answer.status_code == 403
        page = client.get("/personalise").text
        assert ANA_HEX not in page and "watercolor" not in page


def test_the_persona_of_an_intake_can_be_seen_before_anything_is_drawn(client):
    found = client.post("/persona", json=INTAKE).json()
    assert found["lines"][0] == {
        "source": "Age band",
        "sentence": "I am between 25 and 34 years old.",
    }
    assert "My work is nurse." in found["persona_text"]


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"prompt": "a cat"}, "give an intake, a persona_text or a user"),
        ({"prompt": "a cat", "user": "x", "persona_text": "y"}, "not both"),
        ({"prompt": "  ", "persona_text": "I like fog."}, "The prompt is empty."),
        ({"prompt": "x" * 301, "persona_text": "I like fog."}, "301 characters; 300 are allowed"),
        ({"prompt": "a nude", "persona_text": "I like fog."}, "does not draw"),
        ({"prompt": "a cat", "persona_text": "I like porn."}, "The persona holds words"),
        ({"prompt": "a cat", "persona_text": "x " * 1500}, "2000 are allowed"),
        ({"prompt": "a cat", "persona_text": "I like fog.", "seed": -1}, "seed"),
        ({"prompt": "a cat", "persona_text": "I like fog.", "steps": 900}, "steps"),
        ({"prompt": "a cat", "persona_text": "I like fog.", "shots": 2}, "shots need a user"),
    ],
)
def test_a_request_that_cannot_be_done_says_why(client, body, detail):
    answer = client.post("/personalize", json=body)
    assert answer.status_code == 422 and detail in answer.json()["detail"]


def test_an_unknown_user_is_not_found(client):
    answer = client.post("/personalize", json={"prompt": "a cat", "user": "nobody"})
    assert answer.status_code == 404 and "nobody" in answer.json()["detail"]


def test_what_the_personalizer_refuses_is_said(platform, store):
    def refuse(job):
        raise PersonaError("the persona text names a person")

    with TestClient(create_app(platform, store, an_artist(refuse)), base_url=HOST) as client:
        body = {"prompt": "a cat", "persona_text": "I like fog."}
        answer = client.post("/personalize", json=body)
        assert (answer.status_code, answer.json()["detail"]) == (
            422,
            "the persona text names a person",
        )


def test_a_rewritten_prompt_passes_the_filter_too(platform, store):
    def bold(job):
        return painted(Sketch("a nude", job.seed, job.persona_text))

    with TestClient(create_app(platform, store, an_artist(bold)), base_url=HOST) as client:
        answer = client.post(
            "/personalize", json={"prompt": "a cat", "persona_text": "I like fog."}
        )
        assert answer.status_code == 422 and "The rewritten prompt" in answer.json()["detail"]


def test_the_api_has_a_schema(client):
    schema = client.get("/openapi.json").json()
    assert set(schema["paths"]) >= {"/personalize", "/persona", "/api/results/{name}", "/health"}
    properties = schema["components"]["schemas"]["PersonalizeResponse"]["properties"]
    assert {"generic", "personalized", "added"} <= set(properties)


def test_the_safety_filter_finds_words_in_disguise_and_not_inside_others():
    settings = StudioSettings(blocked_terms=("clown",))
    for text in ("a NUDE woman", "nüde", "a  dead\tbody", "two clowns"):
        with pytest.raises(Refused):
            check_text(text, "prompt", 100, settings)
    assert (
        check_text("a Sussex  village,\nmauve", "prompt", 100, settings)
        == "a Sussex village, mauve"
    )
    off = StudioSettings(safety_filter=False)
    assert check_text("a nude, oil painting", "prompt", 100, off) == "a nude, oil painting"


def test_visitors_are_drawn_before_studies_and_too_many_are_asked_to_wait():
    gate, order = threading.Event(), []

    def slow(job):
        gate.wait(10)
        order.append(job)
        return painted(job)

    artist = an_artist(slow, queue_limit=2)
    try:
        first = artist.visitor(Sketch("first", 0))
        study = artist.pair(Sketch("study", 0), 0)
        visitor = artist.visitor(Sketch("visitor", 0))
        with pytest.raises(Busy):
            artist.visitor(Sketch("one too many", 0))
        gate.set()
        for future in (first, study, visitor):
            future.result(10)
    finally:
        artist.stop()
    prompts = [job.prompt for job in order]
    assert prompts.index("visitor") < prompts.index("study")


def test_an_artist_that_stops_cancels_what_waits():
    gate = threading.Event()
    artist = an_artist(lambda job: gate.wait(10))
    artist.visitor(Sketch("at hand", 0))
    waiting = artist.pair(Sketch("waiting", 0), 0)
    gate.set()
    artist.stop()
    assert waiting.cancelled() or waiting.done()
    assert isinstance(artist, Artist)


def test_a_language_model_gets_the_answers_without_guesses(tmp_path, store):
    model = {"kind": "http", "base_url": "http://127.0.0.1:9/v1", "model": "m"}
    platform = a_platform(tmp_path / "llm", persona=PersonaSettings(language_model=model))
    publish(platform.lake, "diffusion_model")
    with TestClient(create_app(platform, store, an_artist()), base_url=HOST) as client:
        assert "guess" not in client.post("/persona", json=INTAKE).json()["persona_text"]
