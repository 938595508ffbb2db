"""Any OpenAI-compatible endpoint (hosted, vLLM, Ollama, `transformers serve`), by the `openai` client.

What lives here: concurrency, waiting and trying again, counts and cost. What does not: the answers
kept for a second run (`answer_cache.py`).
"""

from __future__ import annotations

import json
import random
import re
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from zipp_dagster.persona.answer_cache import AnswerCache
from zipp_dagster.persona.config import LanguageModelSettings
from zipp_dagster.persona.data_urls import data_url
from zipp_dagster.persona.language_models import (
    NO_CACHE,
    Answer,
    Conversation,
    LanguageModelError,
    Message,
    NoAnswer,
    Usage,
)

_RETRIED_STATUS = frozenset((408, 409, 425, 429, 500, 502, 503, 504, 529))
# What is wrong with one question: its content, its length, its pictures. All else (a key, a model, an
# address) is wrong with every question.
_REFUSED_STATUS = frozenset((400, 413, 415, 422))
_LONGEST_WAIT_S = 60.0
_LATEST: Final = 200
_FEW: Final = 8
"""Of the latest questions more than half may stay unanswered while they are fewer than these."""


class _Transient(Exception):
    """A failure worth another try; `wait_s` is what the server asked for."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class _Incomplete(_Transient):
    """A completion that is empty or was cut: no answer, and nothing to wait for before another try."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, 0.0)


class _Unanswered(Exception):
    """One conversation has no answer; others may have."""


class _NoSchema(Exception):
    """Refused with a JSON schema; without it the prompt's own words have to do."""


