"""Any OpenAI-compatible endpoint (hosted, vLLM, Ollama, `transformers serve`), over plain HTTP."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import random
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from zipp_dagster.persona.config import LanguageModelSettings
from zipp_dagster.persona.language_models import Conversation, LanguageModelError, Usage

_RETRIED_STATUS = frozenset((408, 409, 425, 429, 500, 502, 503, 504))
_LONGEST_WAIT_S = 60.0


class _Transient(Exception):
    """A failure worth another try; `wait_s` is what the server asked for."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class HttpModel:
    """Concurrent chat completions with back-off, token counts and an answer cache."""

    def __init__(self, settings: LanguageModelSettings) -> None:
        """Opens nothing: the first call connects."""
        self._settings = settings
        self._url = settings.base_url.rstrip("/") + "/chat/completions"
        if not self._url.startswith(("http://", "https://")):
            raise LanguageModelError(
                f"persona.language_model.base_url {settings.base_url!r} is no http(s) address"
            )
        self._cache = Path(settings.cache_dir) if settings.cache_dir else None
        self._usage = Usage()
        self._lock = threading.Lock()
        # Jitter only spreads waiting calls in time; answers do not depend on it.
        self._jitter = random.Random(0)

    @property
    def name(self) -> str:
        """Kind, model and host; never the key."""
        return f"http:{self._settings.model}@{self._settings.base_url.split('//')[1].split('/')[0]}"

    @property
    def usage(self) -> Usage:
        """Calls, cached answers, retries and tokens so far."""
        return self._usage

    def generate(
        self, conversations: Sequence[Conversation], schema: Mapping[str, Any] | None = None
    ) -> list[str]:
        """Answers in order. Raises LanguageModelError when a call fails for good."""
        with ThreadPoolExecutor(self._settings.concurrency) as pool:
            return list(pool.map(lambda one: self._answer(one, schema), conversations))

    def _answer(self, conversation: Conversation, schema: Mapping[str, Any] | None) -> str:
        payload: dict[str, Any] = {
            "model": self._settings.model,
            "messages": [{"role": m.role, "content": m.content} for m in conversation],
            "temperature": self._settings.temperature,
            "max_tokens": self._settings.max_new_tokens,
        }
        if schema is not None:
            payload["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": str(schema.get("title", "answer")), "schema": dict(schema)},
            }
        body = json.dumps(payload, sort_keys=True).encode()
        cached = self._cached(body)
        if cached is not None:
            with self._lock:
                self._usage.cached += 1
            return cached
        document = self._call(body)
        text = _content(document)
        used = document.get("usage") or {}
        with self._lock:
            self._usage.calls += 1
            self._usage.prompt_tokens += int(used.get("prompt_tokens") or 0)
            self._usage.completion_tokens += int(used.get("completion_tokens") or 0)
        self._store(body, text)
        return text

    def _call(self, body: bytes) -> dict[str, Any]:
        """One completion, retried on what may pass: rate limits, server errors, cut answers."""
        for attempt in range(self._settings.max_retries + 1):
            try:
                return self._request(body)
            except _Transient as error:
                if attempt == self._settings.max_retries:
                    raise LanguageModelError(
                        f"{self.name} failed {attempt + 1} times, last: {error}; raise "
                        "persona.language_model.max_retries or lower its concurrency"
                    ) from error
                wait = error.wait_s
                if wait is None:
                    wait = self._settings.backoff_s * 2**attempt * (1 + self._jitter.random() / 4)
                with self._lock:
                    self._usage.retries += 1
                time.sleep(min(wait, _LONGEST_WAIT_S))
        raise AssertionError("unreachable")

    def _request(self, body: bytes) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        key = self._settings.api_key.get_secret_value()
        if key:
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(self._url, data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=self._settings.timeout_s) as response:
                raw = response.read()
        except urllib.error.HTTPError as error:
            detail = error.read(300).decode("utf-8", "replace")
            if error.code in _RETRIED_STATUS:
                raise _Transient(f"HTTP {error.code}: {detail}", _retry_after(error)) from error
            raise LanguageModelError(f"{self.name} refused: HTTP {error.code}: {detail}") from error
        except (
            urllib.error.URLError,
            TimeoutError,
            ConnectionError,
            http.client.HTTPException,
        ) as error:
            raise _Transient(f"{type(error).__name__}: {error}") from error
        try:
            document = json.loads(raw)
        except ValueError as error:
            raise _Transient(f"the answer is no JSON ({len(raw)} bytes)") from error
        if not isinstance(document, dict) or not document.get("choices"):
            raise _Transient("the answer has no choices")
        return document

    def _path(self, body: bytes) -> Path | None:
        if self._cache is None:
            return None
        digest = hashlib.sha256(self._url.encode() + b"\n" + body).hexdigest()
        return self._cache / digest[:2] / f"{digest}.json"

    def _cached(self, body: bytes) -> str | None:
        path = self._path(body)
        if path is None or not path.exists():
            return None
        return str(json.loads(path.read_text(encoding="utf-8"))["text"])

    def _store(self, body: bytes, text: str) -> None:
        """Written beside and renamed: a killed process leaves no half answer."""
        path = self._path(body)
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"text": text}, file)
        Path(name).replace(path)


def _content(document: Mapping[str, Any]) -> str:
    message = document["choices"][0].get("message") or {}
    return str(message.get("content") or "")


def _retry_after(error: urllib.error.HTTPError) -> float | None:
    value = error.headers.get("Retry-After") if error.headers else None
    try:
        return float(value) if value else None
    except ValueError:
        return None  # a date: the usual back-off is close enough
