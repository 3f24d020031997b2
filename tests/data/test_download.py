"""Downloads resume, change to the mirror, are checked, and leave nothing half-written. The servers are local."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from core.errors import UserError
from data import download
from data.download import Archive, download_cifar10, fetch
from data.sets.cifar10 import batches_folder
from tests.fake_cifar10 import write_fake_cifar10


@dataclass
class Server:
    """A file server that can misbehave: each answer stops after `break_after` bytes; `requests` keeps the Range headers."""

    content: bytes
    break_after: int | None = None
    ignores_range: bool = False
    status: int | None = None
    url: str = ""
    requests: list[str | None] = field(default_factory=list)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range")
        self.requests.append(wanted)
        if self.status:
            handler.send_error(self.status)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and not self.ignores_range else 0
        if start and start >= len(self.content):
            handler.send_response(416)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        body = self.content[start:]
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(body)))
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        handler.end_headers()
        handler.wfile.write(body[: self.break_after])
        handler.close_connection = True


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.answer(self)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        server.url = f"http://127.0.0.1:{listener.server_port}/archive.tar.gz"
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown()
            thread.join()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    from contextlib import ExitStack

    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with ExitStack() as stack:
        yield lambda content, **faults: stack.enter_context(serving(Server(content, **faults)))


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("fake")
    write_fake_cifar10(folder, images_per_batch=10)
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as tar:
        tar.add(folder / "cifar-10-batches-py", "cifar-10-batches-py")
    return written.getvalue()


def archive(content: bytes, *servers: Server) -> Archive:
    return Archive("archive.tar.gz", hashlib.sha256(content).hexdigest(), tuple(server.url for server in servers))


def whole_pieces(n_bytes: int) -> int:
    """What is kept of `n_bytes` when a connection breaks: the pieces that had come whole."""
    return n_bytes // download._PIECE * download._PIECE


def test_downloads_unpacks_and_tidies_up(serve: Callable[..., Server], tarball: bytes, tmp_path: Path) -> None:
    home = tmp_path / "not" / "there" / "yet"
    folder = download_cifar10(home, archive(tarball, serve(tarball)))
    assert folder == home / "cifar-10-batches-py"
    assert len(list(folder.iterdir())) == 7
    assert list(home.iterdir()) == [folder]


def test_a_broken_download_goes_on_where_it_stopped(serve: Callable[..., Server], tarball: bytes, tmp_path: Path) -> None:
    half = len(tarball) // 2
    server = serve(tarball, break_after=half)
    path = fetch(archive(tarball, server), tmp_path)
    assert path.read_bytes() == tarball
    assert server.requests[:2] == [None, f"bytes={whole_pieces(half)}-"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["archive.tar.gz"]


def test_a_later_run_goes_on_too(serve: Callable[..., Server], tarball: bytes, tmp_path: Path) -> None:
    dying = serve(tarball, break_after=20_000)
    with pytest.raises(UserError, match="broke off"):
        fetch(archive(tarball, dying), tmp_path)
    part = tmp_path / "archive.tar.gz.part"
    kept = part.stat().st_size
    assert part.read_bytes() == tarball[:kept]
    assert kept == 3 * whole_pieces(20_000)  # each round began where the one before had stopped
    healthy = serve(tarball)
    assert fetch(archive(tarball, healthy), tmp_path).read_bytes() == tarball
    assert healthy.requests == [f"bytes={kept}-"]


def test_the_mirror_completes_what_the_first_source_began(serve: Callable[..., Server], tarball: bytes, tmp_path: Path) -> None:
    first, mirror = serve(tarball, break_after=50_000), serve(tarball)
    assert fetch(archive(tarball, first, mirror), tmp_path).read_bytes() == tarball
    assert mirror.requests == [f"bytes={whole_pieces(50_000)}-"]


def test_a_server_that_ignores_range_starts_over(serve: Callable[..., Server], tarball: bytes, tmp_path: Path) -> None:
    (tmp_path / "archive.tar.gz.part").write_bytes(tarball[:500])
    server = serve(tarball, ignores_range=True)
    assert fetch(archive(tarball, server), tmp_path).read_bytes() == tarball
    assert server.requests == ["bytes=500-"]


def test_wrong_bytes_are_thrown_away_and_the_mirror_is_asked(serve: Callable[..., Server], tarball: bytes, tmp_path: Path) -> None:
    wrong, mirror = serve(tarball[::-1]), serve(tarball)
    assert fetch(archive(tarball, wrong, mirror), tmp_path).read_bytes() == tarball
    assert mirror.requests == [None]


def test_a_source_of_wrong_bytes_is_asked_once(serve: Callable[..., Server], tarball: bytes, tmp_path: Path) -> None:
    wrong = serve(tarball[::-1])
    with pytest.raises(UserError, match="wrong SHA-256"):
        fetch(archive(tarball, wrong), tmp_path)
    assert len(wrong.requests) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_was_wrong_before_does_not_condemn_the_source(
    serve: Callable[..., Server], tarball: bytes, tmp_path: Path
) -> None:
    (tmp_path / "archive.tar.gz.part").write_bytes(b"not the beginning")
    server = serve(tarball)
    assert fetch(archive(tarball, server), tmp_path).read_bytes() == tarball
    assert server.requests == ["bytes=17-", None]


@pytest.mark.parametrize("surplus", [b"", b"more than there is"])
def test_a_part_as_long_as_the_file_or_longer(serve: Callable[..., Server], tarball: bytes, tmp_path: Path, surplus: bytes) -> None:
    (tmp_path / "archive.tar.gz.part").write_bytes(tarball + surplus)
    server = serve(tarball)
    assert fetch(archive(tarball, server), tmp_path).read_bytes() == tarball
    assert server.requests == [f"bytes={len(tarball + surplus)}-"] + [None] * bool(surplus)


def test_a_slow_source_is_left_for_the_mirror(
    serve: Callable[..., Server], tarball: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download.ResumingDownloader, "slow_after_s", 0.0)
    monkeypatch.setattr(download.ResumingDownloader, "slow_bytes_per_s", 1e15)
    first, mirror = serve(tarball), serve(tarball)
    assert fetch(archive(tarball, first, mirror), tmp_path).read_bytes() == tarball
    assert len(mirror.requests) == 1  # slow as well; from the second round on, slow is better than nothing


def test_no_source_answers(serve: Callable[..., Server], tarball: bytes, tmp_path: Path) -> None:
    gone, refusing = serve(tarball, status=404), Server(b"", url="http://127.0.0.1:9/archive.tar.gz")
    home = tmp_path / "new"
    with pytest.raises(UserError) as caught:
        download_cifar10(home, archive(tarball, gone, refusing))
    message = str(caught.value)
    assert "404" in message
    assert "127.0.0.1:9: no connection" in message
    assert f"into {home} by hand" in message
    assert "$CIFAR10_DIR" in message
    assert "make demo" in message
    assert "\n" not in message
    assert not home.exists()
    assert len(gone.requests) == 1


def test_a_download_is_announced_with_its_size_and_the_way_around_it(
    serve: Callable[..., Server], tarball: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    download_cifar10(tmp_path, archive(tarball, serve(tarball)))
    first = capsys.readouterr().err.splitlines()[0]
    for said in (str(tmp_path), "170 MB", "CIFAR10_DIR", "--data-dir", "Ctrl-C"):
        assert said in first


def test_an_archive_put_there_by_hand_is_used_and_kept(tarball: bytes, tmp_path: Path) -> None:
    (tmp_path / "archive.tar.gz").write_bytes(tarball)
    folder = download_cifar10(tmp_path, archive(tarball, Server(b"", url="http://127.0.0.1:9/archive.tar.gz")))
    assert (folder / "test_batch").exists()
    assert (tmp_path / "archive.tar.gz").read_bytes() == tarball


def test_nothing_leaves_the_folder_it_is_unpacked_in(serve: Callable[..., Server], tmp_path: Path) -> None:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as tar:
        member = tarfile.TarInfo("../../escaped")
        tar.addfile(member, io.BytesIO())
    hostile = written.getvalue()
    home = tmp_path / "a" / "b"
    with pytest.raises(UserError, match="cannot unpack"):
        download_cifar10(home, archive(hostile, serve(hostile)))
    assert not list(tmp_path.rglob("escaped"))
    assert not list(home.glob(".cifar*"))
    assert not list(home.glob("cifar*"))


def test_a_home_that_is_a_file(tarball: bytes, tmp_path: Path) -> None:
    home = tmp_path / "file"
    home.write_text("")
    with pytest.raises(UserError, match=r"file is not a folder; .* --data-dir"):
        download_cifar10(home, archive(tarball, Server(b"", url="http://127.0.0.1:9/x")))
    assert home.exists()


def test_interrupting_keeps_the_part_and_says_so(
    serve: Callable[..., Server], tarball: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(download.ResumingDownloader, "_leave_if_slow", interrupt)
    with pytest.raises(KeyboardInterrupt, match=r"archive\.tar\.gz\.part is kept"):
        fetch(archive(tarball, serve(tarball)), tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["archive.tar.gz.part"]


def test_an_absent_cifar10_is_downloaded_where_it_was_looked_for(
    serve: Callable[..., Server],
    tarball: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = serve(tarball)
    monkeypatch.setattr(download_cifar10, "__defaults__", (archive(tarball, server),))
    assert batches_folder(tmp_path) == tmp_path / "cifar-10-batches-py"
    told = capsys.readouterr().err
    assert server.url in told
    assert str(tmp_path) in told
    batches_folder(tmp_path)
    assert len(server.requests) == 1


def test_the_archive_is_the_official_one() -> None:
    assert download.CIFAR10.sha256 == "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
    assert download.CIFAR10.sources[0].startswith("https://www.cs.toronto.edu/")
    assert all(url.startswith("https://") and url.endswith(download.CIFAR10.file_name) for url in download.CIFAR10.sources)
