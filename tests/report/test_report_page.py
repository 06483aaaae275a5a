import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from markdown_it import MarkdownIt
from matplotlib.figure import Figure
from PIL import Image

from bus_lightning.core import files
from bus_lightning.core.errors import UserError
from bus_lightning.report.sections import FigureItem, Note, Section, TableItem
from bus_lightning.report.writing import write_report

NASTY = '<script>alert(1)</script> & "quotes" | pipe_ _under_ *star* `tick` [link](x) $a$ resnet34__size-128'
DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
FACTS = {"Data set": "BUSI", "Runs": NASTY}


def figure(points=20):
    drawn = Figure(figsize=(7, 3), layout="constrained")
    axis = drawn.subplots()
    axis.scatter(np.arange(points), np.random.default_rng(0).random(points))
    axis.set_xlabel("Epoch")
    return drawn


def sections():
    scores = pd.DataFrame(
        {"condition": ["resnet34__size-128", NASTY], "Dice": ["0.81 (0.78, 0.84)", DASH], "n": [156, 12]}
    )
    return [
        Section(f"Scores {NASTY}", f"Intro {NASTY}\n\nSecond paragraph.", [
            Note(f"Plain {NASTY}"),
            TableItem("scores", f"Caption of scores {NASTY}", scores),
            FigureItem("curves", f"Caption of curves {NASTY}", figure(), f"Alt of curves {NASTY}"),
        ]),
        Section("Checks", "", [Note("Twins in training.", "warning"), Note("No twins.\n\nSure.", "good")]),
        Section("Cloud", "", [FigureItem("cloud", "A heavy figure", figure(6000), "Many marks")]),
        Section("Nothing here", "", []),
        Section("No rows", "", [TableItem("none", "Left out", pd.DataFrame({"run": []}))]),
    ]  # fmt: skip


class Page(HTMLParser):
    """The text of a page, and its elements with their attributes."""

    def __init__(self, html):
        super().__init__()
        self.text, self.elements, self._silent = "", [], 0
        self.feed(html)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self._silent += tag in ("style", "script")

    def handle_endtag(self, tag):
        self._silent -= tag in ("style", "script")

    def handle_data(self, data):
        self.text += "" if self._silent else data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def page_of(folder):
    return Page((folder / "index.html").read_text("utf-8"))


def bytes_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "report"
    write_report(folder, f"Title {NASTY}", f"Subtitle {NASTY}", sections(), FACTS)
    return folder


TEXTS = [
    *(f"{what} {NASTY}" for what in ("Title", "Subtitle", "Scores", "Intro", "Plain", "Caption of scores")),
    *(f"Caption of curves {NASTY}", "Second paragraph.", "resnet34__size-128", "0.81 (0.78, 0.84)", "156", "Data set"),
    *("Twins in training.", "Check passed", "No twins.", "Sure.", "A heavy figure", "Nothing here", "Left out"),
    *("Table 1.", "Table 2.", "Figure 1.", "Figure 2.", "Nothing to report.", "No rows."),
]


@pytest.mark.parametrize("text", TEXTS)
def test_the_page_shows_every_text_unchanged(report, text):
    assert text in page_of(report).text


@pytest.mark.parametrize("text", TEXTS)
def test_markdown_shows_every_text_unchanged(report, text):
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    page = Page(markdown.render((report / "report.md").read_text("utf-8")))
    assert text in page.text
    assert not page.all("em")


def test_markdown_shows_tables_and_figures(report):
    markdown = (report / "report.md").read_text("utf-8")
    page = Page(MarkdownIt("commonmark").enable("table").render(markdown))
    shown = [image["src"] for image in page.all("img")]
    assert shown == ["figures/curves.svg", "figures/cloud.svg"]
    assert page.all("img")[0]["alt"] == f"Alt of curves {NASTY}"
    links = [link["href"] for link in page.all("a")]
    assert links == ["tables/scores.csv", "tables/none.csv"]
    assert all((report / path).is_file() for path in shown + links)
    assert len(page.all("th")) == 3
    assert [cell["style"] for cell in page.all("td")] == ["text-align:left", "text-align:right", "text-align:right"] * 2
    assert "> [!WARNING]\n> Twins in training." in markdown


