# ruff: noqa: INP001 - a program by itself
"""A small web server: says hello, answers health checks, and starts anew when its own code changes."""

from __future__ import annotations

import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CODE = Path(__file__)


class Hello(BaseHTTPRequestHandler):
    """Two pages: / and /healthz."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer a request."""
        pages = {"/": f"hello from {os.environ.get('HOSTNAME', 'here')}\n", "/healthz": "ok\n"}
        text = pages.get(self.path)
        body = (text or "not found\n").encode()
        self.send_response(200 if text else 404)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def restart_on_change(every: float = 0.5) -> None:
    """Replace this process when the file it was started from changes: what makes a live update live."""
    started = CODE.stat().st_mtime_ns
    while CODE.stat().st_mtime_ns == started:
        time.sleep(every)
    os.execv(sys.executable, [sys.executable, *sys.argv])  # noqa: S606 - this same program


def main() -> None:
    """Serve on PORT (8000) until stopped."""
    server = ThreadingHTTPServer(("", int(os.environ.get("PORT", "8000"))), Hello)
    threading.Thread(target=restart_on_change, daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    main()
