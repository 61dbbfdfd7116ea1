"""Files of a store appear whole or not at all, and whatever keeps them away is said in one line."""

import contextlib
import itertools
import json
import os
import pickle
import resource
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from asteroid.errors import InputError, StoreError
from asteroid.store import tables
from asteroid.store.files import Files
from asteroid.store.rows import SELECTION_SCHEMA


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of its own at a folder."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def one_line(error: pytest.ExceptionInfo[StoreError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_another_process_opens_the_same_files(store_url: str) -> None:
    files = Files(store_url)
    files.write("a/b", b"text")
    assert pickle.loads(pickle.dumps(files)).read("a/b") == b"text"


@pytest.mark.parametrize("path", ["../secret", "a/../../secret", "/etc/passwd", "..", "a/..", "a\0b"])
def test_a_path_outside_the_store_is_refused_by_every_access(tmp_path: Path, path: str) -> None:
    (tmp_path / "secret").write_text("of somebody else")
    files = Files(tmp_path / "store")
    files.write("a/b", b"text")
    accesses: list[Callable[[], object]] = [
        lambda: files.write(path, b""),
        lambda: files.write_json(path, {}),
        lambda: files.read(path),
        lambda: files.read_json(path),
        lambda: files.open(path),
        lambda: files.exists(path),
        lambda: files.modified(path),
        lambda: files.names(path),
        lambda: files.sizes(path, ""),
        lambda: files.remove(path),
        lambda: files.remove_unfinished(path),
    ]
    for access in accesses:
        with pytest.raises(StoreError, match="outside the store") as refused:
            access()
        one_line(refused)
    assert (tmp_path / "secret").read_text() == "of somebody else"
    # Dots within a name are no way out.
    files.write("a/x..y", b"text")


def test_what_is_written_is_read(store_url: str) -> None:
    files = Files(store_url)
    assert not files.exists("a/b")
    assert files.names("a") == []
    files.write("a/b", b"\x00\xff")
    files.write_json("a/c.json", {"σ": 1})
    assert files.read("a/b") == b"\x00\xff"
    assert files.read_json("a/c.json") == {"σ": 1}
    assert files.names("a") == ["b", "c.json"]
    assert files.sizes("a", "b") == {"b": 2}
    files.remove("a/b")
    files.remove("a/b")
    assert not files.exists("a/b")
    with pytest.raises(FileNotFoundError):
        files.read("a/b")
    with pytest.raises(FileNotFoundError):
        files.modified("a/b")


def test_a_person_is_told_a_path_or_a_url(tmp_path: Path, bucket: Callable[[str], str]) -> None:
    assert Files(tmp_path).location("models") == str(tmp_path / "models")
    assert Files(tmp_path).local == tmp_path
    assert Files(bucket("prefix")).location("models") == "s3://bucket/prefix/models"
    assert Files(bucket("prefix")).local is None


@pytest.mark.parametrize("content", [b"", b'{"half": ', b"\xff\xfe", b"[1, 2]"])
def test_a_damaged_json_file_is_named(store_url: str, content: bytes) -> None:
    files = Files(store_url)
    files.write("models/m/card.json", content)
    with pytest.raises(StoreError, match=r"models/m/card\.json is damaged or foreign .* move it out") as error:
        files.read_json("models/m/card.json")
    one_line(error)


def test_a_folder_may_be_made_while_it_is_listed(tmp_path: Path) -> None:
    files = Files(tmp_path)
    made, end = itertools.count(), threading.Event()
    last = 0

    def make() -> None:
        nonlocal last
        while not end.is_set():
            last = next(made)
            (tmp_path / f"d{last}").mkdir()

    thread = threading.Thread(target=make)
    thread.start()
    try:
        # A listing in a few hundred met one that came between two looks at it.
        for _ in range(5000):
            assert files.names(f"d{last + 1}") == []
    finally:
        end.set()
        thread.join()


def test_a_json_record_says_its_schema_and_that_it_is_what_was_written(tmp_path: Path) -> None:
    files, path = Files(tmp_path), tmp_path / "models/m/card.json"
    files.write_json("models/m/card.json", {"σ": [1, 0.1], "b": None})
    stored = json.loads(path.read_text())
    assert stored["record"].pop("sha256")
    assert stored == {"σ": [1, 0.1], "b": None, "record": {"kind": "models", "schema": 1}}
    whole = path.read_bytes()
    # Any flipped bit is found, or changes nothing.
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with contextlib.suppress(StoreError):
            assert files.read_json("models/m/card.json") == {"σ": [1, 0.1], "b": None}
    path.write_bytes(whole.replace(b"0.1", b"0.2"))
    with pytest.raises(StoreError, match="its content was changed: the checksum differs"):
        files.read_json("models/m/card.json")


