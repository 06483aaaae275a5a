"""BUSI arrives whole or not at all, and nothing climbs out of its folder."""

import errno
import hashlib
import shutil
import stat
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bus_lightning.core.errors import UserError
from bus_lightning.data import download as module
from bus_lightning.data.download import compare_with_known, download, main, unpack
from bus_lightning.data.index import read_index


@pytest.fixture(scope="module")
def archive(small_phantom, tmp_path_factory):
    """A zip as BUSI's: one folder at its top."""
    made = shutil.make_archive(
        str(tmp_path_factory.mktemp("zip") / "Dataset_BUSI"), "zip", small_phantom.parent, small_phantom.name
    )
    return Path(made)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "data/set"


@pytest.fixture
def known(small_phantom, monkeypatch):
    """Let the twelve images be the known complete set."""
    frame = read_index(small_phantom)
    monkeypatch.setattr(module, "COUNTS_IN_BUSI", frame["class"].value_counts().to_dict())
    monkeypatch.setattr(module, "MASKS", int(frame["masks"].map(len).sum()))


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.png")}


def assert_nothing_left(out):
    assert not out.exists()
    assert not out.parent.exists() or list(out.parent.iterdir()) == []


def test_a_whole_zip_becomes_the_data_folder(archive, small_phantom, out, known, capsys):
    assert unpack(archive, out) == []
    assert files(out) == files(small_phantom)
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    assert stat.S_IMODE(out.stat().st_mode) & 0o055 == 0o055  # others may read what everybody trains on
    assert main(["--out", str(out)]) == 0
    assert "complete" in capsys.readouterr().out


@pytest.mark.parametrize("prefix", ["", "a/b/c/"])
def test_the_class_folders_may_lie_at_any_depth(prefix, small_phantom, out, known, tmp_path):
    with zipfile.ZipFile(tmp_path / "deep.zip", "w") as zipped:
        zipped.writestr("./", "")
        for name, content in files(small_phantom).items():
            zipped.writestr(prefix + name, content)
    assert unpack(tmp_path / "deep.zip", out) == []
    assert files(out) == files(small_phantom)
    assert stat.S_IMODE(out.stat().st_mode) & 0o055 == 0o055


def test_differences_from_the_published_set_are_reported(archive, out, capsys):
    assert main(["--zip", str(archive), "--out", str(out)]) == 1
    printed = capsys.readouterr()
    assert "images instead of 437" in printed.err
    assert "masks instead of 798" in printed.err
    assert "missing: malignant/malignant (4), " in printed.err
    assert "differs from the published set" in printed.out
    assert out.is_dir()


MAC = {"__MACOSX/._Dataset_BUSI_with_GT": b"", "__MACOSX/Dataset_BUSI_with_GT/._benign": b"",
       "__MACOSX/Dataset_BUSI_with_GT/benign/._benign (1).png": b"\x00\x05\x16\x07", ".DS_Store": b"",
       "a/.DS_Store": b"", "benign/.DS_Store": b"", "benign/._benign (1).png": b"\x00\x05\x16\x07", "Thumbs.db": b"",
       "__MACOSX/benign/": b"", "__MACOSX/benign/benign (1).png": b"no image"}  # fmt: skip


@pytest.mark.parametrize(
    "top", ["Dataset_BUSI_with_GT/", "Dataset_BUSI_with_GT 2/", "busi/", "", "download/x/BUSI (1)/"]
)
@pytest.mark.parametrize("slash", ["/", "\\"])
def test_what_a_system_puts_into_a_zip_is_left_out_whatever_the_folder_is_called(
    top, slash, small_phantom, out, known, tmp_path
):
    with zipfile.ZipFile(tmp_path / "mac.zip", "w") as zipped:
        for name, content in (MAC | {top + name: content for name, content in files(small_phantom).items()}).items():
            member = zipfile.ZipInfo("x")
            member.filename = name.replace("/", slash)  # as it is written elsewhere
            zipped.writestr(member, content)
    assert unpack(tmp_path / "mac.zip", out) == []
    assert {file.name for file in out.rglob("*") if file.is_file() and file.suffix == ".png"} == {
        Path(name).name for name in files(small_phantom)
    }
    assert not [file for file in out.rglob("*") if file.name.startswith("._") or file.name == ".DS_Store"]


def test_of_several_folders_the_one_with_all_classes_is_taken(small_phantom, out, known, tmp_path):
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as zipped:
        zipped.writestr("a_sample/benign/benign (1).png", b"no image")
        for name, content in files(small_phantom).items():
            zipped.writestr(f"whole/{name}", content)
    assert unpack(tmp_path / "two.zip", out) == []
    assert files(out) == files(small_phantom)


def test_two_whole_sets_in_a_zip_are_refused_by_name(small_phantom, out, tmp_path):
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as zipped:
        for name, content in files(small_phantom).items():
            zipped.writestr(f"one/{name}", content)
            zipped.writestr(f"two/{name}", content)
    with pytest.raises(UserError, match=r"two\.zip holds several data sets \(one, two\)"):
        unpack(tmp_path / "two.zip", out)
    assert_nothing_left(out)


@pytest.mark.parametrize(
    "name",
    [
        "__MACOSX/../../evil.png",
        "../evil.png",
        "benign/../../evil.png",
        "/evil.png",
        "..\\evil.png",
        "C:/evil.png",
        "C:\\evil.png",
    ],
)
def test_a_member_that_climbs_out_is_refused_before_anything_is_written(name, small_phantom, out, tmp_path):
    with zipfile.ZipFile(tmp_path / "slip.zip", "w") as zipped:
        for file, content in files(small_phantom).items():
            zipped.writestr(file, content)
        zipped.writestr(name, b"evil")
    with pytest.raises(UserError, match="outside the folder"):
        unpack(tmp_path / "slip.zip", out)
    assert_nothing_left(out)
    assert not list(tmp_path.rglob("evil.png"))


