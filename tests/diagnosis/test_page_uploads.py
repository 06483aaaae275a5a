"""What visitors send goes into one folder, within bounds, and nothing of it stays: tried on real sockets."""

import http.client
import socket
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="needs uvicorn: pip install -e '.[app]'")

from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis.frames import Limits
from bus_lightning.diagnosis.page import uploads as module
from bus_lightning.diagnosis.page.doors import HEADERS
from bus_lightning.diagnosis.page.server import Connection, running
from bus_lightning.diagnosis.page.uploads import Uploads

MOST = 100_000
HEAD = b'--b\r\nContent-Disposition: form-data; name="files"; filename="Jane_Doe_1962.png"\r\n\r\n'
TAIL = b"\r\n--b--\r\n"
FORM = "multipart/form-data; boundary=b"


class Page:
    """Uploads behind a real server."""

    def __init__(self, uploads, folder, port):
        self.uploads, self.folder, self.port = uploads, folder, port

    def send(self, body, content_type=FORM, chunked=False):
        """Send a whole form; return the status and what was answered."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            pieces = iter([body[:50], body[50:]]) if chunked else body
            connection.request(
                "POST", "/gradio_api/upload", pieces, {"Content-Type": content_type}, encode_chunked=chunked
            )
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def begin(self, sent=HEAD + b"half", length=10_000):
        """Send the beginning of a form, and keep the connection."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM}\r\nContent-Length: {length}\r\n\r\n"
        connection.sendall(head.encode() + sent)
        return connection

    def files(self):
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    def wait_for(self, number):
        """Wait until there are so many files."""
        end = time.monotonic() + 20
        while len(self.files()) != number:
            assert time.monotonic() < end, self.files()
            time.sleep(0.01)


@pytest.fixture
def open_page(tmp_path):
    """A function that starts uploads with other bounds, as a context manager."""

    @contextmanager
    def opened(**bounds):
        uploads = Uploads(tmp_path, Limits(file_bytes=MOST), **bounds)

        async def app(scope, receive, send):
            if scope["type"] == "lifespan":
                for event in ("startup", "shutdown"):
                    await receive()
                    await send({"type": f"lifespan.{event}.complete"})
                return
            await uploads(scope, receive, send)

        with socket.create_server(("127.0.0.1", 0)) as listener, running(app, listener):
            yield Page(uploads, tmp_path, listener.getsockname()[1])

    return opened


def path_of(answer):
    status, text = answer
    assert status == 200, text
    return text[2:-2]


def test_a_file_arrives_to_the_byte_and_is_deleted_when_it_has_been_used(open_page):
    content = bytes(range(256)) * 300 + b"\r\n--\r\n--a"
    with open_page() as page:
        for chunked in (False, True):
            uploaded = path_of(page.send(HEAD + content + TAIL, chunked=chunked))
            assert "Jane" not in str(page.files())
            with page.uploads.use(uploaded) as path:
                assert path.read_bytes() == content
            assert page.files() == []
            with pytest.raises(UserError, match="did not arrive"), page.uploads.use(uploaded):
                pass


def test_nothing_but_an_upload_is_read_or_deleted(open_page, tmp_path):
    with open_page() as page:
        uploaded = path_of(page.send(HEAD + b"x" + TAIL))
        other, link = tmp_path / "secret", tmp_path / "A123456789012345678901"
        other.write_text("secret")
        link.symlink_to(other)
        name = Path(uploaded).name
        spellings = [name, f"{tmp_path}/./{name}", f"{tmp_path}/x/../{name}", f"{uploaded}/", f"/{uploaded}",
                     f" {uploaded}"]  # fmt: skip
        for sent in (None, 3, "", "\0", [], {}, str(other), str(link), str(tmp_path), *spellings, uploaded.encode()):
            with pytest.raises(UserError, match="did not arrive"), page.uploads.use(sent):
                pass
        assert len(page.files()) == 3


@pytest.mark.parametrize("sent", [b"", HEAD[:20], HEAD + b"half"])
def test_half_an_upload_and_then_silence_leaves_nothing(open_page, sent):
    with open_page(silent_s=0.5) as page, closing(page.begin(sent)) as connection:
        page.wait_for(1)
        assert connection.recv(100).startswith(b"HTTP/1.1 408 ")
        page.wait_for(0)


def test_an_upload_that_trickles_is_ended(open_page):
    with open_page(silent_s=5, arrival_s=1) as page, closing(page.begin(length=100_000)) as connection:
        page.wait_for(1)
        with suppress(ConnectionError):
            for _ in range(2000):
                connection.sendall(b"x")
                time.sleep(0.01)
            pytest.fail("it still arrives")
        page.wait_for(0)


