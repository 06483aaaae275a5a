"""The page answers what it needs and nothing else, to its own name and its own pages."""

import asyncio

import pytest
from asgi_client import ADDRESS, FILLED, METHODS, NEEDED, Inside, ask, scope_of

from bus_lightning.core.errors import UserError
from bus_lightning.diagnosis.page.addresses import Addresses
from bus_lightning.diagnosis.page.doors import HEADERS, Doors


@pytest.fixture
def inside():
    return Inside()


@pytest.fixture
def doors(inside):
    return Doors(inside, Addresses("127.0.0.1", 7860), silent_s=0.3, unread_s=0.3)


# Routes.


@pytest.mark.parametrize("target", [
    "//", "/./", "/config/", "//config", "/./config", "/assets/../config", "/assets/%2e%2e/config", "/%63onfig",
    "/config%00", "/config%2f", "/CONFIG", "/config;x", "/config\\", "/assets//x.js", "/assets/a/x.js",
    "/assets/..x.js", "/assets/x.js/", "/assets/x.py", "/assets/%2fetc%2fpasswd.js", "/theme.css/..",
    "/gradio_api/heartbeat/", "/gradio_api/heartbeat/a/b", "/gradio_api/heartbeat/a%2fb", "/gradio_api/queue/data",
    "/gradio_api/queue/data?x=1",
    "/gradio_api/queue/data?session_hash=x&session_hash=y", "/gradio_api//queue/join", "http://127.0.0.1:7860/config",
    "*", "", "/docs", "/redoc", "/openapi.json", "/gradio_api/info", "/gradio_api/openapi.json", "/info",
    "/gradio_api/file=/etc/passwd", "/gradio_api/proxy=https://example.org/x.png", "/gradio_api/startup-events",
])  # fmt: skip
def test_no_other_spelling_of_a_path_passes(doors, inside, target):
    for method in METHODS:
        assert ask(doors, method, target).status == 404
    assert inside.passed == []


def test_no_other_method_passes(doors, inside):
    for needed, path in sorted(NEEDED):
        target = FILLED.get(path, path.replace("{session_hash}", "x"))
        for method in METHODS:
            assert ask(doors, method, target).status == (200 if method == needed else 404), (method, target)
    assert len(inside.passed) == len(NEEDED)


def test_a_request_that_passes_has_neither_a_query_nor_the_headers_of_proxies(doors, inside):
    dropped = {
        "x-forwarded-host": "example.org",
        "x-gradio-server": "x",
        "forwarded": "host=example.org",
        "cookie": "a=b",
    }
    ask(doors, "GET", "/?deep_link=x&view=api", {"accept": "a"} | dropped)
    (scope,) = inside.passed
    assert scope["query_string"] == b""
    assert [name for name, _ in scope["headers"]] == [b"host", b"accept"]


def test_websockets_are_refused(doors, inside):
    for extensions, expected in (({}, ["websocket.close"]), ({"websocket.http.response": {}}, None)):
        sent = []

        async def receive():
            return {"type": "websocket.connect"}

        async def send(message, sent=sent):
            sent.append(message)

        scope = scope_of("GET", "/gradio_api/queue/data?session_hash=x", kind="websocket") | {"extensions": extensions}
        asyncio.run(doors(scope, receive, send))
        if expected is None:
            assert (sent[0]["type"], sent[0]["status"]) == ("websocket.http.response.start", 404)
        else:
            assert [message["type"] for message in sent] == expected
    assert inside.passed == []


# Names.


@pytest.mark.parametrize(("host", "arrived_at", "own", "foreign"), [
    ("127.0.0.1", "127.0.0.1", ["127.0.0.1:7860", "localhost:7860", "[::1]:7860", "LocalHost:7860"],
     ["127.0.0.1", "127.0.0.1:7861", "127.0.0.1:80", "example.org:7860", "192.168.1.5:7860", "127.0.0.1.a.org:7860",
      "localhost.:7860", "", ":7860", "a@127.0.0.1:7860", "127.0.0.1:7860:7860", "127.0.0.1:", "2130706433:7860"]),
    ("0.0.0.0", "192.168.1.5", ["192.168.1.5:7860", "[::ffff:192.168.1.5]:7860"],
     ["localhost:7860", "127.0.0.1:7860", "192.168.1.6:7860", "0.0.0.0:7860", "example.org:7860", "192.168.1.5"]),
    ("::", "fe80::1", ["[fe80::1]:7860", "[FE80:0::1]:7860"], ["[fe80::2]:7860", "[::]:7860"]),
    ("scanner.example", "192.168.1.5", ["scanner.example:7860", "192.168.1.5:7860"], ["example:7860"]),
])  # fmt: skip
def test_only_the_pages_own_address_and_port_are_answered(inside, host, arrived_at, own, foreign):
    doors = Doors(inside, Addresses(host, 7860))
    for name in own:
        assert ask(doors, "GET", "/", {"host": name}, server=(arrived_at, 7860)).status == 200, name
    for name in foreign:
        answer = ask(doors, "GET", "/", {"host": name}, server=(arrived_at, 7860))
        assert answer.status == 421, name
        assert answer.body.count("\n") == 1
        assert "--allow-host" in answer.body
    assert ask(doors, "GET", "/", {"host": None}).status == 421
    twice = {"headers": {"host": own[0]}, "more_headers": [("host", own[0])], "server": (arrived_at, 7860)}
    assert ask(doors, "GET", "/", **twice).status == 421


