from __future__ import annotations

import io
import re

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from starlette.testclient import TestClient

from tests.studio.conftest import ANSWERS, HOST, HTML, an_artist, joined, painted
from zipp_dagster.studio.app import add_starter_study, create_app
from zipp_dagster.studio.pictures import broken, without_metadata

METHODS = re.compile("zipp_0shot|no_persona|mismatched|broken|generic|personal", re.IGNORECASE)


def wait_for_pair(client, token):
    for _ in range(200):
        if client.get(f"/s/{token}/state").json()["state"] != "drawing":
            return client.get(f"/s/{token}", headers=HTML).text
    raise AssertionError("no pair was drawn")


def pair_of(page):
    return re.search(r'name="pair" value="([^"]+)"', page)[1]


def pictures_of(page):
    return re.findall(r'<img src="(/s/[^"]+)"', page)


def vote(client, token, page, choice="left"):
    data = {"pair": pair_of(page), "choice": choice}
    return client.post(f"/s/{token}/vote", data=data, headers=HTML)


def test_a_participant_goes_from_consent_to_the_last_vote(client, store):
    assert "You will see two pictures" in client.get("/study/pilot", headers=HTML).text
    page = client.post("/study/pilot/intake", data={"consent": "yes"}, headers=HTML).text
    assert "About you" in page
    token = joined(client)
    for number in range(1, 6):
        page = wait_for_pair(client, token)
        assert f"Pair {number} of 5" in page
        vote(client, token, page, "tie")
    assert "Thank you" in client.get(f"/s/{token}", headers=HTML).text
    assert len(store.votes("pilot")) == 5 and store.counts("pilot")["finished"] == 1


def test_without_consent_there_are_no_questions_and_no_participant(client, store):
    assert (
        client.post("/study/pilot/intake", data={"consent": "no"}, headers=HTML).status_code == 422
    )
    answers = {k: v for k, v in ANSWERS.items() if k != "consent"}
    assert client.post("/study/pilot/join", data=answers, headers=HTML).status_code == 422
    assert store.counts("pilot")["joined"] == 0


def test_a_wrong_answer_is_named_and_the_others_are_kept(client):
    answer = client.post("/study/pilot/join", data=ANSWERS | {"work": ""}, headers=HTML)
    assert answer.status_code == 422 and "Work: choose one." in answer.text
    assert 'value="coast" selected' in answer.text and 'value="painting" checked' in answer.text


def test_nothing_on_a_pairs_page_or_in_its_pictures_says_which_method_drew_it(client):
    token = joined(client)
    page = wait_for_pair(client, token)
    main = page[page.index("<main") : page.index("</main>")]
    assert not METHODS.search(main)
    for address in pictures_of(page):
        answer = client.get(address)
        assert not METHODS.search(address + str(dict(answer.headers)))
        assert Image.open(io.BytesIO(answer.content)).info == {}


def test_metadata_of_a_drawn_picture_is_dropped_and_its_pixels_are_kept():
    out, info = io.BytesIO(), PngInfo()
    info.add_text("prompt_sha256", "ab")
    image = Image.effect_noise((16, 16), 80).convert("RGB")
    image.save(out, "PNG", pnginfo=info)
    clean = Image.open(io.BytesIO(without_metadata(out.getvalue())))
    assert clean.info == {} and clean.tobytes() == image.tobytes()


def test_a_broken_picture_has_the_same_parts_in_another_order():
    out = io.BytesIO()
    Image.effect_noise((16, 16), 80).convert("RGB").save(out, "PNG")
    whole = Image.open(io.BytesIO(out.getvalue()))
    parts = Image.open(io.BytesIO(broken(out.getvalue(), 3)))
    assert parts.tobytes() != whole.tobytes()
    assert sorted(parts.getdata()) == sorted(whole.getdata())


def test_a_double_submit_is_one_vote_and_goes_on(client, store):
    token = joined(client)
    page = wait_for_pair(client, token)
    first, second = vote(client, token, page, "left"), vote(client, token, page, "right")
    assert first.status_code == second.status_code == 200
    assert [v["choice"] for v in store.votes("pilot")] == ["left"]


def test_a_reload_shows_the_same_pair(client):
    token = joined(client)
    page = wait_for_pair(client, token)
    assert pair_of(client.get(f"/s/{token}", headers=HTML).text) == pair_of(page)


def test_another_participants_link_opens_none_of_my_things(client, store):
    mine, other = joined(client), joined(client)
    page = wait_for_pair(client, other)
    wait_for_pair(client, mine)
    picture = pictures_of(page)[0].rsplit("/", 1)[1]
    assert client.get(f"/s/{mine}/picture/{picture}").status_code == 404
    assert vote(client, mine, page).status_code == 404
    assert client.get("/s/guessed-token", headers=HTML).status_code == 404
    assert store.votes("pilot") == []


def test_withdrawal_is_asked_for_and_closes_the_link(client, store):
    token = joined(client)
    vote(client, token, wait_for_pair(client, token))
    assert "Withdraw?" in client.get(f"/s/{token}/withdraw", headers=HTML).text
    assert store.counts("pilot")["joined"] == 1
    done = client.post(f"/s/{token}/withdraw", data={"sure": "yes"}, headers=HTML)
    assert "Everything of yours is deleted" in done.text
    assert client.get(f"/s/{token}", headers=HTML).status_code == 404
    assert store.counts("pilot")["joined"] == 0 and store.votes("pilot") == []


