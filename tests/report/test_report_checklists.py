"""A report comes with reporting checklists whose items name a place in it, or say why there is none."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from across_runs import draw_cases, evaluate, section_of
from study_runs import describe_images, draw_predictions, name_images, record

from bus_lightning.data.sources.registry import SOURCES, get_source
from bus_lightning.report import checklists
from bus_lightning.report.checklist_section import CHECKLISTS, checklist_section, names_in
from bus_lightning.report.checklist_tripod import TRIPOD_AI
from bus_lightning.report.checklists import AUTHORS, HEAD, Checklist, Entry, count_states, fill, find_places
from bus_lightning.report.data_facts import data_facts_section, find_cards
from bus_lightning.report.making import make_report
from bus_lightning.report.sections import Note, Section, TableItem
from bus_lightning.report.studied_images import read_studied
from bus_lightning.runs.folder import RunDir
from bus_lightning.statistics.conditions import read_group

TRAIN, VAL, TEST = name_images(9, 500), name_images(6, 600), name_images(60, 900)
_LINK = re.compile(r"\[([^\]]+)\]\(\.\./index\.html(?:#([^)]*))?\)")
_REASONS = (AUTHORS, "not applicable, because ", "not in this report: ", "the most probable class")


_MADE: list[Path] = []


@pytest.fixture
def report(finished, tmp_path_factory):
    """The folder of a real report of a classifier and a segmenter, made once."""
    if _MADE:
        return _MADE[0]
    cases = pd.concat([draw_predictions(VAL, part="val"), draw_predictions(TEST)], ignore_index=True)
    run = finished("group=study", "model=resnet34", cases=cases, train=TRAIN)
    record(run, describe_images(TRAIN + VAL + TEST))
    finished("group=study", "model=u2net_lite")
    made = make_report([run.path.parent]).parent
    _MADE.append(shutil.copytree(made, tmp_path_factory.mktemp("checklists") / "report"))
    return _MADE[0]


def rows_of(text):
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ") and not line.startswith("| :")]
    return [
        (number.removeprefix("| "), asks, where.removesuffix(" |"))
        for number, asks, where in rows
        if asks != "asks for"
    ]


def test_every_place_that_a_checklist_names_is_in_the_report(report):
    page = (report / "index.html").read_text()
    markdown = (report / "report.md").read_text()
    assert {file.name for file in (report / "checklists").iterdir()} == {"claim.md", "tripod_ai.md", "stard_ai.md"}
    for checklist in CHECKLISTS:
        text = (report / "checklists" / f"{checklist.name}.md").read_text()
        links = _LINK.findall(text)
        assert len(links) > 20
        for label, anchor in links:
            assert not anchor or f'id="{anchor}"' in page, (checklist.name, label)
            kind, _, number = label.partition(",")[0].partition(" ")
            if kind in ("Table", "Figure"):
                assert f"**{label}.**" in markdown
            elif kind == "section":
                assert f"## {number}. {label.partition(', ')[2]}\n" in markdown


def test_every_item_has_a_place_or_a_reason(report):
    for checklist in CHECKLISTS:
        rows = rows_of((report / "checklists" / f"{checklist.name}.md").read_text())
        assert [number for number, *_ in rows] == [item.number for items in checklist.items.values() for item in items]
        for number, _, where in rows:
            answered = "](../index.html" in where or "in the folder of each run" in where
            assert answered or where.startswith(_REASONS), (checklist.name, number, where)
    claim = {number: where for number, _, where in rows_of((report / "checklists" / "claim.md").read_text())}
    assert "#figure-flow" in claim["35"]
    assert "#table-characteristics" in claim["36"]
    assert claim["44"] == AUTHORS
    assert claim["33"] == "not in this report: no run was evaluated on another data set"


def test_the_page_counts_the_items_that_it_answers(report):
    table = pd.read_csv(report / "tables" / "reporting_checklists.csv").set_index("file")
    for checklist in CHECKLISTS:
        row = table.loc[f"checklists/{checklist.name}.md"]
        numbers = row.drop("checklist").astype(int)
        assert numbers.sum() == sum(map(len, checklist.items.values()))
        text = (report / "checklists" / f"{checklist.name}.md").read_text()
        assert numbers["to be stated by the authors"] == sum(where.startswith(AUTHORS) for *_, where in rows_of(text))


@pytest.mark.parametrize("checklist", CHECKLISTS, ids=lambda checklist: checklist.name)
def test_a_checklist_has_each_number_once_and_names_files_that_runs_have(checklist):
    numbers = [item.number for items in checklist.items.values() for item in items]
    assert len(numbers) == len(set(numbers))
    whole = {int(re.sub(r"\D", "", number)) for number in numbers}
    assert whole == set(range(1, {"claim": 44, "tripod_ai": 27, "stard_ai": 40}[checklist.name] + 1))
    run = RunDir(Path("run"))
    files = {path.name for path in vars(run).values() if isinstance(path, Path)}
    assert {file for items in checklist.items.values() for item in items for file in item.files} <= files
    assert all("|" not in item.text + item.add + item.otherwise for items in checklist.items.values() for item in items)


def test_a_place_that_the_report_lacks_is_replaced_by_the_reason():
    item = Entry("1", "a flow", ("flow*",), otherwise="not applicable, because nothing flows")
    checklist = Checklist("c", "C", "source", "numbers", {"H": (item, Entry("2", "funding"))})
    assert "| 1 | a flow | not applicable, because nothing flows |" in fill(checklist, {})
    places = {"flow_1": "[Figure 1](../index.html#figure-flow_1)", "flows": "[Table 1](../index.html#table-flows)"}
    assert f"| 1 | a flow | {places['flow_1']}; {places['flows']} |" in fill(checklist, places)
    assert list(count_states(checklist, ["flow_1"]).values()) == [1, 1, 0]
    assert list(count_states(checklist, []).values()) == [0, 1, 1]


def test_data_sets_without_a_test_on_another_set_are_no_test_on_external_data(trained_on):
    trained_on("busi")
    run = trained_on("bus_bra")
    asked = {("claim", "33"), ("tripod_ai", "23b"), ("stard_ai", "29")}
    entries = {(each.name, item.number): item for each in CHECKLISTS for items in each.items.values() for item in items}
    for is_tested in (False, True):
        if is_tested:
            evaluate(run, "busi", draw_cases("busi"))
        names = names_in([section_of(run)])
        assert "across_sets" in names
        for key in asked:
            assert bool(find_places(entries[key], names)) == is_tested, key
            assert entries[key].otherwise == "not in this report: no run was evaluated on another data set"


def test_a_spread_over_seeds_is_no_difference_between_clusters():
    items = (item for items in TRIPOD_AI.items.values() for item in items)
    assert not [
        item.number for item in items if "clusters" in item.text and find_places(item, ["variance_segmentation"])
    ]


def test_aims_and_the_reason_of_a_sample_size_are_left_to_the_authors():
    names = ["protocol_plan", "protocol_primary", "sample_size"]
    items = [item for each in CHECKLISTS for items in each.items.values() for item in items]
    aims = [item for item in items if re.search("objectives|hypotheses|goal of", item.text)]
    assert [(find_places(item, names), item.otherwise) for item in aims] == [([], AUTHORS)] * 4
    sizes = [item for item in items if "sample_size" in find_places(item, names)]
    assert [item.add for item in sizes] == ["how this number was chosen"] * 3


def test_the_names_of_a_report_are_its_titles_and_slugs():
    sections = [Section("First", "", [Note("a note"), TableItem("t", "", pd.DataFrame())]), Section("Second", "", [])]
    assert names_in(sections) == ["First", "t", "Second"]
    assert checklist_section(sections).title == "Reporting checklists"


def facts_of(run):
    section = data_facts_section(read_studied(read_group(run.path.parent).conditions))
    tables = {item.slug: item.frame for item in section.items}
    facts = tables["data_facts"].set_index(["data set", "fact"])["what is stated"]
    return facts, tables.get("data_limits")


def test_the_facts_of_a_published_set_are_those_of_its_card(finished):
    run = finished("group=facts", "model=resnet34", "data=bus_bra", "data.root=null")
    record(run, describe_images(["benign/x"]), name="bus_bra")
    facts, limits = facts_of(run)
    assert facts["bus_bra", "reference standard of the class"] == "biopsy of every tumour"
    assert "senior ultrasonographer" in facts["bus_bra", "lesions outlined by"]
    assert "doi:10.1002/mp.16812" in facts["bus_bra", "to cite"]
    assert {"limit", "fault of the files"} == set(limits["kind"])


def test_what_is_not_known_of_a_folder_is_left_to_its_owner_and_nothing_is_invented(finished):
    run = finished("group=facts", "model=resnet34", "data=folder")
    run.sets.write_text('{"sets": {"hospital": {"data": "folder"}}, "parts": {}, "seen": 0}')
    facts, limits = facts_of(run)
    assert set(facts["hospital"]) == {"to be stated by the owner of the data", "-"}
    assert limits is None


def test_synthetic_images_are_called_synthetic(finished):
    run = finished("group=facts", "model=resnet34", "data.phantom={images: 9, seed: 0}")
    (card,) = find_cards(read_studied(read_group(run.path.parent).conditions)).values()
    assert card.title == "Synthetic images"
    assert "nothing about patients" in card.limits[0]


def test_each_card_of_a_published_set_states_its_reference_standard_annotators_and_limits():
    for name in SOURCES:
        card = get_source(name).CARD
        if card.counts:
            assert card.reference_standard, name
            assert card.annotators, name
            assert card.limits, name
            assert all(text.endswith(".") for text in card.limits), name


def test_every_place_that_a_checklist_may_name_is_made_by_a_section():
    files = Path(checklists.__file__).parent.rglob("*.py")
    made = "".join(file.read_text() for file in files if not file.name.startswith("checklist"))
    for checklist in CHECKLISTS:
        places = {place for items in checklist.items.values() for item in items for place in item.places} - {HEAD}
        tasks = {"Classification", "Segmentation"}  # titles that are made of the name of the task
        lost = [place for place in places - tasks if f'"{place.removesuffix("*")}' not in made]
        assert not lost, (checklist.name, lost)
