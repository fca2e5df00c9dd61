"""Downloads from a server that cuts, lies, redirects, refuses and stalls."""

import hashlib
import os
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

from keras_staa import downloads
from keras_staa.downloads import DamagedDownload, Expected, NotFound, download
from tests.zoo import server as faults

pytestmark = pytest.mark.once
CONTENT = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(CONTENT).hexdigest()
WHOLE = Expected(SHA256, len(CONTENT))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(downloads, "PAUSE", 0.01)


@pytest.fixture
def server():
    with faults.running() as found:
        found.files["/file"] = CONTENT
        yield found


def get(server, tmp_path, expected=WHOLE, path="/file"):
    return download(server.url + path, tmp_path / "file", expected)


def left(tmp_path):
    return sorted(path.name for path in tmp_path.iterdir())


def test_a_file_comes_whole_with_progress(server, tmp_path):
    seen = []
    path = download(server.url + "/file", tmp_path / "file", WHOLE, lambda *n: seen.append(n))
    assert path.read_bytes() == CONTENT and left(tmp_path) == ["file"]
    assert seen[-1] == (len(CONTENT), len(CONTENT)) and seen == sorted(seen)


def test_what_breaks_off_is_continued(server, tmp_path):
    server.faults["/file"] = [faults.cut(1000), faults.cut(5000), faults.says(503)]
    assert get(server, tmp_path).read_bytes() == CONTENT
    # The first byte that each request asked for.
    assert [start for _, start in server.requests] == [0, 1000, 5000, 5000]


def test_without_a_version_it_is_begun_anew(server, tmp_path):
    server.etags = False
    server.faults["/file"] = [faults.cut(1000)]
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert [start for _, start in server.requests] == [0, 0]


def test_a_file_that_changed_in_between_is_begun_anew(server, tmp_path):
    old = bytes(len(CONTENT))
    server.faults["/file"] = [lambda handler, content: handler.answer(old, old[:1000])]
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert [start for _, start in server.requests] == [0, 1000]


def test_a_file_that_became_shorter_is_begun_anew(server, tmp_path):
    server.faults["/file"] = [faults.cut(1000), faults.says(416)]
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert [start for _, start in server.requests] == [0, 1000, 0]


def test_another_part_than_asked_for_is_not_taken(server, tmp_path):
    server.faults["/file"] = [faults.another_part]
    assert get(server, tmp_path).read_bytes() == CONTENT


def test_a_silent_server_is_asked_again(server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "TIMEOUT", 0.3)
    server.faults["/file"] = [faults.stalls(70000, 5)]
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert [start for _, start in server.requests] == [0, 70000]


def test_redirections_are_followed(server, tmp_path):
    server.faults["/old"] = [faults.leads_to("/file")]
    assert get(server, tmp_path, path="/old").read_bytes() == CONTENT


def test_redirections_in_a_circle_end(server, tmp_path):
    server.faults["/old"] = [faults.leads_to("/old")] * 100
    with pytest.raises(OSError, match="infinite loop|could not be downloaded"):
        get(server, tmp_path, path="/old")


def test_a_redirection_does_not_leave_the_encryption():
    request = urllib.request.Request("https://example.org/a")
    with pytest.raises(OSError, match="not encrypted"):
        downloads._Redirects().redirect_request(
            request, None, 302, "Found", {}, "http://example.org/a"
        )


@pytest.mark.parametrize("status", [404, 410])
def test_a_file_that_is_not_there(server, tmp_path, status):
    server.faults["/file"] = [faults.says(status)]
    with pytest.raises(NotFound, match=f"/file is not there: the server says {status}"):
        get(server, tmp_path)
    assert len(server.requests) == 1 and not left(tmp_path)


def test_what_is_refused_is_not_asked_for_again(server, tmp_path):
    server.faults["/file"] = [faults.says(403)]
    with pytest.raises(OSError, match="the server says .*403"):
        get(server, tmp_path)
    assert len(server.requests) == 1


def test_a_server_that_always_fails(server, tmp_path):
    server.faults["/file"] = [faults.cut(1000)] + [faults.says(500)] * 10
    with pytest.raises(OSError, match=r"500.*1000 bytes are kept, and the next try continues"):
        get(server, tmp_path)
    assert len(server.requests) == downloads.ATTEMPTS
    assert "file" not in left(tmp_path)
    server.faults.clear()
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.requests[-1] == ("/file", 1000)


def test_no_server(tmp_path):
    with faults.running() as gone:
        pass
    with pytest.raises(OSError, match="could not be downloaded: .*refused"):
        get(gone, tmp_path)


@pytest.mark.parametrize("expected", [Expected(SHA256), WHOLE])
def test_other_bytes_are_refused_and_not_kept(server, tmp_path, expected):
    server.faults["/file"] = [faults.lies(bytes(len(CONTENT)))]
    (tmp_path / "file").write_bytes(b"before")
    with pytest.raises(DamagedDownload, match=f"must have the sha256 {SHA256}, but has"):
        get(server, tmp_path, expected)
    assert left(tmp_path) == ["file"] and (tmp_path / "file").read_bytes() == b"before"


@pytest.mark.parametrize(
    "expected", [Expected(bytes=1000), Expected(longest=1000), Expected(bytes=2**21)]
)
def test_a_file_of_another_length_is_refused_at_once(server, tmp_path, expected):
    with pytest.raises(DamagedDownload, match="bytes"):
        get(server, tmp_path, expected)
    assert not left(tmp_path) and len(server.requests) == 1


@pytest.mark.parametrize("expected", [Expected(bytes=10**5), Expected(longest=10**5)])
def test_a_server_that_never_ends(server, tmp_path, expected):
    server.faults["/file"] = [faults.endless]
    with pytest.raises(DamagedDownload, match="100000 bytes"):
        get(server, tmp_path, expected)
    assert not left(tmp_path)


def test_a_server_that_promises_more_than_it_has(server, tmp_path):
    server.faults["/file"] = [
        lambda handler, content: handler.answer(content, length=len(content) + 9)
    ] * 9
    with pytest.raises(OSError, match="the connection broke after|has changed"):
        get(server, tmp_path, Expected())


@pytest.mark.parametrize(
    "url", ["http://example.org/a", "ftp://example.org/a", "https:///a", "file:///etc/passwd"]
)
def test_addresses_that_are_refused(tmp_path, url):
    with pytest.raises(ValueError, match="`url` must begin with https://"):
        download(url, tmp_path / "file")


def test_a_killed_download_is_continued(server, tmp_path):
    server.faults["/file"] = [faults.stalls(400_000)]
    code = (
        "import pathlib, sys; from keras_staa.downloads import download; "
        "download(sys.argv[1], pathlib.Path(sys.argv[2]))"
    )
    arguments = [sys.executable, "-c", code, server.url + "/file", str(tmp_path / "file")]
    process = subprocess.Popen(arguments)
    part = tmp_path / "file.download"
    while not (part.is_file() and part.stat().st_size == 400_000):
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert "file" not in left(tmp_path)
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.requests[-1][1] == 400_000 and left(tmp_path) == ["file"]