def test_a_full_study_says_so(client):
    for _ in range(3):
        joined(client)
    answer = client.post("/study/pilot/join", data=ANSWERS, headers=HTML)
    assert answer.status_code == 409 and "enough people" in answer.text


@pytest.mark.parametrize("choice", ["both", "", "left; drop table"])
def test_an_unknown_choice_is_no_vote(client, store, choice):
    token = joined(client)
    assert vote(client, token, wait_for_pair(client, token), choice).status_code == 422
    assert store.votes("pilot") == []


def test_what_people_write_is_escaped(client):
    bad = {"profession": '"><script>alert(1)</script>', "work": ""}
    page = client.post("/study/pilot/join", data=ANSWERS | bad, headers=HTML).text
    assert "<script>alert" not in page and "&lt;script&gt;" in page


def test_too_much_and_other_kinds_of_bodies_are_refused(client):
    long = ANSWERS | {"profession": "x" * 40_000}
    assert client.post("/study/pilot/join", data=long, headers=HTML).status_code == 413
    upload = client.post("/study/pilot/join", files={"a": b"x"}, headers=HTML)
    assert upload.status_code == 415
    chunks = iter([b"a" * 20_000, b"b" * 20_000])
    form = HTML | {"content-type": "application/x-www-form-urlencoded"}
    assert client.post("/study/pilot/join", content=chunks, headers=form).status_code == 413


def test_pages_carry_security_headers_and_load_nothing_from_elsewhere(client):
    for path in ("/", "/personalise", "/study", "/results/pilot", "/api"):
        answer = client.get(path, headers=HTML)
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", answer.text)
        assert " style=" not in answer.text and "<script>" not in answer.text


def test_a_form_of_another_site_and_another_host_name_are_refused(client):
    other = HTML | {"sec-fetch-site": "cross-site"}
    assert client.post("/study/pilot/join", data=ANSWERS, headers=other).status_code == 403
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400


def test_a_pair_that_cannot_be_drawn_keeps_others_going(platform, store, study):
    tries = []

    def sometimes(job):
        tries.append(job)
        if len(tries) == 2:
            raise RuntimeError("out of memory")
        return painted(job)

    store.create(study)
    with TestClient(create_app(platform, store, an_artist(sometimes)), base_url=HOST) as client:
        token = joined(client)
        for _ in range(5):
            vote(client, token, wait_for_pair(client, token), "tie")
    assert len(store.votes("pilot")) == 5


def test_pairs_left_undrawn_by_a_server_that_ended_are_drawn_by_the_next(platform, store, study):
    store.create(study)
    _, token = store.join(
        study, {k: v for k, v in ANSWERS.items() if k != "consent"}, "I like fog."
    )
    with TestClient(create_app(platform, store, an_artist()), base_url=HOST) as client:
        assert "Pair 1 of 5" in wait_for_pair(client, token)


def test_a_new_studio_has_a_study_to_look_at_and_an_old_one_gets_no_second(store):
    add_starter_study(store)
    add_starter_study(store)
    assert [study.name for study in store.studies()] == ["first-look"]


def test_experts_rate_personas_one_after_another(client, store):
    from tests.studio.test_results import ITEMS
    from zipp_dagster.studio.rating_store import ratings
    from zipp_dagster.studio.study import StudyConfig

    store.create(StudyConfig(name="quality", kind="persona_quality", personas=3), ITEMS)
    token = joined(client, "quality")
    for position in range(3):
        page = client.get(f"/s/{token}", headers=HTML).text
        assert f"Persona {position + 1} of 3" in page
        scores = {"accuracy": 4, "coherence": 5, "completeness": 3, "position": position}
        missing = client.post(f"/s/{token}/rate", data=scores | {"accuracy": ""}, headers=HTML)
        assert missing.status_code == 422
        client.post(f"/s/{token}/rate", data=scores, headers=HTML)
    assert "Thank you" in client.get(f"/s/{token}", headers=HTML).text
    assert len(ratings(store, "quality")) == 3
    assert "Krippendorff" in client.get("/results/quality", headers=HTML).text


def test_simulated_votes_of_the_pipeline_are_shown_as_simulated(client, platform):
    import pyarrow as pa

    from tests.personal.people import publish
    from zipp_dagster.zipbench.preferences import SCHEMA

    row = {"study": "simulated-benchmark", "simulated": True, "method": "zipp_0shot"}
    row |= {"opponent": "mismatched", "wins": 3, "losses": 1, "ties": 2, "win_rate": 0.75}
    row |= {"low": 0.3, "high": 0.95, "p_value": 0.6, "participants": 3, "flagged": 0}
    publish(platform.lake, "human_preferences", pa.Table.from_pylist([row], schema=SCHEMA))
    page = client.get("/results", headers=HTML).text
    assert "simulated-benchmark" in page and "A program voted here, not people" in page
    assert "75 %" in page and "mismatched persona" in page
