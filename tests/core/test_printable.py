"""Names of others reach neither a terminal nor a log with characters that act, nor a spreadsheet as formulas."""

import logging
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.table import Table

from bus_lightning.core.console import PrintableConsole
from bus_lightning.core.csv_cells import escape_formula, unescape_formula
from bus_lightning.core.csv_files import read_table, write_csv
from bus_lightning.core.errors import DamagedError, UserError, disk_trouble, explain
from bus_lightning.core.printable import PrintableFormatter, printable, printable_lines
from bus_lightning.data.audit_command import main as audit
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.record import recorded
from bus_lightning.runs.table import show

CLEAR, TURNED = "\x1b[2Jname", "a\u202egnp.exe"
ACTING = ["\x1b[2J", "\x9b31m", "\r", "\a", "\b", "\x7f", "\u202e", "\u2066", "\u2028", "\u200b", "\ufeff", "\ud800"]
FORMULAS = ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "=HYPERLINK(1)", "-", "--a", "\uff1d1",
            "'=1", "''=1", "'", "''", "'a", "-a", "+", "@"]  # fmt: skip
PLAIN = ["benign/benign (1)", "a=b", "0.5", "-0.5", "+3", "-1e-05", "-0.123 (-0.200 to 0.004)", "", "'quoted'", "NA"]


@pytest.mark.parametrize("sign", ACTING)
def test_a_character_that_acts_on_a_terminal_is_written_as_its_escape(sign):
    shown = printable(f"a{sign}b")
    assert shown.isprintable()
    assert shown.startswith("a\\")
    assert printable(shown) == shown
    shown.encode()


def test_other_letters_stay_as_they_are():
    for text in ("乳腺 超声", "ультразвук", "صورة", "🩺", "é", "\u200d", "a b"):
        assert printable(text) == text
    assert printable_lines("a\n\tb\x1b") == "a\n\tb\\x1b"


@pytest.mark.parametrize("name", [CLEAR, TURNED, "a\nError: forged"])
def test_an_error_is_one_printable_line(name):
    for error in (UserError(f"{name}: wrong"), DamagedError(Path(name), name), UserError(OSError(2, name))):
        assert str(error).isprintable()
    assert explain(RuntimeError(f"{CLEAR} {TURNED}")).isprintable()
    assert disk_trouble(OSError(28, "No space left", name)).isprintable()


def log_of(make, formatter=None):
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter or PrintableFormatter("%(levelname)s %(message)s"))
    log = logging.Logger("test")
    log.addHandler(handler)
    make(log)
    return stream.getvalue()


@pytest.mark.parametrize("name", [CLEAR, TURNED, "a\nERROR forged", "a\rERROR forged"])
def test_a_name_cannot_forge_a_line_of_a_log(name):
    for value in (name, Path(name), ValueError(name)):
        text = log_of(lambda log, value=value: log.warning("%s: %d images", value, 3))
        assert text.count("\n") == 1
        assert text.strip().isprintable()
    assert log_of(lambda log: log.warning("%(name)s", {"name": name})).count("\n") == 1
    assert "\x1b" not in log_of(lambda log: log.warning(name))


def test_a_log_keeps_the_lines_of_a_message_and_of_a_traceback():
    def fail(log):
        try:
            raise ValueError(CLEAR)
        except ValueError:
            log.exception("several\nlines")

    text = log_of(fail)
    assert text.startswith("ERROR several\nlines\nTraceback")
    assert text.endswith("ValueError: \\x1b[2Jname\n")


def fail_after_a_warning():
    logging.getLogger().warning("%s", CLEAR)
    raise RuntimeError(CLEAR)


def test_each_console_and_log_of_the_commands_is_printable(tmp_path):
    console = PrintableConsole(file=StringIO(), force_terminal=True, width=100)
    table = Table("run")
    table.add_row(CLEAR, style="yellow")
    console.print(table)
    console.print(TURNED, markup=False)
    assert "\x1b[2J" not in console.file.getvalue()
    assert "\u202e" not in console.file.getvalue()
    assert "\x1b[33m" in console.file.getvalue(), "rich's own colours stay"
    run = RunDir(tmp_path / "run")
    with pytest.raises(RuntimeError), recorded(run, "model"):
        fail_after_a_warning()
    assert "\x1b" not in run.log.read_text() + run.error.read_text() + run.status["error"]
    assert "\\x1b[2Jname" in run.log.read_text()