def test_a_link_is_refused(out, tmp_path):
    link = zipfile.ZipInfo("benign/benign (1).png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as zipped:
        zipped.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match=r"member 'benign/benign \(1\).png'"):
        unpack(tmp_path / "link.zip", out)
    assert_nothing_left(out)


def test_a_zip_that_unpacks_to_too_much_is_refused(archive, out, monkeypatch):
    monkeypatch.setattr(module, "_MOST_BYTES", 1000)
    with pytest.raises(UserError, match="would unpack to more than"):
        unpack(archive, out)
    assert_nothing_left(out)


def test_a_zip_of_very_many_members_is_refused(archive, out, monkeypatch):
    monkeypatch.setattr(module, "_MOST_MEMBERS", 5)
    with pytest.raises(UserError, match="members, more than 5"):
        unpack(archive, out)
    assert_nothing_left(out)


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_zip_is_refused_however_it_is_packed(packing, small_phantom, out, tmp_path):
    with zipfile.ZipFile(tmp_path / "whole.zip", "w", packing) as zipped:
        for name, content in files(small_phantom).items():
            zipped.writestr(name, content)
    content = (tmp_path / "whole.zip").read_bytes()
    for number in range(10):
        damaged, place = bytearray(content), len(content) * (2 * number + 1) // 40
        damaged[place : place + 8] = bytes(255 - byte for byte in content[place : place + 8])
        (tmp_path / "broken.zip").write_bytes(damaged)
        with pytest.raises(UserError, match=r"broken.zip is damaged or not a zip"):
            unpack(tmp_path / "broken.zip", out)
        assert_nothing_left(out)


def test_a_full_disk_is_not_taken_for_a_damaged_zip(archive, out, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "extract", full)
    with pytest.raises(UserError, match="the disk is full: make room"):
        unpack(archive, out)
    assert_nothing_left(out)


def cut(content):
    return content[: len(content) // 2]


def flipped(content):
    """Damage the pixels of a member in the middle and leave the directory of the zip whole."""
    middle = len(content) // 2
    return content[:middle] + bytes(255 - byte for byte in content[middle : middle + 200]) + content[middle + 200 :]


def encrypted(content):
    """Set the flag that says so, in every entry of the directory."""
    parts = content.split(b"PK\x01\x02")
    return b"PK\x01\x02".join([parts[0], *(part[:4] + b"\x01" + part[5:] for part in parts[1:])])


@pytest.mark.parametrize("damage", [cut, flipped, encrypted, lambda content: b"", lambda content: b"<html>" * 99])
def test_a_damaged_zip_is_refused_in_one_line(damage, archive, out, tmp_path):
    broken = tmp_path / "broken.zip"
    broken.write_bytes(damage(archive.read_bytes()))
    with pytest.raises(UserError, match=r"broken.zip is damaged or not a zip") as caught:
        unpack(broken, out)
    assert "\n" not in str(caught.value)
    assert_nothing_left(out)


@pytest.mark.parametrize("members", [{"readme.txt": "hello"}, {"benign/readme.txt": "hello"}])
def test_a_zip_without_busi_is_refused(members, out, tmp_path):
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as zipped:
        for name, content in members.items():
            zipped.writestr(name, content)
    with pytest.raises(UserError, match=r"has no|holds no"):
        unpack(tmp_path / "other.zip", out)
    assert_nothing_left(out)


def test_a_folder_that_is_there_is_left_as_it_is(archive, out, capsys):
    out.mkdir(parents=True)
    (out / "mine.txt").write_text("mine")
    assert main(["--zip", str(archive), "--out", str(out)]) == 1
    assert capsys.readouterr().err == f"{out} already exists: remove it to unpack {archive} again.\n"
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


def test_a_missing_zip_is_refused(out, tmp_path, capsys):
    assert main(["--zip", str(tmp_path / "none.zip"), "--out", str(out)]) == 1
    assert "No zip at" in capsys.readouterr().err


@pytest.fixture
def served(archive, monkeypatch):
    """Serve the zip from this machine, as if it were the official address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(archive.parent)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setattr(module, "ADDRESS", f"http://127.0.0.1:{server.server_port}/{archive.name}")
    monkeypatch.setattr(module, "SHA256", hashlib.sha256(archive.read_bytes()).hexdigest())
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)  # between its tries
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_zip_is_fetched_checked_and_unpacked(served, small_phantom, out, known):
    assert main(["--out", str(out)]) == 0
    assert files(out) == files(small_phantom)


def test_a_fetched_zip_is_not_fetched_again(served, tmp_path, monkeypatch):
    fetched = download(tmp_path)
    monkeypatch.setattr(module, "ADDRESS", "http://127.0.0.1:9/gone.zip")
    assert download(tmp_path) == fetched


def test_a_wrong_checksum_is_refused_and_nothing_is_left(served, out, monkeypatch, capsys):
    monkeypatch.setattr(module, "SHA256", "0" * 64)
    assert main(["--out", str(out)]) == 1
    assert "wrong SHA-256" in capsys.readouterr().err
    assert_nothing_left(out)


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/x.zip", "SERVER/missing.zip"])
def test_an_address_that_fails_is_one_clear_line(address, served, out, monkeypatch, capsys):
    server = f"http://127.0.0.1:{served.server_port}"
    monkeypatch.setattr(module, "ADDRESS", address.replace("SERVER", server))
    assert main(["--out", str(out)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "cannot be reached" in lines[0]
    assert "--zip path" in lines[0]
    assert_nothing_left(out)


@pytest.mark.busi
def test_busi_is_the_published_set(busi):
    assert compare_with_known(busi) == []