def test_a_list_is_not_made_of_a_paragraph_that_begins_like_one(tmp_path):
    texts = ["1. first", "- dash", "# hash", "+ plus", "2024) year"]
    write_report(tmp_path / "r", "T", "- sub", [Section("S", text, [Note(text)]) for text in texts], {})
    page = Page(MarkdownIt("commonmark").render((tmp_path / "r" / "report.md").read_text("utf-8")))
    assert not page.all("li")
    assert len(page.all("h1")) == 1
    assert all(page.text.count(text) == 2 for text in texts)


def test_every_table_and_figure_is_a_file(report):
    table = pd.read_csv(report / "tables" / "scores.csv")
    pd.testing.assert_frame_equal(table, sections()[0].items[1].frame)
    assert (report / "figures" / "curves.svg").read_text("utf-8").startswith("<?xml")
    assert sorted(bytes_of(report)) == [
        *("figures/cloud.svg", "figures/curves.svg"),
        *("index.html", "report.md", "tables/none.csv", "tables/scores.csv"),
    ]


def test_the_page_holds_its_figures_and_tables(report):
    page = page_of(report)
    light, heavy = (image["src"].partition(";base64,") for image in page.all("img"))
    assert light[0] == "data:image/svg+xml"
    assert heavy[0] == "data:image/png"  # its SVG would weigh megabytes
    assert base64.b64decode(light[2]) == (report / "figures" / "curves.svg").read_bytes()
    with Image.open(io.BytesIO(base64.b64decode(heavy[2]))) as image:
        assert 150 <= image.width / 7 <= 200  # dpi
    assert [image["alt"] for image in page.all("img")] == [f"Alt of curves {NASTY}", "Many marks"]
    downloads = {link["download"]: link["href"] for link in page.all("a") if "download" in link}
    assert set(downloads) == {"scores.csv", "none.csv"}
    content = base64.b64decode(downloads["scores.csv"].partition(";base64,")[2])
    assert content == (report / "tables" / "scores.csv").read_bytes()


def test_the_page_loads_nothing_from_outside(report):
    html = (report / "index.html").read_text("utf-8")
    for tag, attributes in Page(html).elements:
        for name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href"):
            if name in attributes:
                assert attributes[name].startswith(("data:", "#")), (tag, attributes)
    assert not re.search(r"https?://|url\(|@import|fetch\(", html)
    policy = next(meta["content"] for meta in Page(html).all("meta") if "content-security-policy" in str(meta).lower())
    assert "default-src 'none'" in policy


def test_text_is_never_markup(report):
    page = page_of(report)
    assert len(page.all("script")) == 1
    assert (report / "index.html").read_text("utf-8").count("alert(1)</script>") == 0


def test_the_page_has_language_title_and_contents(report):
    page = page_of(report)
    assert page.all("html") == [{"lang": "en"}]
    assert page.text.startswith(f"Title {NASTY}")
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [link["href"] for link in page.all("a") if link["href"].startswith("#")]
    assert links == [f"#section-{number}" for number in range(1, 6)] * 2  # next to the text, and above it on a phone
    assert {link[1:] for link in links} <= set(ids)


def test_a_warning_is_shown_by_words_and_an_icon(report):
    html = (report / "index.html").read_text("utf-8")
    box = re.search(r'<div class="note warning".*?</div></div>', html, re.DOTALL)[0]
    assert "#icon-warning" in box
    assert "Warning:" in Page(box).text
    assert 'title="1 warning"' in html  # in the contents


@pytest.mark.parametrize(
    ("values", "numeric", "shown"),
    [
        ([0.5, 0.25, None], True, ["0.500", "0.250", DASH]),
        ([12.0, None, 3.0], True, ["12", DASH, "3"]),
        ([1e-7, 2.5, 3.0], True, ["1e-07", "2.5", "3"]),
        ([11176512, 3, 0], True, ["11176512", "3", "0"]),
        (["0.81 (0.78, 0.84)", DASH, f"{MINUS}0.2 [{MINUS}0.3, 0.1]"], True, None),
        (["< 0.001", "12/156", "±0.3"], True, None),
        (["3.2 ms", "1.5e-3 s", "45 %"], True, None),
        (["resnet34", "0.1", "0.2"], False, None),
        (["2d-unet", "3d-unet", "1"], False, None),
        ([DASH, "", "n/a"], False, None),
        ([True, False, True], False, ["yes", "no", "yes"]),
    ],
)
def test_numbers_are_aligned_right_and_words_left(tmp_path, values, numeric, shown):
    table = TableItem("t", "c", pd.DataFrame({"name": list("abc"), "value": values}))
    write_report(tmp_path / "r", "T", "", [Section("S", "", [table])], {})
    html = (tmp_path / "r" / "index.html").read_text("utf-8")
    cells = re.findall(r'<td class="(\w+)">(?:<span>)?(.*?)(?:</span>)?</td>', html)
    assert [kind for kind, _ in cells] == ["numeric" if numeric else "text"] * 3
    assert ('<th scope="col" class="numeric">value' in html) == numeric
    if shown:
        assert [text for _, text in cells] == shown