def test_a_record_of_a_later_version_or_of_another_place_is_refused(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.write_json("models/a.json", {"x": 1})
    files.write("reports/a.json", files.read("models/a.json"))
    with pytest.raises(StoreError, match="a record of 'models', expected 'reports'"):
        files.read_json("reports/a.json")
    files.write("models/b.json", files.read("models/a.json").replace(b'"schema": 1', b'"schema": 2'))
    with pytest.raises(StoreError, match=r"b\.json cannot be read: it follows schema 2 of a later version") as error:
        files.read_json("models/b.json")
    one_line(error)


def test_a_record_of_version_0_1_is_read_as_it_is(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.write("models/a.json", b'{"x": {"y": 1}}')
    assert files.read_json("models/a.json") == {"x": {"y": 1}}


@contextlib.contextmanager
def interrupting_at(url: str, request: bytes) -> Iterator[str]:
    """The URL of a store behind a proxy that sends Ctrl-C to this process before it passes a request on."""
    query = parse_qs(url.partition("?")[2])
    host, port = query["endpoint_override"][0].removeprefix("http://").split(":")

    def relay(client: socket.socket) -> None:
        with client, socket.create_connection((host, int(port))) as server:
            threading.Thread(target=copy, args=(server, client), daemon=True).start()
            copy(client, server, watched=request)

    def copy(source: socket.socket, target: socket.socket, watched: bytes | None = None) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if watched and watched in data:
                    os.kill(os.getpid(), signal.SIGINT)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=relay, args=(listener.accept()[0],), daemon=True).start()

    # What is started in the background of a shell script ignores it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        try:
            yield url.replace(f"{host}%3A{port}", f"{host}%3A{listener.getsockname()[1]}")
        finally:
            signal.signal(signal.SIGINT, before)


@pytest.mark.server
def test_an_interrupted_write_completes_no_part_of_an_object(bucket: Callable[[str], str]) -> None:
    url = bucket("interrupted")
    with interrupting_at(url, b"?uploads") as through_proxy, pytest.raises(KeyboardInterrupt):
        Files(through_proxy).write("a", b"whole")
    assert Files(url).read("a") == b"whole"


@pytest.mark.parametrize("url", ["s4://bucket", "://", "s3://", ""])
def test_a_url_that_is_no_store_is_bad_input(url: str) -> None:
    with pytest.raises(InputError, match="write a folder or s3://bucket/prefix"):
        Files(url)


def test_a_file_where_a_folder_is_needed_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot write .*file/a/b: .*Not a directory"):
        Files(tmp_path).write("file/a/b", b"x")
    with pytest.raises(InputError, match=r"file' is a file; write a folder"):
        Files(tmp_path / "file")


def test_a_folder_where_a_file_is_needed_is_named(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with pytest.raises(StoreError, match=f"cannot write {tmp_path}/b: .*directory"):
        Files(tmp_path).write("b", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The system refuses to let a file grow beyond the limit, as a full disk does.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(StoreError, match="cannot write"):
            Files(tmp_path).write("models/m/card.json", b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_full_disk_and_a_read_only_one_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    with small_disk(folder, "64k"):
        files = Files(folder)
        files.write("a", b"x" * 10_000)
        with pytest.raises(StoreError, match=r"cannot write .*/b: .*No space left on device") as error:
            files.write("b", b"x" * 100_000)
        one_line(error)
        assert [path.name for path in folder.iterdir()] == ["a"]
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        assert len(files.read("a")) == 10_000
        for change in (lambda: files.write("b", b"x"), lambda: files.remove("a")):
            with pytest.raises(StoreError, match=r"cannot (write|remove) .*/[ab]: .*Read-only file system") as error:
                change()
            one_line(error)


@pytest.mark.server
def test_an_object_store_that_does_not_answer_is_named(bucket: Callable[[str], str]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"s3://bucket/store?endpoint_override=127.0.0.1%3A{unused.getsockname()[1]}&scheme=http&region=us-east-1"
    files = Files(url)
    accesses = (
        lambda: files.read("a"),
        lambda: files.exists("a"),
        lambda: files.names("a"),
        lambda: files.write("a", b"x"),
        lambda: files.remove("a"),
        lambda: tables.read(files, "a", SELECTION_SCHEMA),
    )
    # Each waits a few seconds, as it tries three times.
    with ThreadPoolExecutor(len(accesses)) as pool:
        for attempt in [pool.submit(access) for access in accesses]:
            with pytest.raises(StoreError, match=r"^cannot (read|look up|list|write) s3://.*/a: .*connect") as error:
                attempt.result()
            one_line(error)


@pytest.mark.long
def test_an_object_store_that_never_answers_is_said_within_twenty_seconds() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"endpoint_override=127.0.0.1:{silent.getsockname()[1]}&scheme=http&region=us-east-1"
        files = Files(f"s3://bucket/prefix?{address}")
        began = time.monotonic()
        with pytest.raises(StoreError, match="cannot list s3://") as error:
            files.names("labels")
        assert time.monotonic() - began < 20
        assert "\n" not in str(error.value)


def test_a_secret_key_in_the_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(InputError, match=r"^store: the URL holds a secret key, .* set AWS_ACCESS_KEY_ID") as error:
        Files("s3://someone:hidden@bucket/prefix?region=us-east-1")
    assert "hidden" not in str(error.value)
