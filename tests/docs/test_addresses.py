"""The addresses of the data sets and in the pages answer; `make check-links` asks them."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from addresses import addresses, fault_of

ADDRESSES = addresses()


@pytest.fixture(scope="module")
def client():
    with httpx.Client(timeout=60, headers={"User-Agent": "bus_lightning check of links"}) as client:
        yield client


@pytest.fixture
def site():
    """A server on this machine: the path is the status that it answers with; 302 leads to 404."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(int(self.path[1:]))
            self.send_header("Location", "/404")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.network
@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_answers(address, client):
    assert fault_of(address, client) is None


def test_every_data_set_and_every_page_is_asked():
    assert "https://scholar.cu.edu.eg/Dataset_BUSI.zip" in ADDRESSES
    assert "https://cocodataset.org" in ADDRESSES  # only in a card
    assert "https://doi.org/10.1371/journal.pone.0221535" in ADDRESSES  # only in docs/datasets.md, without a link
    assert "https://cosmic-ray.readthedocs.io" in ADDRESSES
    assert not [address for address in ADDRESSES if address.endswith((".", ",", ")"))]


@pytest.mark.parametrize(("path", "fault"), [("200", None), ("403", None), ("302", "HTTP 404"), ("404", "HTTP 404"),
                                             ("500", "HTTP 500")])  # fmt: skip
def test_a_page_that_is_gone_is_named_and_one_that_refuses_programs_is_not(path, fault, site, client):
    assert fault_of(f"{site}/{path}", client) == fault


def test_a_server_that_does_not_answer_is_named(client):
    with socket.socket() as taken:  # bound, and not listening
        taken.bind(("127.0.0.1", 0))
        assert fault_of(f"http://127.0.0.1:{taken.getsockname()[1]}/", client).startswith("ConnectError")