class HttpModel:
    """Concurrent chat completions with back-off, token counts, cost and an answer cache."""

    def __init__(self, settings: LanguageModelSettings) -> None:
        """Opens nothing: the first call connects."""
        if not settings.base_url.startswith(("http://", "https://")):
            raise LanguageModelError(
                f"persona.language_model.base_url {settings.base_url!r} is no http(s) address"
            )
        from openai import OpenAI

        self._settings = settings
        self._client = OpenAI(
            base_url=settings.base_url.rstrip("/"),
            # The client insists on a key; endpoints without one ignore it.
            api_key=settings.api_key.get_secret_value() or "none",
            timeout=settings.timeout_s,
            # Tried again here, where retries are counted and waits follow the settings.
            max_retries=0,
        )
        wanted = settings.cache_dir and settings.cache_dir != NO_CACHE
        self._cache = AnswerCache(Path(settings.cache_dir)) if wanted else None
        self._usage = Usage()
        self._lock = threading.Lock()
        self._takes_schema = True
        self._latest: deque[bool] = deque(maxlen=_LATEST)
        # Jitter only spreads waiting calls in time; answers do not depend on it.
        self._jitter = random.Random(0)

    @property
    def name(self) -> str:
        """Kind, model and host; never the key."""
        return f"http:{self._settings.model}@{self._settings.base_url.split('//')[1].split('/')[0]}"

    @property
    def usage(self) -> Usage:
        """Calls, cached answers, retries, tokens and cost so far."""
        return self._usage

    @property
    def sees(self) -> bool:
        """As the settings say: an endpoint does not tell."""
        return self._settings.vision

    def generate(
        self, conversations: Sequence[Conversation], schema: Mapping[str, Any] | None = None
    ) -> list[Answer]:
        """Answers in order, NoAnswer for a conversation that the endpoint refuses.

        Raises LanguageModelError when the endpoint fails for good, or refuses most of what it is
        asked.
        """
        with ThreadPoolExecutor(self._settings.concurrency) as pool:
            return list(pool.map(lambda one: self._outcome(one, schema), conversations))

    def _outcome(self, conversation: Conversation, schema: Mapping[str, Any] | None) -> Answer:
        try:
            answer: Answer = self._answer(conversation, schema)
        except _Unanswered as error:
            answer = NoAnswer(str(error))
        with self._lock:
            self._latest.append(isinstance(answer, str))
            asked, answered = len(self._latest), sum(self._latest)
            self._usage.unanswered += isinstance(answer, NoAnswer)
        if isinstance(answer, NoAnswer) and asked - answered >= max(_FEW, asked // 2 + 1):
            raise LanguageModelError(
                f"{self.name} answered {answered} of the latest {asked} questions, last: "
                f"{answer.reason}; check persona.language_model"
            )
        return answer

    def _answer(self, conversation: Conversation, schema: Mapping[str, Any] | None) -> str:
        request: dict[str, Any] = {
            "model": self._settings.model,
            "messages": [self._message(m) for m in conversation],
            "temperature": self._settings.temperature,
            "max_tokens": self._settings.max_new_tokens,
        }
        if schema is not None:
            request["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": str(schema.get("title", "answer")), "schema": dict(schema)},
            }
        key = json.dumps([self._settings.base_url, request], sort_keys=True).encode()
        cached = self._cache.get(key) if self._cache else None
        if cached and cached.strip():  # earlier releases kept empty answers
            with self._lock:
                self._usage.cached += 1
            return cached
        text = self._call(request)
        if self._cache:
            self._cache.put(key, text)
        return text

    def _message(self, message: Message) -> dict[str, Any]:
        if not message.images or not self.sees:
            return {"role": message.role, "content": message.content}
        parts: list[dict[str, Any]] = [{"type": "text", "text": message.content}]
        try:
            parts += [
                {"type": "image_url", "image_url": {"url": data_url(image)}}
                for image in message.images
            ]
        except ValueError as error:
            raise _Unanswered(str(error)) from None
        return {"role": message.role, "content": parts}

    def _call(self, request: dict[str, Any]) -> str:
        """One completion, retried on what may pass: rate limits, server errors, incomplete answers."""
        attempt, bare = 0, False
        while True:
            if bare or not self._takes_schema:
                request = {k: v for k, v in request.items() if k != "response_format"}
            try:
                answer = self._request(request)
            except _NoSchema:
                bare = True
            except _Transient as error:
                if attempt == self._settings.max_retries:
                    if isinstance(error, _Incomplete):
                        raise _Unanswered(f"{error} ({attempt + 1} times)") from None
                    raise LanguageModelError(
                        f"{self.name} failed {attempt + 1} times, last: {error}; raise "
                        "persona.language_model.max_retries or lower its concurrency"
                    ) from error
                wait = error.wait_s
                if wait is None:
                    wait = self._settings.backoff_s * 2**attempt * (1 + self._jitter.random() / 4)
                with self._lock:
                    self._usage.retries += 1
                attempt += 1
                time.sleep(min(wait, _LONGEST_WAIT_S))
            else:
                if bare:  # it was the schema, and not what was asked
                    self._takes_schema = False
                return answer

    def _request(self, request: dict[str, Any]) -> str:
        import openai

        try:
            answer = self._client.chat.completions.create(**request)
        except openai.APIStatusError as error:
            # Neither the server's words nor its error, which holds them: they may repeat the key, or
            # what was asked about a person.
            said = self._without_key(_named(error))
            if error.status_code in _RETRIED_STATUS:
                raise _Transient(said, _wait(error)) from None
            if error.status_code in (400, 422) and "response_format" in request:
                # Refused with a schema: is it the schema? The same request without it will tell.
                raise _NoSchema from None
            if error.status_code in _REFUSED_STATUS:
                raise _Unanswered(f"refused with {said}") from None
            raise LanguageModelError(
                f"{self.name} refused: {said}; check the key, model and base_url of "
                "persona.language_model"
            ) from None
        except openai.APIConnectionError as error:
            why = error.__cause__ or error
            raise _Transient(f"{type(error).__name__}: {why}") from error
        except (openai.APIResponseValidationError, json.JSONDecodeError):
            raise _Transient("the answer is no JSON") from None
        choices = getattr(answer, "choices", None)
        if not choices:
            raise _Transient("the answer has no choices")
        used = answer.usage
        into, out = (used.prompt_tokens, used.completion_tokens) if used else (0, 0)
        with self._lock:
            self._usage.calls += 1
            self._usage.prompt_tokens += into
            self._usage.completion_tokens += out
            self._usage.cost += (
                into * self._settings.price_in + out * self._settings.price_out
            ) / 1e6
        return _whole_answer(choices[0])

    def _without_key(self, text: str) -> str:
        key = self._settings.api_key.get_secret_value()
        return text.replace(key, "(the key)") if key else text


_INCOMPLETE = {
    "length": "the answer was cut at its longest length: raise persona.language_model.max_new_tokens",
    "content_filter": "a content filter cut the answer",
}


def _whole_answer(choice: Any) -> str:
    """The text of a completion. Raises _Incomplete where it is empty or says that it was cut."""
    reason = _INCOMPLETE.get(str(getattr(choice, "finish_reason", None)))
    if reason:
        raise _Incomplete(reason)
    text = str(choice.message.content or "")
    if not text.strip():
        refused = getattr(choice.message, "refusal", None)
        raise _Incomplete("the model refused to answer" if refused else "the answer is empty")
    return text


_NAME = re.compile(r"[A-Za-z][\w.-]{0,63}")


def _named(error: Any) -> str:
    """The status of a refusal, with the server's code or type where it gives one."""
    body = error.body if isinstance(error.body, Mapping) else {}
    names = (str(body.get(key) or "") for key in ("code", "type"))
    name = next((name for name in names if _NAME.fullmatch(name)), "")
    return f"HTTP {error.status_code}" + (f" ({name})" if name else "")


def _wait(error: Any) -> float | None:
    value = error.response.headers.get("Retry-After")
    try:
        return float(value) if value else None
    except ValueError:
        return None  # a date: the usual back-off is close enough
