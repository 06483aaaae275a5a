"""What the page that diagnoses in the browser consists of, and what its server lets through."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from asgi_client import METHODS, ask
from page_server import make_page_bundle
from tiny_bundle import make_bundle

from bus_lightning.core.errors import UserError
from bus_lightning.core.files import checksum
from bus_lightning.data.preprocess import Overlay
from bus_lightning.diagnosis import app, doubt
from bus_lightning.diagnosis.bundle import CHECKSUMS, MANIFEST, files_of, load_bundle
from bus_lightning.diagnosis.frames import Limits

pytest.importorskip("uvicorn", reason="needs uvicorn: pip install 'bus_lightning[app]'")

from bus_lightning.diagnosis.page.addresses import Addresses
from bus_lightning.diagnosis.page.local import runtime, serving
from bus_lightning.diagnosis.page.local.content import check_bundle
from bus_lightning.diagnosis.page.local.serving import contents_of, guard
from bus_lightning.diagnosis.page.sentences import SENTENCES


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_page_bundle(tmp_path_factory.mktemp("local") / "bundle")


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """A folder of files that stand for onnxruntime-web, with their checksums."""
    folder = tmp_path / "dist"
    folder.mkdir()
    for name in runtime.SHA256:
        (folder / name).write_text(f"// {name}")
    monkeypatch.setattr(runtime, "SHA256", {name: checksum(folder / name) for name in runtime.SHA256})
    return folder


@pytest.fixture(autouse=True)
def closed(monkeypatch):
    """A page that should have been refused fails the test instead of being served."""

    def serve_nothing(*_):
        raise AssertionError("the page opens")

    monkeypatch.setattr(serving, "running", serve_nothing)


@pytest.fixture
def contents(bundle, engine):
    return contents_of(load_bundle(bundle), "fp32", None, Limits(), engine)


def refuse(capsys, *arguments):
    """Start the page with arguments that it must refuse, and return its one line."""
    assert app.main([*map(str, arguments), "--local", "--port", "0"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def edit(folder, change):
    """Change the manifest of a bundle, and list the checksums again."""
    content = json.loads((folder / MANIFEST).read_text())
    change(content)
    (folder / MANIFEST).write_text(json.dumps(content))
    (folder / CHECKSUMS).write_text("".join(f"{checksum(folder / name)}  {name}\n" for name in files_of(folder)))


def test_a_bundle_of_another_version_is_refused_in_one_line(bundle, engine, tmp_path, capsys):
    newer = shutil.copytree(bundle, tmp_path / "newer")
    edit(newer, lambda content: content.update(version=99))
    assert "bundle of version 99" in refuse(capsys, newer, "--runtime", engine)


def test_a_bundle_that_cleans_its_images_is_refused_in_one_line(bundle, engine, tmp_path, capsys):
    cleaning = shutil.copytree(bundle, tmp_path / "cleaning")
    edit(cleaning, lambda content: content["networks"]["segmenter"]["preprocessing"].update(contrast="clahe"))
    line = refuse(capsys, cleaning, "--runtime", engine)
    assert "segmenter cleans its images" in line
    assert "without --local" in line


def test_a_precision_that_the_bundle_lacks_is_refused_in_one_line(bundle, engine, capsys):
    assert "no int8: choose one of fp32" in refuse(capsys, bundle, "--runtime", engine, "--precision", "int8")


def test_without_onnxruntime_web_one_line_says_how_to_get_it(bundle, tmp_path, capsys):
    for folder in (tmp_path / "nothing", tmp_path / ("x" * 300)):  # the latter is longer than a file system takes
        line = refuse(capsys, bundle, "--runtime", folder)
        assert line.startswith(f"Error: {folder} has no ort")
        assert f"npm install --ignore-scripts onnxruntime-web@{runtime.VERSION}" in line


def test_without_the_extra_one_line_says_how_to_get_it(bundle, engine, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    for name in ("server", "local.serving"):
        monkeypatch.delitem(sys.modules, f"bus_lightning.diagnosis.page.{name}")
    line = refuse(capsys, bundle, "--runtime", engine)
    assert line == "Error: The page needs uvicorn, which is not installed: pip install 'bus_lightning[app]'"


def test_another_onnxruntime_web_is_never_served(bundle, engine, capsys):
    (engine / "ort.wasm.min.mjs").write_text("// another version")
    assert f"not that of onnxruntime-web {runtime.VERSION}" in refuse(capsys, bundle, "--runtime", engine)


@pytest.mark.parametrize("option", ["--decode-mb", "--decode-seconds"])
def test_an_option_for_a_decoder_is_refused_where_the_browser_decodes(bundle, engine, option, capsys):
    line = refuse(capsys, bundle, "--runtime", engine, option, 5)
    assert line.startswith(f"Error: {option} has no effect with --local")


def test_a_runtime_is_refused_where_no_browser_computes(bundle, engine, capsys):
    assert app.main([str(bundle), "--runtime", str(engine), "--port", "0"]) == 2
    assert capsys.readouterr().err.startswith("Error: --runtime is for the page in the browser: add --local")


def test_only_the_listed_addresses_are_answered_and_only_to_get(contents):
    guarded = guard(contents, Addresses("127.0.0.1", 7860))
    for method in METHODS:
        for target in contents:
            answer = ask(guarded, method, target, body=(b"an image",))
            assert answer.status == (200 if method == "GET" else 404)
    for target in ("/bundle", "/../bundle.json", "/networks/9.onnx", "/gradio_api/upload", "/MODEL_CARD.md"):
        assert ask(guarded, "GET", target).status == 404


def test_every_answer_forbids_other_servers_and_inline_scripts(contents):
    guarded = guard(contents, Addresses("127.0.0.1", 7860))
    for target in (*contents, "/nothing"):
        headers = ask(guarded, "GET", target).headers
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == "'self' 'wasm-unsafe-eval'"
        assert {policy[part] for part in ("connect-src", "style-src", "img-src", "worker-src")} == {"'self'"}
        assert {policy[part] for part in ("base-uri", "form-action", "frame-ancestors")} == {"'none'"}
        assert headers["cross-origin-embedder-policy"] == "require-corp"
        assert headers["x-content-type-options"] == "nosniff"


def test_another_site_gets_nothing(contents):
    guarded = guard(contents, Addresses("127.0.0.1", 7860))
    assert ask(guarded, "GET", "/bundle.json", {"host": "evil.example:7860"}).status == 421
    assert ask(guarded, "GET", "/bundle.json", {"sec-fetch-site": "cross-site"}).status == 403


def test_nothing_that_the_page_loads_names_another_server(contents):
    own = {address: contents[address] for address in contents if address == "/" or address.endswith((".js", ".css"))}
    assert len(own) > 10
    for address, content in own.items():
        assert not re.search(r"(src|href|from|import|fetch|url)\W{1,3}(https?:)?//", content.decode()), address


def test_every_sentence_that_the_page_says_comes_from_python(contents):
    sentences = json.loads(contents["/bundle.json"])["sentences"]
    assert SENTENCES.items() <= sentences.items()
    assert doubt.SENTENCES.items() <= sentences.items()
    scripts = {address: content.decode() for address, content in contents.items() if address.endswith(".js")}
    used = {name for text in scripts.values() for name in re.findall(r"\b(?:say|refuse)\(\"(\w+)\"", text)}
    used |= {name for text in scripts.values() for name in re.findall(r"\bsentences\.(?!js)(\w+)", text)}
    assert len(used) > 30
    assert used <= sentences.keys()


def test_every_format_of_a_sentence_is_one_that_the_page_knows(contents):
    sentences = json.loads(contents["/bundle.json"])["sentences"]
    formats = {form for text in sentences.values() for _, form in re.findall(r"\{(\w+)(?::([^}]*))?\}", text)}
    known = set(re.findall(r'^  "?([^":\n]*)"?: \(value\)', contents["/sentences.js"].decode(), re.MULTILINE))
    assert formats <= known


def test_a_thick_contour_is_refused_and_a_thin_one_is_not(tmp_path):
    contour = Overlay(style="contour", source="predicted")
    thin = load_bundle(make_bundle(tmp_path / "thin", overlay=contour))
    assert check_bundle(thin, None) == "fp32"
    edit(tmp_path / "thin", lambda content: content["networks"]["classifier"]["preprocessing"].update(size=224))
    with pytest.raises(UserError, match="thick outline"):
        check_bundle(load_bundle(tmp_path / "thin"), None)


def test_the_engine_and_its_checksums_are_of_the_version_that_make_gets():
    makefile = (Path(__file__).parents[2] / "Makefile").read_text()
    assert "local/runtime.py" in makefile
    for name, digest in runtime.SHA256.items():
        assert name in makefile
        assert re.fullmatch(r"[0-9a-f]{64}", digest)
