"""A real HTTP server on loopback that misbehaves in every way that image hosts do."""

from __future__ import annotations

import gzip
import io
import socket
import struct
import threading
import time
import zlib
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image


def picture(color: str = "red", side: int = 64, format: str = "PNG") -> bytes:
    image = Image.new("RGB", (side, side), "white")
    image.paste(color, (0, 0, side // 2, side))
    out = io.BytesIO()
    image.save(out, format)
    return out.getvalue()


def animation() -> bytes:
    out = io.BytesIO()
    frames = [Image.new("P", (8, 8), n) for n in range(3)]
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    return out.getvalue()


def bomb(side: int = 50_000) -> bytes:
    """A PNG of some kilobytes that claims, and would decode to, 2.5 billion pixels."""
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(4_000_000), 9)

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


ZIPPED = gzip.compress(b"\xff\xd8\xff" + bytes(5_000_000))
PAGE = b"<!DOCTYPE html><html><body>This image was removed</body></html>"


class RudeServer(ThreadingHTTPServer):
    """Counts its requests by path, and the most `slowish` ones that were in work at once."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Rude)
        self.requests: Counter[str] = Counter()
        self.headers_seen: list[dict[str, str]] = []
        self.in_work = self.most_in_work = 0
        self.guard = threading.Lock()
        self.moments: list[tuple[str, float]] = []
        self.closing, self.recovered = threading.Event(), threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are what the tests are about."""

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def stop(self) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()


class Rude(BaseHTTPRequestHandler):
    """Does what the first part of the path says."""

    server: RudeServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        server, path = self.server, self.path.split("?")[0]
        with server.guard:
            server.requests[path] += 1
            server.headers_seen.append(dict(self.headers))
            server.moments.append((path, time.monotonic()))
            turn = server.requests[path]
        getattr(self, "on_" + path.strip("/").split("/")[0].split(".")[0])(turn)

    def answer(
        self, body: bytes, status: int = 200, length: int | None = None, **headers: str
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if length != -1:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        else:
            self.close_connection = True
        self.end_headers()
        self.wfile.write(body)

    def on_good(self, turn: int) -> None:
        name = self.path.rsplit("/", 1)[-1].split(".")[0]
        self.answer(picture(name if name in ("red", "blue", "green") else "red"))

    def on_slowish(self, turn: int) -> None:
        server = self.server
        with server.guard:
            server.in_work += 1
            server.most_in_work = max(server.most_in_work, server.in_work)
        time.sleep(0.05)
        with server.guard:
            server.in_work -= 1
        self.answer(picture())

    def on_jpeg(self, turn: int) -> None:
        self.answer(picture(format="JPEG"), Content_Type="image/png")

    def on_missing(self, turn: int) -> None:
        self.answer(PAGE, 404)

    def on_removed(self, turn: int) -> None:
        self.answer(picture())

    def on_gone(self, turn: int) -> None:
        self.answer(b"", 302, Location="/removed.png")

    def on_flaky(self, turn: int) -> None:
        self.answer(PAGE, 500) if turn < 3 else self.answer(picture())

    def on_broken(self, turn: int) -> None:
        self.answer(PAGE, 503)

    def on_recovers(self, turn: int) -> None:
        self.answer(picture("green")) if self.server.recovered.is_set() else self.on_broken(turn)

    def on_forbidden(self, turn: int) -> None:
        self.answer(PAGE, 403)

    def on_busy(self, turn: int) -> None:
        self.answer(b"", 429, Retry_After="1") if turn == 1 else self.answer(picture())

    def on_tomorrow(self, turn: int) -> None:
        self.answer(b"", 429, Retry_After="Wed, 21 Oct 2199 07:28:00 GMT")

    def on_drip(self, turn: int) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        while not self.server.closing.wait(0.05):
            self.wfile.write(b"\xff")

    def on_silent(self, turn: int) -> None:
        self.server.closing.wait(20)

    def on_loop(self, turn: int) -> None:
        self.answer(b"", 302, Location=self.path)

    def on_to(self, turn: int) -> None:
        self.answer(b"", 302, Location=self.path.split("to/", 1)[1])

    def on_nowhere(self, turn: int) -> None:
        self.answer(b"", 302)

    def on_fat(self, turn: int) -> None:
        self.answer(b"\x89PNG" + b"x" * 300_000)

    def on_fatter(self, turn: int) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        block = b"\xff\xd8\xff" + bytes(65_533)
        while True:  # without an end: the client has to hang up
            self.wfile.write(b"10000\r\n" + block + b"\r\n")

    def on_cut(self, turn: int) -> None:
        data = picture()
        self.close_connection = True
        self.answer(data[: len(data) // 2], length=len(data))

    def on_page(self, turn: int) -> None:
        self.answer(PAGE, Content_Type="image/png")

    def on_bomb(self, turn: int) -> None:
        self.answer(bomb(), Content_Type="image/png")

    def on_half(self, turn: int) -> None:
        data = picture(side=256, format="JPEG")
        self.answer(data[: len(data) // 2])

    def on_moving(self, turn: int) -> None:
        self.answer(animation(), Content_Type="image/png")

    def on_reset(self, turn: int) -> None:
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        self.connection.close()
        self.wfile = io.BytesIO()

    def on_zipped(self, turn: int) -> None:
        self.answer(gzip.compress(picture()), Content_Encoding="gzip")

    def on_zipbomb(self, turn: int) -> None:
        self.answer(ZIPPED, Content_Encoding="gzip")

    def on_brotli(self, turn: int) -> None:
        self.answer(b"what", Content_Encoding="br")

    def on_empty(self, turn: int) -> None:
        self.answer(b"")

    def on_noise(self, turn: int) -> None:
        self.answer(bytes(range(256)) * 4, Content_Type="image/jpeg")

    def on_garbage(self, turn: int) -> None:
        self.close_connection = True
        self.wfile.write(b"I am no HTTP server\r\n\r\n")
