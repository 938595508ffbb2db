"""An OpenAI-compatible chat endpoint on loopback. No tests here.

It reads nothing but the messages of a request, as any server, and answers with the word lists of the
lexical model: personas from the evidence lines, rewrites from the tastes in the roleplay.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from zipp_dagster.persona.bundles import EvidenceBundle, Snippet
from zipp_dagster.persona.lexical_persona import PersonaTask, build_persona
from zipp_dagster.persona.lexical_rewriting import RewriteTask, rewrite
from zipp_dagster.persona.schema import Persona, Preference

_TASTE = re.compile(
    r"^- (?P<context>.+?): (?P<polarity>like|dislike) (?P<phrase>.+) \((?P<facet>\w+)\)$"
)
_ASKED = re.compile(r"^Prompt: (.*)$", re.MULTILINE)


class ChatServer(ThreadingHTTPServer):
    """`url` goes into `persona.language_model.base_url`; `asked` counts requests by schema title."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: dict[str, int] = {}
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: ChatServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        title = body["response_format"]["json_schema"]["name"]
        with self.server.lock:
            self.server.asked[title] = self.server.asked.get(title, 0) + 1
        text = "\n".join(message["content"] for message in body["messages"])
        answer = _persona(text) if title == "Persona" else _prompt(text)
        data = json.dumps(
            {
                "id": "chat-1",
                "object": "chat.completion",
                "created": 0,
                "model": body["model"],
                "choices": [
                    {
                        "index": 0,
                        "finish_reason": "stop",
                        "message": {"role": "assistant", "content": answer},
                    }
                ],
                "usage": {
                    "prompt_tokens": len(text.split()),
                    "completion_tokens": len(answer.split()),
                    "total_tokens": len(text.split()) + len(answer.split()),
                },
            }
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        pass


def _persona(text: str) -> str:
    lines = [json.loads(line) for line in text.splitlines() if line.startswith('{"id"')]
    communities = tuple((line["community"], line["share"]) for line in lines if "share" in line)
    snippets = tuple(
        Snippet(line["id"], line["community"], line["text"]) for line in lines if "text" in line
    )
    return build_persona(PersonaTask(EvidenceBundle(0, communities, snippets, 0))).to_json()


def _prompt(text: str) -> str:
    tastes = [
        Preference(**found.groupdict()) for found in map(_TASTE.match, text.splitlines()) if found
    ]
    persona = Persona(summary="", preferences=tuple(tastes)) if tastes else None
    task = RewriteTask(_ASKED.findall(text)[-1], persona, (), style_phrases=4)
    return json.dumps({"prompt": rewrite(task)})


@contextmanager
def chat_server() -> Iterator[ChatServer]:
    """A running server, stopped at the end."""
    with ChatServer() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
