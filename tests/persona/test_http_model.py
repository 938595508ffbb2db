from __future__ import annotations

import json
import threading
import time
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from zipp_dagster.persona.answer_cache import AnswerCache
from zipp_dagster.persona.config import LanguageModelSettings
from zipp_dagster.persona.http_model import HttpModel
from zipp_dagster.persona.language_models import (
    CACHE_FOLDER,
    LanguageModelError,
    Message,
    load_language_model,
)


class Server(ThreadingHTTPServer):
    """Plays a script of answers: a status, a body, or what goes wrong."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[object] = []
        self.requests: list[dict] = []
        self.keys: list[str | None] = []


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
    with pytest.raises(LanguageModelError, match=r"tiny@.* failed 3 times"):
        HttpModel(cached).generate([ASK])
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
