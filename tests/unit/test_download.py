import hashlib
import random
import socket

import pytest

from export.checkpoints.download import ATTEMPTS, fetch
from export.errors import DownloadFailed, WeightsRefused

CONTENT = random.Random(0).randbytes(102_400)  # joined at a wrong place, it shows
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def left(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("length", [True, False], ids=["length announced", "length not announced"])
def test_a_file_arrives_whole(serve, tmp_path, length):
    """A download ends in exactly the file, its size and its digest, and leaves nothing else."""
    server = serve(CONTENT)
    server.behaviour.length = length
    assert fetch(server.url, tmp_path / "new" / "w.pt") == (102_400, DIGEST)
    assert (tmp_path / "new" / "w.pt").read_bytes() == CONTENT
    assert left(tmp_path / "new") == ["w.pt"]


def test_a_redirect_is_followed(serve, tmp_path):
    """GitHub answers release downloads with a redirect."""
    server = serve(CONTENT)
    fetch(server.url.replace("weights", "moved"), tmp_path / "w.pt", sha256=DIGEST)
    assert (tmp_path / "w.pt").read_bytes() == CONTENT


def test_a_broken_connection_goes_on_where_it_stopped(serve, tmp_path):
    """Only the bytes that are missing are asked for, on condition that the file is the same."""
    server = serve(CONTENT)
    server.behaviour.cuts = [40_000, 1_000]
    fetch(server.url, tmp_path / "w.pt", sha256=DIGEST)
    assert server.behaviour.asked == [
        (None, None),
        ("bytes=40000-", '"one"'),
        ("bytes=41000-", '"one"'),
    ]
    assert (tmp_path / "w.pt").read_bytes() == CONTENT


def test_what_arrived_is_kept_for_the_next_run(serve, tmp_path):
    """A server that keeps breaking off fails the run, and the next run goes on from there."""
    server = serve(CONTENT)
    server.behaviour.cuts = [10_000] * ATTEMPTS
    with pytest.raises(DownloadFailed) as failure:
        fetch(server.url, tmp_path / "w.pt")
    assert failure.value.detail["kept"] == 10_000 * ATTEMPTS
    assert left(tmp_path) == ["w.pt.part", "w.pt.part.etag"]
    assert fetch(server.url, tmp_path / "w.pt") == (102_400, DIGEST)
    assert server.behaviour.asked[-1] == (f"bytes={10_000 * ATTEMPTS}-", '"one"')
    assert left(tmp_path) == ["w.pt"]


def broken_off(server, folder):
    """Leave a part of an earlier run behind."""
    server.behaviour.cuts = [10_000] * ATTEMPTS
    with pytest.raises(DownloadFailed):
        fetch(server.url, folder / "w.pt")
    server.behaviour.asked.clear()


def test_a_server_that_ignores_ranges_starts_over(serve, tmp_path):
    """A whole file in answer to a range replaces the part instead of being put behind it."""
    server = serve(CONTENT)
    broken_off(server, tmp_path)
    server.behaviour.ranges = False
    assert fetch(server.url, tmp_path / "w.pt") == (102_400, DIGEST)


def test_a_file_that_changed_in_between_starts_over(serve, tmp_path):
    """Parts of two versions are never joined."""
    server = serve(CONTENT)
    broken_off(server, tmp_path)
    server.behaviour.content, server.behaviour.etag = CONTENT[::-1], '"two"'
    fetch(server.url, tmp_path / "w.pt")
    assert (tmp_path / "w.pt").read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("etag", ['W/"one"', None], ids=["weak tag", "no tag"])
def test_without_a_strong_tag_nothing_is_resumed(serve, tmp_path, etag):
    """Without a promise that the bytes are the same, the next request asks for all of them."""
    server = serve(CONTENT)
    server.behaviour.etag = etag
    server.behaviour.cuts = [40_000]
    assert fetch(server.url, tmp_path / "w.pt") == (102_400, DIGEST)
    assert server.behaviour.asked == [(None, None), (None, None)]


def test_a_part_that_is_too_long_starts_over(serve, tmp_path):
    """416 Range Not Satisfiable: the part is no part of this file."""
    server = serve(CONTENT)
    (tmp_path / "w.pt.part").write_bytes(CONTENT + b"more")
    (tmp_path / "w.pt.part.etag").write_text('"one"')
    assert fetch(server.url, tmp_path / "w.pt") == (102_400, DIGEST)
    assert server.behaviour.asked == [("bytes=102404-", '"one"'), (None, None)]


def test_another_part_than_was_asked_for_starts_over(serve, tmp_path):
    """A range that begins elsewhere is not put behind the part."""
    server = serve(CONTENT)
    broken_off(server, tmp_path)
    server.behaviour.wrong_part = True
    assert fetch(server.url, tmp_path / "w.pt") == (102_400, DIGEST)


def test_a_wrong_digest_is_refused_and_deleted(serve, tmp_path):
    """A whole file with another digest never gets its name, and is not gone on with."""
    server = serve(CONTENT)
    with pytest.raises(WeightsRefused, match=DIGEST) as refusal:
        fetch(server.url, tmp_path / "w.pt", sha256="0" * 64)
    assert refusal.value.code == "wrong_digest"
    assert left(tmp_path) == []


@pytest.mark.parametrize("length", [True, False], ids=["announced", "not announced"])
@pytest.mark.parametrize("size", [102_399, 102_401], ids=["one too long", "one too short"])
def test_a_wrong_size_never_gets_its_name(serve, tmp_path, size, length):
    """A file of another size than the known one is not taken, announced or not."""
    server = serve(CONTENT)
    server.behaviour.length = length
    short = not length and size == 102_401  # indistinguishable from a broken connection
    with pytest.raises(DownloadFailed if short else WeightsRefused):
        fetch(server.url, tmp_path / "w.pt", size=size, sha256=DIGEST)
    assert not (tmp_path / "w.pt").exists()


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_an_error_status_is_named(serve, tmp_path, status):
    """What the server answered is in the message, and its error page is not kept."""
    server = serve(b"<html>sorry</html>")
    server.behaviour.status = status
    with pytest.raises(DownloadFailed, match=f"answered {status}"):
        fetch(server.url, tmp_path / "w.pt")
    assert left(tmp_path) == []
    assert len(server.behaviour.asked) == 1


def test_a_compressed_answer_is_refused(serve, tmp_path):
    """Offsets count the bytes of the file, so a body that is compressed on the way is no use."""
    server = serve(CONTENT)
    server.behaviour.headers = {"Content-Encoding": "gzip"}
    with pytest.raises(DownloadFailed, match="compressed"):
        fetch(server.url, tmp_path / "w.pt")
    assert left(tmp_path) == []


def test_no_server_is_an_error_of_its_own(tmp_path, monkeypatch):
    """Where nothing answers, the download fails as such and leaves nothing behind."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        with pytest.raises(DownloadFailed, match="refused"):
            fetch(f"http://127.0.0.1:{taken.getsockname()[1]}/w.pt", tmp_path / "w.pt")
    assert left(tmp_path) == []
