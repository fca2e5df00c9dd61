"""Files from web servers: resumed where a connection broke, checked, whole or not at all."""

import contextlib
import dataclasses
import http.client
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request

import keras_staa
from keras_staa import files

CHUNK = 2**16
# Attempts in a row that bring nothing, and the seconds before the second of them; then twice as
# long each time.
ATTEMPTS, PAUSE = 4, 0.5
# Seconds that a server may be silent.
TIMEOUT = 30.0
# What a server says for a while only.
PASSING = {408, 425, 429, 500, 502, 503, 504}
LOCAL = {"localhost", "127.0.0.1", "::1"}


class NotFound(FileNotFoundError):
    """The server has no such file."""


class DamagedDownload(OSError):
    """What came is not what was expected."""


@dataclasses.dataclass(frozen=True)
class Expected:
    """What is known of a file before it comes: sha256 in hexadecimal, and sizes in bytes."""

    sha256: str | None = None
    bytes: int | None = None
    longest: int | None = None


def download(url, path, expected=Expected(), progress=None):  # noqa: B008  It is frozen.
    """Download a file.

    It is written under a temporary name, `path` with `.download` at its end, and renamed when it
    is whole. What a broken connection or a killed process left there is continued, if the server
    says that the file is still the same.

    Args:
        url: of the file, `https://`. Without encryption (`http://`) it is taken from this computer,
            or with a sha256 to check it by.
        path: `pathlib.Path` to write to. A file that is there is replaced.
        expected: an `Expected`. Its `longest` ends a download that would fill the disk.
        progress: None or a function of the bytes so far and the bytes in all (or None).

    Returns:
        `path`.

    Raises:
        NotFound: if the server has no such file (404 and 410).
        DamagedDownload: if what came is too long, too short or of another sha256. None of it is
            kept.
        OSError: if the server cannot be reached, refuses, or breaks off again and again; what came
            is kept, and the next call continues.
    """
    _check_encrypted(url, expected.sha256)
    part = path.with_name(path.name + ".download")
    try:
        _receive_all(url, part, expected, progress)
        _check(url, part, expected)
        os.replace(part, path)
    except DamagedDownload:
        part.unlink(missing_ok=True)
        _about(part).unlink(missing_ok=True)
        raise
    _about(part).unlink(missing_ok=True)
    return path


def _receive_all(url, part, expected, progress):
    """Receive a file, with further attempts as long as they bring more of it."""
    failures = furthest = 0
    while True:
        try:
            return _receive(url, part, expected, progress)
        except (OSError, http.client.HTTPException) as error:
            if not _passes(error):
                raise
            failures = 1 if _size(part) > furthest else failures + 1
            furthest = max(furthest, _size(part))
            if failures == ATTEMPTS:
                kept = f" {_size(part)} bytes are kept, and the next try continues there."
                raise OSError(
                    f"{url} could not be downloaded: {_reason(error)}.{kept if _size(part) else ''}"
                ) from error
            time.sleep(PAUSE * 2 ** (failures - 1))


def _receive(url, part, expected, progress):
    """Append to a partial file what is missing of it."""
    have, mark = _left(part, url)
    headers = {"User-Agent": f"keras-staa/{keras_staa.__version__}", "Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": mark}
    try:
        response = _open(urllib.request.Request(url, headers=headers))
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (404, 410):
            raise NotFound(f"{url} is not there: the server says {error.code}.") from error
        if error.code == 416 and have:
            # It has become shorter than what we have of it: begin anew.
            part.unlink()
            raise ConnectionError("the file on the server has changed") from error
        if error.code not in PASSING:
            raise _Refused(f"{url} could not be downloaded: the server says {error}.") from error
        raise
    with response:
        continued = response.status == 206 and _begins(response) == have
        if response.status not in (200, 206) or (response.status == 206 and not continued):
            part.unlink(missing_ok=True)
            raise ConnectionError(f"the server sent another part of the file ({response.status})")
        have = have if continued else 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length and length.isdigit() else None
        _check_length(url, total, expected)
        mark = response.headers.get("ETag") or response.headers.get("Last-Modified")
        if not continued:
            part.unlink(missing_ok=True)
            files.write(_about(part), json.dumps({"url": url, "mark": mark}).encode())
        with open(part, "ab", buffering=0) as file:
            while chunk := response.read1(CHUNK):
                file.write(chunk)
                have += len(chunk)
                _check_length(url, have if have > (total or 0) else None, expected)
                if progress is not None:
                    progress(have, total)
            file.flush()
            os.fsync(file.fileno())
    if total is not None and have < total:
        raise ConnectionError(f"the connection broke after {have} of {total} bytes")


class _Refused(OSError):
    """Trying again would not help."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections, but none that leaves the encryption."""

    def redirect_request(self, request, fp, code, msg, headers, newurl):
        if request.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise _Refused(f"{request.full_url} leads to {newurl}, which is not encrypted.")
        return super().redirect_request(request, fp, code, msg, headers, newurl)


def _open(request):
    return urllib.request.build_opener(_Redirects).open(request, timeout=TIMEOUT)


def _check_encrypted(url, sha256):
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"`url` must begin with https:// and name a server. Received: {url!r}")
    if parts.scheme == "http" and sha256 is None and parts.hostname not in LOCAL:
        raise ValueError(
            "`url` must begin with https://, or end in #sha256= and the sha256 of the file: what "
            f"comes without encryption could have been changed on its way. Received: {url!r}"
        )


def _check_length(url, length, expected):
    """Refuse a file that is known to be of another length than expected, or too long."""
    if length is None:
        return
    if expected.bytes is not None and length != expected.bytes:
        raise DamagedDownload(f"{url} must have {expected.bytes} bytes, but has {length} or more.")
    if expected.longest is not None and length > expected.longest:
        raise DamagedDownload(f"{url} must have at most {expected.longest} bytes, but has more.")


def _check(url, part, expected):
    size = _size(part)
    if expected.bytes is not None and size != expected.bytes:
        raise DamagedDownload(f"{url} must have {expected.bytes} bytes, but has {size}.")
    if expected.sha256 is not None:
        found = files.sha256(part)
        if found != expected.sha256.lower():
            raise DamagedDownload(
                f"{url} must have the sha256 {expected.sha256}, but has {found}. It was not kept."
            )


def _left(part, url):
    """Return how much of the file an earlier try left, and what the server calls that version."""
    with contextlib.suppress(OSError, ValueError):
        about = json.loads(_about(part).read_text("utf-8"))
        mark = about["mark"] if about["url"] == url else None
        # A weak ETag does not tell versions apart byte by byte.
        if mark and not mark.startswith("W/") and _size(part):
            return _size(part), mark
    part.unlink(missing_ok=True)
    return 0, None


def _about(part):
    return part.with_name(part.name + ".json")


def _begins(response):
    """Return at which byte a part of a file begins."""
    found = response.headers.get("Content-Range", "")
    start = found.removeprefix("bytes ").split("-")[0]
    return int(start) if start.isdigit() else None


def _size(path):
    return path.stat().st_size if path.is_file() else 0


def _passes(error):
    """Whether another try may do better: a full disk stays full."""
    network = (ConnectionError, TimeoutError, urllib.error.URLError, http.client.HTTPException)
    return isinstance(error, network)


def _reason(error):
    if isinstance(error, urllib.error.URLError) and not isinstance(error, urllib.error.HTTPError):
        error = error.reason
    return str(error) or type(error).__name__
