"""A twin of the application and of the lab's products, weak on purpose: an attack that misses it proves nothing.

Never deployed, never built into an image: security/control starts it in a network without a way out, and removes it. What looks
like a command being run or a file being read is a text: nothing of a request is executed.

    python3 twin.py [ADDRESS [PORT...]]     the ports in the order of PARTS
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

#: What listens where. Nobody promised `debug`.
PARTS = {"website": 8080, "api": 5000, "gitlab": 8001, "jenkins": 8002, "registry": 8003, "pull": 8004, "debug": 2375}
STUDENTS = {"alice": "12", "bob": "13", "<script>alert(4711)</script>": "<b>13</b>", "<img src=x onerror=alert(4711)>": "9801547"}
CONSOLE = "<title>Werkzeug debugger</title><h1>Interactive Console</h1><script>var EVALEX = true</script>"
TRACEBACK = 'Traceback (most recent call last):\n  File "/app/app.py", line 1, in <module>\nValueError: malformed\n'
PRODUCTS = {
    "gitlab": "001e# service=git-upload-pack\n00000000 refs/heads/main\n<form id=new_new_user>\n",
    "jenkins": json.dumps({"_class": "hudson.model.Hudson", "jobs": [{"name": "student_list"}]}),
    "registry": json.dumps({"repositories": ["student_list/simple_api"]}),
    "pull": json.dumps({"repositories": ["student_list/simple_api"]}),
    "debug": json.dumps({"ApiVersion": "1.41"}),
}
PROJECT_FILES = re.compile(
    r"/(\.git/config|\.env|dockerfile|docker-compose\.yml|(data/)?student_age\.json|server-status|phpinfo\.php|metrics)$",
    re.IGNORECASE,
)


class Weak(BaseHTTPRequestHandler):
    """Answers whatever is asked, to whoever asks."""

    part = ""

    def __getattr__(self, name: str) -> object:
        """Every verb is as good as any other."""
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def answer(self) -> None:
        """One answer."""
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode(errors="replace")
        if self.part in PRODUCTS:
            self.say(200, PRODUCTS[self.part])
        elif "boundary=" in self.headers.get("Content-Type", ""):
            self.say(500, TRACEBACK)
        elif "/console" in self.path or "__debugger__" in self.path:
            self.say(200, CONSOLE)
        elif PROJECT_FILES.search(self.path):
            self.say(200, "SECRET=1\n")
        elif "etc/passwd" in unquote(self.path):
            self.say(200, "root:x:0:0:root:/root:/bin/bash\n")
        elif self.part == "api":
            self.api()
        else:
            self.website(body)

    def api(self) -> None:
        """The students, to everybody."""
        path = unquote(self.path)
        if "pozos" in path.lower() or path == "/status":
            self.say(200, json.dumps({"student_ages": STUDENTS}))
        else:
            self.say(404, f"no {path} here")

    def website(self, body: str) -> None:
        """One page with everything that came, as it came."""
        address = urlsplit(self.path)
        fields = dict(parse_qsl(address.query) + parse_qsl(body))
        came = [unquote(address.path), *fields.values(), self.headers.get("User-Agent", ""), self.headers.get("Referer", "")]
        page = [
            "<html><body><form action='/' method='post'><input name='name'><input type='submit' name='submit' value='List'>",
            "</form>",
            *(f"<p>{text}</p>" for text in came),
            *(f"<p>{int(a) * int(b)}</p>" for text in came for a, b in re.findall(r"(\d{1,6})\*(\d{1,6})", text)),
            *("<p>uid=0(root) gid=0(root)</p>" for text in came if "id" in text and "$(" in text),
            *("<p>You have an error in your SQL syntax</p>" for text in came if "'" in text),
            *(f"- {name} is {age} years old" for name, age in STUDENTS.items() if fields.get("submit") == "List"),
        ]
        injected = "\r\n" in unquote(self.path)
        self.say(200 if address.path == "/" else 404, "\n".join(page) + "</body></html>", injected=injected)

    def say(self, status: int, text: str, *, injected: bool = False) -> None:
        """A careless answer: banners, a cookie, whoever may read it."""
        body = text.encode()
        self.send_response(status)
        self.send_header("X-Powered-By", "hope")
        self.send_header("Content-Security-Policy", "script-src 'unsafe-inline'")
        if self.command == "POST":
            self.send_header("Location", "/v2/student_list/website/blobs/uploads/1")
        self.send_header("Set-Cookie", "id=1")
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        if injected:
            self.send_header("X-Injected", "yes")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the library
        """Quiet."""


class Server(ThreadingHTTPServer):
    """Speaks plain HTTP, and TLS as it was in 1999, on the same port."""

    def finish_request(self, request: Any, client_address: Any) -> None:
        """By its first byte, a connection is TLS or it is not."""
        request.settimeout(30)
        if request.recv(1, socket.MSG_PEEK) != b"\x16":
            super().finish_request(request, client_address)
            return
        with old_tls().wrap_socket(request, server_side=True) as encrypted:
            super().finish_request(encrypted, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Scanners hang up in the middle."""


def old_tls() -> ssl.SSLContext:
    """TLS 1.0 without a certificate: nobody knows whom he speaks to."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("aNULL:@SECLEVEL=0")
    context.options &= ~(ssl.OP_NO_TLSv1 | ssl.OP_NO_TLSv1_1)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
    return context


def main() -> None:
    """Listens until it is ended."""
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"
    ports = [int(port) for port in sys.argv[2:]] or list(PARTS.values())
    servers = [Server((address, port), type(part, (Weak,), {"part": part})) for part, port in zip(PARTS, ports, strict=True)]
    for server in servers[1:]:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"{Path(__file__).name}: weak on purpose, on {address}", flush=True)
    servers[0].serve_forever()


if __name__ == "__main__":
    main()