def test_the_table_of_runs_is_printable(capsys):
    row = {"run": f"m__{CLEAR}", "model": "m", "state": "failed", "error": CLEAR, "folder": f"runs/{CLEAR}"}
    numbers = ("parameters", "seconds", "epochs", "n", "accuracy", "f1_macro", "auroc_macro", "iou_image", "dice_image")
    table = pd.DataFrame([row | dict.fromkeys(numbers) | {"majority": None}])
    for column in _columns_of_the_table():
        table[column] = table.get(column)
    show(table)
    assert "\x1b[2J" not in capsys.readouterr().out


def _columns_of_the_table():
    from bus_lightning.runs.table import _COUNTS, _SCORES

    return (*_COUNTS, *_SCORES, "majority")


@pytest.mark.parametrize("text", [*FORMULAS, *PLAIN])
def test_an_escaped_text_is_read_back_as_it_was_and_is_no_formula(text):
    cell = escape_formula(text)
    assert unescape_formula(cell) == text
    assert cell[:1] not in ("=", "@", "\t", "\r", "\n", "\uff1d")
    assert (cell == text) == (text in PLAIN or text in ("-", "'", "''", "'a"))


def test_a_table_keeps_its_texts_and_its_numbers(tmp_path):
    texts = [text for text in (*FORMULAS, *PLAIN) if text and "\r" not in text]
    table = pd.DataFrame({"id": texts, "=1+1": np.linspace(-1, 1, len(texts)), "whole": -3})
    write_csv(table, tmp_path / "t.csv")
    lines = (tmp_path / "t.csv").read_text()
    assert lines.startswith("id,'=1+1,whole\n'=1+1,-1.0,-3\n")
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.csv", needed=["id", "=1+1"], text=["id"]), table,
                                  check_dtype=False)  # fmt: skip
    unchanged = pd.DataFrame({"id": ["a", "b"], "n": [1, 2], "some": [None, 2], "mixed": [3, None], "x": [0.1, None]})
    unchanged["mixed"] = unchanged["mixed"].astype(object)
    write_csv(unchanged, tmp_path / "u.csv")
    unchanged.to_csv(tmp_path / "expected.csv", index=False)
    assert (tmp_path / "u.csv").read_bytes() == (tmp_path / "expected.csv").read_bytes()


def test_an_older_table_is_read_as_before(tmp_path):
    (tmp_path / "t.csv").write_text("id,n\n=1+1,-1\n-a,2\n")
    table = read_table(tmp_path / "t.csv", needed=["id"], text=["id"])
    assert table["id"].tolist() == ["=1+1", "-a"]
    assert table["n"].tolist() == [-1, 2]


def test_a_header_without_end_is_no_table(tmp_path):
    (tmp_path / "t.csv").write_text("a," * 100_000 + "\n1\n")
    with pytest.raises(DamagedError, match="not the header of a table"):
        read_table(tmp_path / "t.csv", needed=["a"])


def test_names_of_a_data_folder_are_shown_and_tabled_without_effect(small_copy, tmp_path, capsys):
    first, second, third = sorted(file for file in (small_copy / "benign").glob("*.png") if "_mask" not in file.name)[
        :3
    ]
    for file, name in ((first, "=1+1"), (second, "\x1b[2J[red]"), (third, "@a")):
        for own in file.parent.glob(f"{file.stem.replace('[', '[[]')}*.png"):
            own.rename(own.with_name(own.name.replace(file.stem, name)))
    (small_copy / "benign" / "\x1b[2J[red].png").write_bytes(b"no picture")
    audit([str(small_copy), "--out", str(tmp_path / "audit"), "--cache", str(tmp_path / "cache")])
    shown = "".join(capsys.readouterr())
    assert "\x1b[2J" not in shown
    assert "\\x1b[2J[red]" in shown
    ids = read_table(tmp_path / "audit" / "groups.csv", needed=["id"], text=["id"])["id"].tolist()
    assert {"benign/=1+1", "benign/@a"} <= set(ids)
