"""A small file server that can be told to misbehave in every way a download must survive."""

import re
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Behaviour:
    """What the server does; changed between requests by the tests.

    `cuts` holds, for each of the next requests, after how many bytes of its body the connection
    breaks; `asked` collects the Range and If-Range of every request.
    """

    content: bytes
    etag: str | None = '"one"'
    status: int = 200
    ranges: bool = True
    length: bool = True
    wrong_part: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    asked: list[tuple[str | None, str | None]] = field(default_factory=list)


class FileServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, content):
        self.behaviour = Behaviour(content)
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/weights.pt"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        how = self.server.behaviour
        wanted, condition = self.headers["Range"], self.headers["If-Range"]
        how.asked.append((wanted, condition))
        if self.path == "/moved.pt":
            self.send_response(302)
            self.send_header("Location", "/weights.pt")
            self.end_headers()
            return
        start, status = 0, how.status
        if wanted and how.ranges and condition == how.etag:
            start, status = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]), 206
            if start >= len(how.content):
                start, status = len(how.content), 416
            elif how.wrong_part:
                start -= 1
        body = how.content[start:]
        self.send_response(status)
        if how.etag:
            self.send_header("ETag", how.etag)
        if how.length:
            self.send_header("Content-Length", str(len(body)))
        if status == 206:
            last, whole = len(how.content) - 1, len(how.content)
            self.send_header("Content-Range", f"bytes {start}-{last}/{whole}")
        for name, value in how.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: how.cuts.pop(0)] if how.cuts else body)
        self.close_connection = True

    def log_message(self, *_):
        """Quiet."""
