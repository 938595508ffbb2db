"""A real S3 server on loopback (moto's), one request at a time, that can be told to misbehave."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import Request, urlopen

import pytest

Environ = dict[str, Any]
Application = Callable[[Environ, Any], Iterable[bytes]]
Fault = Callable[[Environ, Any, Application], Iterable[bytes]]
BUCKET = "lake"


class S3Server:
    """Moto's S3 at `endpoint`. `requests` lists what came in; `fault` may answer instead.

    Real object storage replaces an object atomically; moto compares and stores in two steps. So
    requests wait for one another, but for those that `fault` holds back.
    """

    def __init__(self) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Quiet(WSGIRequestHandler):
            def log(self, *_: Any) -> None:
                pass

        self.application: Application = DomainDispatcherApplication(create_backend_app)
        self.lock = threading.Lock()
        self.fault: Fault | None = None
        self.requests: list[tuple[str, str]] = []
        self.server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=Quiet)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.endpoint = f"http://127.0.0.1:{self.server.port}"
        urlopen(Request(f"{self.endpoint}/{BUCKET}", method="PUT")).close()

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        self.requests.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        if self.fault is not None:
            return self.fault(environ, start_response, self.answer)
        return self.answer(environ, start_response)

    def answer(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """What a well-behaved server says."""
        with self.lock:
            return list(self.application(environ, start_response))

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def variables(self) -> dict[str, str]:
        """What AWS's tools read from the environment."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }


def unavailable(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """S3's answer under too much load."""
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("503 Slow Down", [("Content-Type", "application/xml")])
    return [b"<Error><Code>SlowDown</Code></Error>"]


@contextmanager
def serving() -> Iterator[S3Server]:
    """A server for a test session; AWS's variables point to it."""
    server = S3Server()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.variables().items():
            patch.setenv(name, value)
        yield server
    server.stop()