def test_columns_of_one_name_are_all_shown(tmp_path):
    table = TableItem("t", "c", pd.DataFrame([["a", "left", "right"]], columns=["x", "y", "y"]))
    write_report(tmp_path / "r", "T", "", [Section("S", "", [table])], {})
    assert "a left right" in Page((tmp_path / "r" / "index.html").read_text("utf-8").replace("</t", " </t")).text


def test_the_same_input_gives_the_same_bytes(report, tmp_path):
    write_report(tmp_path / "again", f"Title {NASTY}", f"Subtitle {NASTY}", sections(), FACTS)
    assert bytes_of(tmp_path / "again") == bytes_of(report)


def test_an_empty_report_is_written(tmp_path):
    write_report(tmp_path / "deep" / "r", "T", "", [], {})
    assert page_of(tmp_path / "deep" / "r").all("h1")


def small(*items):
    return [Section("S", "", [TableItem("t", "c", pd.DataFrame({"x": [1]})), *items])]


def test_a_new_report_replaces_the_old_one_as_a_whole(tmp_path):
    write_report(tmp_path / "r", "Old", "", small(), {})
    assert sorted(bytes_of(tmp_path / "r")) == ["index.html", "report.md", "tables/t.csv"]
    write_report(tmp_path / "r", "New", "", [], {})
    assert sorted(bytes_of(tmp_path / "r")) == ["index.html", "report.md"]
    assert "New" in page_of(tmp_path / "r").text
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


class Broken(Figure):
    def savefig(self, *args, **kwargs):
        raise OSError("disk full")


def test_a_failure_while_writing_leaves_the_old_report(tmp_path):
    write_report(tmp_path / "r", "Old", "", small(), FACTS)
    old = bytes_of(tmp_path / "r")
    with pytest.raises(OSError, match="disk full"):
        write_report(tmp_path / "r", "New", "", small(FigureItem("broken", "c", Broken(), "a")), FACTS)
    assert bytes_of(tmp_path / "r") == old
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_a_failure_while_swapping_leaves_the_old_report(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_swap", lambda *_: False)  # as on systems that cannot swap two folders in one step
    write_report(tmp_path / "r", "Old", "", [], {})
    old, rename = bytes_of(tmp_path / "r"), Path.rename

    def fails_once_the_old_one_is_away(path, target):
        if path.name != "r" and not path.name.endswith(".old"):
            raise PermissionError("in use")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fails_once_the_old_one_is_away)
    with pytest.raises(PermissionError):
        write_report(tmp_path / "r", "New", "", [], {})
    assert bytes_of(tmp_path / "r") == old
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match=r"thesis\.tex"):
        write_report(tmp_path, "T", "", [], {})
    with pytest.raises(UserError, match="is a file"):
        write_report(tmp_path / "thesis.tex", "T", "", [], {})
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("slugs", [("a", "a"), ("a", "A"), ("../a", "b"), ("", "b"), (".a", "b"), ("a/b", "c")])
def test_slugs_that_cannot_name_two_files_are_refused(tmp_path, slugs):
    first, second = (TableItem(slug, "c", pd.DataFrame({"x": [1]})) for slug in slugs)
    with pytest.raises(ValueError, match="slug"):
        write_report(tmp_path / "r", "T", "", [Section("S", "", [first]), Section("U", "", [second])], {})
    assert not list(tmp_path.iterdir())


def test_a_note_of_an_unknown_kind_is_refused(tmp_path):
    with pytest.raises(ValueError, match="grave"):
        write_report(tmp_path / "r", "T", "", [Section("S", "", [Note("x", "grave")])], {})