def test_half_an_upload_and_then_a_broken_connection_leaves_nothing(open_page):
    with open_page(silent_s=60) as page:
        connection = page.begin()
        page.wait_for(1)
        connection.close()
        page.wait_for(0)


def test_an_upload_that_nobody_asks_about_is_deleted(open_page):
    with open_page(unused_s=0.2) as page:
        path_of(page.send(HEAD + b"x" + TAIL))
        time.sleep(0.3)
        kept = path_of(page.send(HEAD + b"y" + TAIL))
        with page.uploads.use(kept):  # what is being read stays
            time.sleep(0.3)
            page.uploads.sweep()
            assert page.files() == [Path(kept)]


@pytest.mark.parametrize(("body", "content_type"), [
    (HEAD + b"a", FORM), (HEAD + b"a\r\n--b\r\n", FORM), (b"", FORM), (b"--b--\r\n", FORM), (b"no form", FORM),
    (HEAD + b"a\r\n" + HEAD + b"b" + TAIL, FORM), (HEAD + b"a" + TAIL, "multipart/form-data"),
    (HEAD + b"a" + TAIL, "application/json"), (HEAD + b"a" + TAIL, f"multipart/form-data; boundary={'b' * 300}"),
    (b"--b\r\n" + b"X-A: b\r\n" * 100 + b"\r\na" + TAIL, FORM),
    (b"--b\r\nX-A: " + b"b" * 20_000 + b"\r\n\r\na" + TAIL, FORM),
])  # fmt: skip
def test_what_is_not_one_whole_file_is_refused_and_leaves_nothing(open_page, body, content_type):
    with open_page() as page:
        status, line = page.send(body, content_type)
        assert status == 400
        assert line.count("\n") == 1
        assert page.files() == []


def test_a_file_that_is_too_large_is_refused_before_or_while_it_arrives(open_page):
    with open_page() as page:
        with closing(page.begin(sent=b"", length=10_000_000)) as connection:
            assert connection.recv(100).startswith(b"HTTP/1.1 413 ")
        assert page.send(HEAD + bytes(MOST + 1) + TAIL, chunked=True)[0] == 413
        path_of(page.send(HEAD + bytes(MOST) + TAIL))
        assert len(page.files()) == 1


def test_at_the_bound_of_uploads_a_new_one_replaces_the_oldest(open_page):
    with open_page(at_once=3) as page:
        slow = []
        for number in range(3):
            slow.append(page.begin())
            page.wait_for(number + 1)
        assert path_of(page.send(HEAD + b"x" + TAIL))
        assert slow[0].recv(100).startswith(b"HTTP/1.1 503 ")
        page.wait_for(3)  # two that arrive, and the new one
        for connection in slow:
            connection.close()


def test_the_folder_has_a_bound_and_unused_files_make_room(open_page, monkeypatch):
    large = HEAD + bytes(90_000) + TAIL
    with open_page(total_bytes=250_000) as page:
        first = path_of(page.send(large))
        path_of(page.send(large))
        assert page.send(large)[0] == 507  # both may still be asked about
        with page.uploads.use(first):
            monkeypatch.setattr(module, "_FRESH_S", 0)
            path_of(page.send(large))  # the second one goes, the first one is in use
            assert Path(first) in page.files()
            assert len(page.files()) == 2


def test_a_connection_without_a_whole_request_is_closed(open_page, monkeypatch):
    monkeypatch.setattr(Connection, "request_s", 0.5)
    with open_page() as page:
        for sent in (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"):
            with closing(socket.create_connection(("127.0.0.1", page.port), timeout=30)) as connection:
                connection.sendall(sent)
                try:
                    assert connection.recv(100) == b""
                except ConnectionResetError:
                    continue


def test_at_the_bound_of_connections_the_oldest_that_waits_makes_place(open_page, monkeypatch):
    monkeypatch.setattr(Connection, "most", 20)
    monkeypatch.setattr(Connection, "request_s", 600)
    with open_page() as page:
        idle = [socket.create_connection(("127.0.0.1", page.port), timeout=30) for _ in range(60)]
        assert path_of(page.send(HEAD + b"x" + TAIL))
        for connection in idle[:20]:
            with suppress(ConnectionResetError):
                assert connection.recv(100) == b""
        for connection in idle:
            connection.close()


@pytest.mark.parametrize("sent", [b"no request", b"GET / HTTP/1.1", b"\x16\x03\x01"])
def test_what_is_no_request_gets_one_line_with_the_security_headers(open_page, sent):
    with open_page() as page, closing(socket.create_connection(("127.0.0.1", page.port), timeout=30)) as connection:
        connection.sendall(sent + b"\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(10_000), b"")).decode().lower()
        assert answer.startswith("http/1.1 400 ")
        assert all(f"{name}: {value}".lower() in answer for name, value in HEADERS.items())
        assert answer.partition("\r\n\r\n")[2].count("\n") == 1
