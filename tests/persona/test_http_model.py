from __future__ import annotations

import base64
import io
import json
import threading
import time
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from zipp_dagster.persona.answer_cache import AnswerCache
from zipp_dagster.persona.config import LanguageModelSettings, PersonaSettings
from zipp_dagster.persona.http_model import HttpModel
from zipp_dagster.persona.language_models import (
    CACHE_FOLDER,
    LanguageModelError,
    Message,
    NoAnswer,
    load_language_model,
)
from zipp_dagster.persona.personas import build_personas
from zipp_dagster.persona.rewriting import rewrite_prompt


class Server(ThreadingHTTPServer):
    """Plays a script of answers: a status, a body, or what goes wrong."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[object] = []
        self.requests: list[dict] = []
        self.keys: list[str | None] = []
        self.refused_words = ""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(body)
        self.server.keys.append(self.headers.get("Authorization"))
        step = self.server.script.pop(0) if self.server.script else "echo"
        if isinstance(step, int):
            self.send_response(step)
            if step == 429:
                self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(b"slow down")
            return
        if isinstance(step, str) and step.startswith("refuse "):
            self.send_response(int(step.split()[1]))
            self.end_headers()
            said = {"error": {"message": f"wrong: {self.headers['Authorization']}"}}
            self.wfile.write(json.dumps(said).encode())
            return
        if isinstance(step, dict) or ((said := self.server.refused_words) and said in str(body)):
            refusal = step if isinstance(step, dict) else {"status": 400, "code": "content_filter"}
            self.send_response(refusal["status"])
            self.end_headers()
            text = f"I will not: {body['messages'][-1]['content']}"
            error = {"message": text, "code": refusal["code"], "type": refusal.get("type")}
            self.wfile.write(json.dumps({"error": error}).encode())
            return
        if step == "hang":
            time.sleep(1)
        if step == "no schema" and "response_format" in body:
            self.send_response(400)
            self.end_headers()
            self.wfile.write(b"response_format is not supported")
            self.server.script.insert(0, step)
            return
        said = body["messages"][-1]["content"]
        choice: dict = {"message": {"content": f"echo {said}"}, "finish_reason": "stop"}
        partial = {
            "too long": {"finish_reason": "length"},
            "filtered": {"finish_reason": "content_filter"},
            "reasoned": {"message": {"content": None}, "finish_reason": "length"},
            "blank": {"message": {"content": " \n"}},
            "refusal": {"message": {"content": None, "refusal": "no"}},
        }
        choice |= partial.get(str(step), {})
        answer = {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
        faulty = {"garbage": b"{not json", "half": json.dumps(answer).encode()[:30], "empty": b"{}"}
        data = faulty.get(str(step)) or json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data) + (50 if step == "cut" else 0)))
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield http
        http.shutdown()


def settings(server: Server, **changes: object) -> LanguageModelSettings:
    return LanguageModelSettings.model_validate(
        {
            "kind": "http",
            "model": "tiny",
            "base_url": f"http://127.0.0.1:{server.server_address[1]}/v1",
            "backoff_s": 0.01,
            "max_retries": 2,
            "timeout_s": 5,
            **changes,
        }
    )


ASK = [Message("system", "be brief"), Message("user", "hello")]


def test_answers_come_in_order_and_are_counted(server) -> None:
    model = HttpModel(settings(server, api_key="sesame"))
    asked = [[Message("user", str(i))] for i in range(20)]
    assert model.generate(asked, {"title": "T"}) == [f"echo {i}" for i in range(20)]
    assert model.usage.calls == 20 and model.usage.prompt_tokens == 60
    assert server.keys[0] == "Bearer sesame" and "sesame" not in model.name
    assert server.requests[0]["response_format"]["json_schema"]["name"] == "T"


@pytest.mark.parametrize("fault", [429, 500, 503, "garbage", "half", "empty", "cut"])
def test_what_may_pass_is_tried_again(server, fault) -> None:
    server.script = [fault, fault]
    model = HttpModel(settings(server))
    assert model.generate([ASK]) == ["echo hello"]
    assert model.usage.retries == 2


PARTIAL = ["too long", "filtered", "reasoned", "blank", "refusal"]


@pytest.mark.parametrize("fault", PARTIAL)
def test_a_partial_answer_is_asked_for_again_at_once_and_counted(server, fault) -> None:
    server.script = [fault, fault]
    model = HttpModel(settings(server, backoff_s=30))
    assert model.generate([ASK]) == ["echo hello"]
    # Tokens of partial answers were paid for as well.
    assert model.usage.retries == 2 and model.usage.calls == 3


@pytest.mark.parametrize("fault", PARTIAL)
def test_a_partial_answer_is_never_kept(server, tmp_path: Path, fault) -> None:
    cached = settings(server, cache_dir=str(tmp_path))
    server.script = [fault] * 3
    (answer,) = HttpModel(cached).generate([ASK])
    assert isinstance(answer, NoAnswer) and answer.reason.endswith("(3 times)")
    assert not list(tmp_path.rglob("*.json"))
    assert HttpModel(cached).generate([ASK]) == ["echo hello"]


def test_an_empty_answer_that_an_earlier_release_kept_is_asked_for_again(
    server, tmp_path: Path
) -> None:
    cached = settings(server, cache_dir=str(tmp_path))
    HttpModel(cached).generate([ASK])
    (entry,) = tmp_path.rglob("*.json")
    entry.write_text('{"text": ""}')
    assert HttpModel(cached).generate([ASK]) == ["echo hello"] and len(server.requests) == 2


def test_a_lasting_failure_names_the_model_and_the_setting(server) -> None:
    server.script = [503] * 9
    with pytest.raises(LanguageModelError, match=r"tiny.*failed 3 times.*max_retries"):
        HttpModel(settings(server)).generate([ASK])


def test_a_refusal_is_not_repeated(server) -> None:
    server.script = [401]
    with pytest.raises(LanguageModelError, match="401"):
        HttpModel(settings(server)).generate([ASK])
    assert len(server.requests) == 1


def test_a_second_run_costs_nothing(server, tmp_path: Path) -> None:
    cached = settings(server, cache_dir=str(tmp_path))
    assert HttpModel(cached).generate([ASK]) == ["echo hello"]
    again = HttpModel(cached)
    assert again.generate([ASK]) == ["echo hello"]
    assert len(server.requests) == 1 and again.usage.cached == 1 and again.usage.calls == 0
    again.generate([[Message("user", "other")]])
    assert len(server.requests) == 2
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_server_that_hangs_is_given_up_after_the_timeout(server) -> None:
    server.script = ["hang"]
    model = HttpModel(settings(server, timeout_s=0.2))
    assert model.generate([ASK]) == ["echo hello"] and model.usage.retries == 1


def test_an_endpoint_without_json_schemas_is_asked_without(server) -> None:
    server.script = ["no schema"]
    model = HttpModel(settings(server, concurrency=1))
    assert model.generate([ASK, ASK], {"title": "T"}) == ["echo hello"] * 2
    assert ["response_format" in body for body in server.requests] == [True, False, False]


def test_one_refused_question_leaves_the_others_their_answers_and_the_schema(server) -> None:
    server.refused_words = "forbidden"
    model = HttpModel(settings(server, concurrency=1))
    asked = [[Message("user", word)] for word in ("a", "forbidden", "b")]
    assert model.generate(asked, {"title": "T"}) == [
        "echo a",
        NoAnswer("refused with HTTP 400 (content_filter)"),
        "echo b",
    ]
    assert model.usage.unanswered == 1
    # Put once more without the schema; what was refused was not the schema, so it stays in use.
    assert ["response_format" in body for body in server.requests] == [True, True, False, True]


@pytest.mark.parametrize("status", [413, 422])
def test_a_question_that_is_too_long_has_no_answer(server, status: int) -> None:
    server.script = [{"status": status, "code": None, "type": "invalid_request_error"}] * 2
    (answer,) = HttpModel(settings(server)).generate([ASK])
    assert answer == NoAnswer(f"refused with HTTP {status} (invalid_request_error)")


def test_refused_questions_are_asked_again_in_a_second_run_and_kept_ones_are_not(
    server, tmp_path: Path
) -> None:
    server.refused_words = "forbidden"
    cached = settings(server, cache_dir=str(tmp_path))
    asked = [[Message("user", f"{i} {'forbidden' if i < 10 else ''}")] for i in range(30)]
    first = HttpModel(cached).generate(asked[::-1])
    assert sum(isinstance(answer, NoAnswer) for answer in first) == 10
    again = HttpModel(cached)
    assert again.generate(asked[::-1]) == first and again.usage.cached == 20


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_what_is_wrong_with_every_question_ends_the_run(server, status: int) -> None:
    server.script = [{"status": status, "code": "unknown_model"}] * 100
    with pytest.raises(LanguageModelError, match=rf"tiny.*HTTP {status} \(unknown_model\)"):
        HttpModel(settings(server, concurrency=1)).generate([ASK] * 100)
    assert len(server.requests) < 10


def test_an_endpoint_that_refuses_most_questions_ends_the_run_early(server) -> None:
    server.refused_words = "hello"
    model = HttpModel(settings(server, concurrency=1))
    assert model.generate([[Message("user", "a")]]) == ["echo a"]
    with pytest.raises(LanguageModelError, match=r"answered 1 of the latest 9 .*content_filter"):
        model.generate([ASK] * 100)
    assert len(server.requests) < 15


@pytest.mark.parametrize("status", [400, 401, 503])
def test_what_a_server_says_about_a_question_stays_out_of_reasons_and_errors(
    server, status
) -> None:
    private = [Message("user", "I am Ana of Elm Street")]
    code = "Ana of Elm Street"  # no code either, where it is a sentence
    server.script = [{"status": status, "code": code, "type": "some_error"}] * 9
    try:
        shown = str(HttpModel(settings(server)).generate([private]))
    except LanguageModelError as error:
        shown = "".join(traceback.format_exception(error))
    assert f"HTTP {status} (some_error)" in shown and "Ana" not in shown


@pytest.mark.parametrize(
    ("kept", "sent"), [("PNG", "png"), ("JPEG", "jpeg"), ("WEBP", "webp"), ("BMP", "png")]
)
def test_a_picture_is_sent_as_what_it_is(server, kept: str, sent: str) -> None:
    data = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(data, kept)
    asked = [Message("user", "look", images=(data.getvalue(),))]
    HttpModel(settings(server, vision=True)).generate([asked])
    url = server.requests[0]["messages"][0]["content"][1]["image_url"]["url"]
    head, _, body = url.partition(";base64,")
    assert head == f"data:image/{sent}"
    with Image.open(io.BytesIO(base64.b64decode(body))) as picture:
        assert picture.format == sent.upper() and picture.size == (4, 4)


def test_a_picture_that_nobody_can_read_is_not_sent(server) -> None:
    asked = [Message("user", "look", images=(b"no picture",))]
    (answer,) = HttpModel(settings(server, vision=True)).generate([asked])
    assert answer == NoAnswer("a picture cannot be read") and not server.requests


def test_a_refused_person_is_quarantined_and_a_refused_rewrite_is_the_base_prompt(
    server, evidence_file, tmp_path: Path
) -> None:
    server.refused_words = "forbidden"
    model = HttpModel(settings(server))
    file = evidence_file({1: ["forbidden words of mine"], 2: ["I love foxes"]})
    report = build_personas([file], model, PersonaSettings(), tmp_path / "out")
    why = pq.read_table(report.file)["quarantined"].to_pylist()
    assert why[0] == "no answer: refused with HTTP 400 (content_filter)"
    assert why[1].startswith("unparseable answer") and report.users == 2
    assert report.usage["unanswered"] == 1 and report.retried == 1
    prompt, flags = rewrite_prompt("a forbidden fox", None, model, PersonaSettings())
    assert (prompt, flags) == ("a forbidden fox", ("unanswered",))


def test_tokens_have_their_price(server) -> None:
    model = HttpModel(settings(server, price_in=1_000_000, price_out=500_000))
    model.generate([ASK, ASK])
    assert model.usage.cost == pytest.approx(2 * (3 * 1.0 + 2 * 0.5))


def test_a_model_that_sees_is_sent_the_pictures_and_another_one_is_not(server) -> None:
    seen = [Message("user", "look", images=(b"\x89PNG picture",))]
    HttpModel(settings(server, vision=True)).generate([seen])
    HttpModel(settings(server)).generate([seen])
    text, image = server.requests[0]["messages"][0]["content"]
    assert text == {"type": "text", "text": "look"}
    assert image["image_url"]["url"].startswith("data:image/png;base64,")
    assert server.requests[1]["messages"][0]["content"] == "look"


def test_the_cache_keeps_no_question_survives_damage_and_can_be_deleted(
    server, tmp_path: Path
) -> None:
    cached = settings(server, cache_dir=str(tmp_path / "cache"))
    secret = [Message("user", "my secret words")]
    HttpModel(cached).generate([[*ASK, *secret]])
    (entry,) = (tmp_path / "cache").rglob("*.json")
    assert json.loads(entry.read_text()) == {"text": "echo my secret words"}
    entry.write_text("{half")
    HttpModel(cached).generate([[*ASK, *secret]])
    AnswerCache(tmp_path / "cache").clear()
    HttpModel(cached).generate([[*ASK, *secret]])
    assert len(server.requests) == 3


def test_the_cache_lies_under_the_home_unless_it_is_off(server, tmp_path: Path) -> None:
    load_language_model(settings(server), tmp_path).generate([ASK])
    assert len(list((tmp_path / CACHE_FOLDER).rglob("*.json"))) == 1
    load_language_model(settings(server, cache_dir="off"), tmp_path / "other").generate([ASK])
    assert not (tmp_path / "other").exists()


def test_nobody_listening_is_one_clear_error() -> None:
    nowhere = LanguageModelSettings(
        kind="http", model="tiny", base_url="http://127.0.0.1:9/v1", max_retries=0, timeout_s=1
    )
    with pytest.raises(LanguageModelError, match=r"APIConnectionError.*refused"):
        HttpModel(nowhere).generate([ASK])


def test_incomplete_settings_name_what_is_missing() -> None:
    with pytest.raises(LanguageModelError, match=r"language_model\.model"):
        load_language_model(LanguageModelSettings(kind="http"))
    with pytest.raises(LanguageModelError, match="base_url"):
        load_language_model(LanguageModelSettings(kind="http", model="m"))
    with pytest.raises(LanguageModelError, match="http"):
        load_language_model(LanguageModelSettings(kind="http", model="m", base_url="ftp://x"))


@pytest.mark.parametrize("status", [401, 503])
def test_a_server_that_repeats_the_key_does_not_bring_it_into_the_error(server, status) -> None:
    key = "-".join(("sk", "planted"))  # a traceback shows lines of this file too
    server.script = [f"refuse {status}"] * 9
    with pytest.raises(LanguageModelError, match=f"HTTP {status}") as caught:
        HttpModel(settings(server, api_key=key)).generate([ASK])
    shown = "".join(traceback.format_exception(caught.value))
    assert server.keys[0] == f"Bearer {key}" and key not in shown