def test_another_name_is_answered_when_it_is_allowed(inside):
    doors = Doors(inside, Addresses("127.0.0.1", 7860, ["page.example.org", "other.example:8443", "[fe80::1]"]))
    for name in ("page.example.org", "page.example.org:7860", "other.example:8443", "[fe80::1]:7860"):
        assert ask(doors, "GET", "/", {"host": name}).status == 200, name
        assert ask(doors, "GET", "/config", {"host": name, "origin": f"https://{name}"}).status == 200, name
    for name in ("page.example.org:1", "other.example", "other.example:7860", "example.org"):
        assert ask(doors, "GET", "/", {"host": name}).status == 421, name
    for wrong in ("http://page.example.org", "a b", "", "a/b", "*"):
        with pytest.raises(UserError, match="--allow-host"):
            Addresses("127.0.0.1", 7860, [wrong])


def test_the_usual_port_may_be_left_out(inside):
    doors = Doors(inside, Addresses("127.0.0.1", 80))
    assert ask(doors, "GET", "/", {"host": "localhost"}).status == 200
    assert ask(doors, "GET", "/", {"host": "localhost:80"}).status == 200


# Sites.

QUESTIONS = [("POST", "/gradio_api/upload"), ("POST", "/gradio_api/queue/join"), ("GET", "/config"),
             ("GET", "/gradio_api/queue/data?session_hash=x"), ("GET", "/gradio_api/heartbeat/x")]  # fmt: skip
OWN = f"http://{ADDRESS[0]}:{ADDRESS[1]}"


@pytest.mark.parametrize(("method", "target"), QUESTIONS)
def test_no_other_site_can_ask_through_a_visitors_browser(doors, inside, method, target):
    own = [{}, {"origin": OWN}, {"origin": "http://localhost:7860", "sec-fetch-site": "same-origin"},
           {"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}, {"referer": f"{OWN}/"}]  # fmt: skip
    foreign = [
        *({"origin": origin} for origin in ("null", "http://example.org", "http://127.0.0.1:8000", "http://127.0.0.1",
                                            f"{OWN}.example.org", "http://example.org:7860", "file://", "", "http://[")),
        {"referer": "http://example.org/127.0.0.1:7860"}, {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"}, {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
        {"origin": OWN, "sec-fetch-site": "cross-site"}, {"origin": "http://example.org", "referer": f"{OWN}/"},
    ]  # fmt: skip
    for headers in own:
        assert ask(doors, method, target, headers).status == 200, headers
    passed = len(inside.passed)
    for headers in foreign:
        assert ask(doors, method, target, headers).status == 403, headers
    assert len(inside.passed) == passed


def test_a_link_on_another_site_opens_the_page(doors):
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "referer": "http://example.org/"}
    assert ask(doors, "GET", "/", link).status == 200
    assert ask(doors, "GET", "/", link | {"sec-fetch-mode": "no-cors"}).status == 403


# Bodies and answers.


def test_every_answer_has_the_security_headers(doors):
    cases = {
        200: ("GET", "/", {}), 404: ("GET", "/docs", {}), 421: ("GET", "/", {"host": "example.org"}),
        403: ("GET", "/config", {"origin": "null"}),
    }  # fmt: skip
    for status, (method, target, headers) in cases.items():
        answer = ask(doors, method, target, headers)
        assert answer.status == status
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS


def test_a_question_is_bounded_in_size_and_time(doors, inside):
    join = ("POST", "/gradio_api/queue/join")
    assert ask(doors, *join, body=[b"a" * 30_000, b"b" * 30_000]).body == "inside " + "a" * 30_000 + "b" * 30_000
    assert ask(doors, *join, body=[b"a" * 30_000] * 3).status == 413

    async def never_ending():
        sent = []

        async def receive():
            await asyncio.sleep(0.05)
            return {"type": "http.request", "body": b"a", "more_body": True}

        async def send(message):
            sent.append(message)

        await asyncio.wait_for(doors(scope_of(*join), receive, send), 20)
        return sent[0]["status"]

    assert asyncio.run(never_ending()) == 408
    assert len(inside.passed) == 1


def test_a_client_that_does_not_read_its_answer_is_disconnected(doors):
    async def unread():
        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            await asyncio.Event().wait()

        await asyncio.wait_for(doors(scope_of("GET", "/"), receive, send), 20)
        return "ended"

    assert asyncio.run(unread()) == "ended"


@pytest.mark.parametrize("begins", [False, True])
def test_a_question_at_which_the_application_fails_gets_one_line(capsys, begins):
    async def fails(scope, receive, send):
        if begins:
            await send({"type": "http.response.start", "status": 500, "headers": []})
            await send({"type": "http.response.body", "body": b"Internal Server Error\n"})
        raise KeyError("Jane_Doe")

    answer = ask(Doors(fails, Addresses("127.0.0.1", 7860)), "GET", "/")
    assert (answer.status, answer.body.count("\n")) == (500, 1)
    assert answer.headers.keys() >= HEADERS.keys()
    assert capsys.readouterr().err == "Error: a request could not be answered (KeyError).\n"
