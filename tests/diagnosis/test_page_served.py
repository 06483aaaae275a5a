"""The page as its command starts it: what it answers on a real socket, and what a killed one leaves."""

import http.client
import json
import re
import secrets
import socket
import time
from contextlib import closing

import pytest
from page_server import Server, make_page_bundle, save
from tiny_bundle import speckled, with_disc

pytest.importorskip("gradio", reason="needs gradio: pip install -e '.[app]'")

from bus_lightning.diagnosis.page.doors import HEADERS

FORM = "multipart/form-data; boundary=b"
HEAD = b'--b\r\nContent-Disposition: form-data; name="files"; filename="x"\r\n\r\n'
TAIL = b"\r\n--b--\r\n"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_page_bundle(tmp_path_factory.mktemp("page") / "bundle")


@pytest.fixture(scope="module")
def server(bundle, tmp_path_factory):
    running = Server(bundle, tmp_path_factory.mktemp("server"))
    yield running
    assert running.end() == 0


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    return save(with_disc(speckled(1)[0]), tmp_path_factory.mktemp("given") / "x.png").read_bytes()


def port_of(server):
    return int(server.address.rpartition(":")[2].strip("/"))


def ask(server, method, path, body=None, **headers):
    """Ask once; return the status, the headers and the body."""
    with closing(http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=60)) as connection:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, fields)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()


def upload(server, content):
    status, _, answer = ask(server, "POST", "/gradio_api/upload", HEAD + content + TAIL, Content_Type=FORM)
    assert status == 200
    return json.loads(answer)[0]


def upload_event(server):
    config = json.loads(ask(server, "GET", "/config")[2])
    return next(
        entry["id"] for entry in config["dependencies"] if any(event == "upload" for _, event in entry["targets"])
    )


def answer_to(server, path):
    """Ask for a diagnosis as a browser does; return the completed message."""
    session = secrets.token_hex(5)
    question = {"fn_index": upload_event(server), "data": [], "event_data": {"path": path}, "session_hash": session}
    assert (
        ask(server, "POST", "/gradio_api/queue/join", json.dumps(question), Content_Type="application/json")[0] == 200
    )
    _, _, stream = ask(server, "GET", f"/gradio_api/queue/data?session_hash={session}")
    messages = [json.loads(line.removeprefix(b"data:")) for line in stream.splitlines() if line.startswith(b"data:")]
    return next(message for message in messages if message["msg"] == "process_completed")


def test_the_command_puts_the_doors_in_front_of_everything(server):
    other, site = {"Host": f"example.org:{port_of(server)}"}, {"Origin": "http://example.org"}
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "x"}
    cases = [
        ("GET", "/", {}, 200), ("HEAD", "/", {}, 404), ("OPTIONS", "/", {}, 404), ("GET", "//", {}, 404),
        ("GET", "/gradio_api/info", {}, 404), ("GET", "/docs", {}, 404),
        ("GET", "/gradio_api/file=/etc/passwd", {}, 404),
        ("GET", "/gradio_api/proxy=https://example.org/x.png", {}, 404), ("GET", "/gradio_api/ws", upgrade, 404),
        ("GET", "/", other, 421), ("POST", "/gradio_api/upload", site, 403), ("GET", "/config", upgrade | site, 403),
        ("OPTIONS", "/gradio_api/upload", site | {"Access-Control-Request-Method": "POST"}, 404),
    ]  # fmt: skip
    for method, path, headers, expected in cases:
        status, answered, _ = ask(server, method, path, **headers)
        assert status == expected, (method, path)
        assert {name.lower() for name in answered} >= HEADERS.keys()
        assert not any(name.lower().startswith("access-control") for name in answered) or expected == 200
    assert "OUTSIDE" not in server.log_text()


def test_an_upload_is_answered_without_a_browser_and_leaves_no_file(server, content):
    completed = answer_to(server, upload(server, content))
    assert completed["success"]
    assert "<img" in str(completed["output"]["data"])
    assert server.uploaded_files() == []
    again = answer_to(server, "/etc/passwd")
    assert "<img" not in str(again["output"])


@pytest.mark.parametrize("path", ["/home/Jane_Doe.png", "\x1b[2J", "\0", "a" * 5000])
def test_a_question_with_a_foreign_path_gets_one_line_in_the_log(server, path):
    before = len(server.log_text())
    completed = answer_to(server, path)
    assert not completed["success"] or "<img" not in str(completed["output"])
    wait_for(lambda: server.log_text()[before:].endswith("\n"))
    assert re.fullmatch(r"Error: a request could not be answered \(\w+\)\.\n", server.log_text()[before:])


def test_a_broken_upload_leaves_no_file(server):
    with closing(socket.create_connection(("127.0.0.1", port_of(server)), timeout=60)) as connection:
        head = f"POST /gradio_api/upload HTTP/1.1\r\nHost: 127.0.0.1:{port_of(server)}\r\nContent-Type: {FORM}\r\n"
        connection.sendall(f"{head}Content-Length: 100000\r\n\r\n".encode() + HEAD + b"half")
        wait_for(lambda: len(server.uploaded_files()) == 1)
    wait_for(lambda: server.uploaded_files() == [])


def wait_for(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
def test_a_killed_page_leaves_its_folder_only_until_the_next_start(bundle, content, server):
    killed = Server(bundle, server.temporary.parent, exist_ok=True)
    path = upload(killed, content)
    assert len(server.uploaded_files()) == 1
    killed.process.kill()
    killed.process.wait()
    assert len(server.uploaded_files()) == 1
    following = Server(bundle, server.temporary.parent, exist_ok=True)
    try:
        assert server.uploaded_files() == []
        assert "<img" in str(answer_to(server, upload(server, content))["output"])  # the page that lived all along
        assert "<img" not in str(answer_to(following, path)["output"])
    finally:
        assert following.end() == 0
    assert len(list(server.temporary.glob("bus_lightning-page-*"))) == 1
