"""A web server on this computer that has faults."""

import contextlib
import hashlib
import http.server
import threading
import time


class Server(http.server.ThreadingHTTPServer):
    """Serves `files` (path: bytes) with ETags and ranges, and keeps `requests` (path, first byte).

    `faults` holds for a path a list of functions of the handler and the content, one of which
    answers a request and is used up. None answers as it should.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.faults, self.requests = {}, {}, []
        self.etags = True
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        """A client that went away is no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_HEAD(self):
        """The Hub is asked by it for the size of a file."""
        self.do_GET()

    def do_GET(self):
        path = self.path.split("?")[0]
        start = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0]
        self.server.requests.append((path, int(start)))
        faults = self.server.faults.get(path, [])
        fault = faults.pop(0) if faults else None
        content = self.server.files.get(path)
        if fault is not None:
            return fault(self, content)
        if content is None:
            return self.send_error(404)
        self.answer(content)

    def answer(self, content, send=None, length=None, etag=None):
        """Answer as a server should, or send other bytes or another length than it says."""
        etag = etag or '"' + hashlib.sha256(content).hexdigest() + '"'
        start = 0
        if self.headers.get("Range") and self.headers.get("If-Range") == etag:
            start = int(self.headers["Range"].removeprefix("bytes=").split("-")[0])
        if start >= len(content) > 0:
            return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if self.server.etags:
            self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(content) - start if length is None else length))
        if len(parts := self.path.split("/resolve/")) == 2:
            self.send_header("X-Repo-Commit", parts[1].split("/")[0])
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write((content if send is None else send)[start:])


@contextlib.contextmanager
def running():
    """A server that runs in a thread."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def cut(count):
    """Break off after so many bytes of the whole file."""
    return lambda handler, content: handler.answer(content, content[:count])


def says(status):
    return lambda handler, content: handler.send_error(status)


def leads_to(path):
    def redirect(handler, content):
        handler.send_response(302)
        handler.send_header("Location", path)
        handler.end_headers()

    return redirect


def stalls(count, seconds=60):
    """Send so many bytes and then nothing, with the connection open."""

    def stall(handler, content):
        handler.answer(content, content[:count])
        handler.wfile.flush()
        time.sleep(seconds)

    return stall


def lies(wrong):
    """Send other bytes of the same length."""
    return lambda handler, content: handler.answer(content, wrong)


def endless(handler, content):
    """Send more and more, and do not say how much."""
    handler.send_response(200)
    handler.end_headers()
    with contextlib.suppress(OSError):
        while True:
            handler.wfile.write(bytes(2**16))


def another_part(handler, content):
    """Send another part of the file than was asked for."""
    handler.send_response(206)
    handler.send_header("Content-Range", f"bytes 1-{len(content) - 1}/{len(content)}")
    handler.end_headers()
    handler.wfile.write(content[1:])
