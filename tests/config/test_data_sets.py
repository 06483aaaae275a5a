"""What a config says about its data sets, and the mistakes that are refused before an image is read."""

import pytest
from composing import ROOT
from hydra import compose, initialize_config_dir
from hydra.conf import ConfigSourceInfo
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from bus_lightning.config import data_sets
from bus_lightning.config.composing import compose_data
from bus_lightning.config.data_sets import options_by_set
from bus_lightning.config.identity import identity
from bus_lightning.config.rules import check
from bus_lightning.config.settle import settle
from bus_lightning.core.errors import UserError
from bus_lightning.data.sources.registry import SOURCES, get_source
from bus_lightning.launch.grids import check_grid

BOTH = "data=[busi,bus_bra]"


def settled(*overrides):
    """Compose, check and settle a config, and read the options of its sets, as a run does before it reads an image."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("train", overrides=list(overrides))
    check(cfg)
    cfg = settle(cfg, rules=2)
    options_by_set(cfg.data)
    return cfg


def test_several_sets_are_named_by_a_list_of_groups():
    assert list(options_by_set(settled(BOTH).data)) == ["busi", "bus_bra"]


def test_of_a_file_of_the_user_only_the_tested_set_is_added(tmp_path, monkeypatch):
    monkeypatch.setattr(data_sets, "find_config_folders", lambda _: [ROOT / "conf", tmp_path])
    (tmp_path / "data").mkdir()
    file = tmp_path / "data" / "hospital.yaml"
    file.write_text("sets: {hospital: {source: folder, root: /x}, clinic: {source: folder, root: /y}}\n")
    cfg = settled("data=busi", "data.test=hospital")
    assert list(cfg.data.sets) == ["busi", "hospital"]  # the run would train on the clinic
    for text in ("sets: {clinic: {source: folder, root: /y}}\n", "defaults: [busi]\n"):
        file.write_text(text)
        with pytest.raises(UserError, match=r"hospital\.yaml has no set of this name: call the set in it hospital"):
            settled("data=busi", "data.test=hospital")


@pytest.mark.parametrize("test", ["breast", "[breast]"])
def test_a_tested_set_is_added_with_the_options_of_its_file_by_name_or_in_a_list(test):
    cfg = settled("data=busi", f"data.test={test}")
    assert cfg.data.test == ["breast"]
    assert options_by_set(cfg.data)["breast"]["source"] == "breast"
    assert identity(cfg) == identity(settled("data=busi", "data.test=breast"))
    assert identity(cfg) != identity(settled("data=busi"))


def test_a_tested_set_that_is_configured_keeps_its_options():
    cfg = settled(BOTH, "data.test=bus_bra", "data.sets.bus_bra.root=/x")
    assert options_by_set(cfg.data)["bus_bra"]["root"] == "/x"


def test_the_first_sheet_of_a_set_is_not_the_sheet_of_all_sets():
    cfg = settled("data=[busi,table]", "+data.sets.table.sheet=0", "+data.sets.other={source: table}", "data.sheet=2")
    assert {name: own["sheet"] for name, own in options_by_set(cfg.data).items()} == {"busi": 2, "table": 0, "other": 2}


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["data=busi", "data.test=busi"], "data.test=busi leaves no data set to train on"),
        ([BOTH, "data.test=[busi,bus_bra]"], "leaves no data set to train on"),
        (["data=busi", "data.test=hospital"], "data.test names 'hospital'.*choose from busi, breast"),
        (["data=busi", "data.test=default"], "data.test names 'default'"),
        (["data=busi", "data.test=[]"], "data.test=.*give a name"),
        ([BOTH, "data.test=busi", "data.split.folds=5", "data.split.fold=0"], "data.split.folds does not work"),
        ([BOTH, "data.test=busi", "data.split.method=published"], "method=published does not work with it"),
        ([BOTH, "data.test=busi", "data.split.method=file", "data.split.file=x.json"], "method=file does not work"),
        ([BOTH, "data.root=/x"], r"one folder for 2 data sets: give data.sets.busi.root=FOLDER data.sets.bus_bra.root"),
        (["data=busi", "data.test=breast", "data.root=/x"], "one folder for 2 data sets"),
        (["data=folder"], "data=folder needs data.root=FOLDER"),
        (["data=[busi,folder]"], "data=folder needs data.sets.folder.root=FOLDER"),
        (["data=[busi,phantom]"], "data=phantom draws its images itself and works alone"),
        (["data=phantom", "data.test=busi"], "data=phantom draws its images itself and works alone"),
        (["data=busi", "+data.sets.busi.rot=/x"], "data.sets.busi.rot is unknown: choose from source, root"),
        (["data=busi", "+data.sets.mine.root=/x"], r"data.sets.mine needs a source"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_option_and_the_cure(overrides, line):
    with pytest.raises(UserError, match=line) as refused:
        settled(*overrides)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["data.table=x.csv"], "data.table=x.csv is not read with data=busi: it needs data=table; add that"),
        (["data.columns={image: File}"], "data.columns is not read"),
        (["data.map.mask_counts=[tumour]"], r"data.map.mask_counts=\[tumour\] is not read"),
        (["data=[busi,bus_bra]", "data.sheet=0"], r"data.sheet=0 is not read with data=\[busi,bus_bra\]"),
        (["data=table", "data.annotations=a.json"], "data.annotations=a.json is not read .* it needs data=coco"),
        (["data=coco", "data.masks=gt"], "data.masks=gt is not read .* needs data=images_masks or data=table"),
        (
            ["data=[busi,table]", "+data.sets.busi.table=x.csv"],
            "data.sets.busi.table=x.csv is not read with source=busi",
        ),
        (
            ["data.sets.busi.root=/x", "data.root=/y"],
            "data.root=/y has no effect, because data.sets.busi.root is set: leave it out, or change that",
        ),
        (
            ["+data.sets.busi.map={class: {x: [benign]}}", "data.map.class={y: [benign]}"],
            "data.map={class:{y:.benign.}} has no effect, because data.sets.busi.map is set",
        ),
        (
            [BOTH, "+data.sets.busi.drop={class: [x]}", "+data.sets.bus_bra.drop={class: [x]}", "data.drop.class=[y]"],
            "because data.sets.busi.drop and data.sets.bus_bra.drop are set",
        ),
    ],
)
def test_an_option_that_no_data_set_reads_is_refused(overrides, line):
    with pytest.raises(UserError, match=line):
        settled(*overrides)
    if not overrides[-1].startswith("+"):
        with pytest.raises(UserError, match=line):
            compose_data(overrides)


def test_only_a_grid_over_data_sets_may_have_the_options_of_one_of_them():
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        over_models, over_sets = (
            compose("train", overrides=["sweep=paper", "data.table=x.csv", *more], return_hydra_config=True)
            for more in ([], ["+hydra.sweeper.params.data='busi,table'"])
        )
    with pytest.raises(UserError, match=r"^data\.table=x\.csv is not read with data=busi"):
        check_grid(over_models)
    check_grid(over_sets)
    check(over_sets, in_grid=True)  # its job with data=busi


def test_a_grid_that_tests_a_set_of_the_user_refuses_an_option_that_no_data_set_reads(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "hospital.yaml").write_text("sets: {hospital: {source: folder, root: /x}}\n")
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("train", overrides=["model=resnet34", "data.test=hospital"], return_hydra_config=True)
    OmegaConf.set_struct(cfg, False)
    cfg.hydra.runtime.config_sources.append(ConfigSourceInfo(str(tmp_path), "file", "command-line"))
    cfg.hydra.overrides.task = ["data.test=hospital", "seed=1,2"]
    check_grid(cfg)
    cfg.data.table = "x.csv"
    with pytest.raises(UserError, match=r"^data\.table=x\.csv is not read with data=\[busi,hospital\]"):
        check_grid(cfg)


@pytest.mark.parametrize("key", ["data.table", "data.sheet", "data.columns.image"])
def test_a_grid_over_an_option_that_no_data_set_reads_is_refused(key):
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("train", overrides=["model=resnet34"], return_hydra_config=True)
    OmegaConf.set_struct(cfg, False)
    cfg.hydra.overrides.task = ["model=resnet34", f"{key}='x 1',y"]
    with pytest.raises(UserError, match=rf"^{key.rpartition('.')[0] if 'columns' in key else key}.* is not read with"):
        check_grid(cfg)
    cfg.hydra.overrides.task += ["data=busi,table"]
    check_grid(cfg)


@pytest.mark.parametrize(
    "overrides",
    [
        [
            "data=table",
            "data.table=x.csv",
            "data.sheet=0",
            "data.columns={image: File}",
            "data.images=a",
            "data.masks=b",
        ],
        ["data=[busi,table]", "data.table=x.csv", "data.map.mask_counts=[tumour]"],
        ["data=busi", "data.test=table", "data.table=x.csv"],
        ["data=coco", "data.annotations=a.json", "data.images=a", "data.drop.class=[x]", "data.map.class={a: [b]}"],
        ["data=images_masks", "data.images=a", "data.masks=b"],
    ],
)
def test_an_option_that_some_data_set_reads_is_accepted(overrides):
    settled(*overrides)


@pytest.mark.parametrize("order", ["[busi,folder]", "[folder,busi]"])
def test_a_folder_among_several_sets_has_its_own_root(order):
    options = options_by_set(settled(f"data={order}", "data.sets.folder.root=/x").data)
    assert (options["folder"]["root"], options["busi"]["root"]) == ("/x", None)


def test_options_of_all_sets_are_those_of_each_without_its_own():
    own = {"sets": {"a": {"source": "table", "map": {"class": {"x": [1]}}}, "b": {"source": "table"}},
           "map": {"class": {"y": [2]}}, "columns": {"image": "File"}}  # fmt: skip
    options = options_by_set(OmegaConf.create(own))
    assert options["a"]["map"] == {"class": {"x": [1]}}
    assert options["b"]["map"] == {"class": {"y": [2]}}
    assert options["a"]["columns"] == options["b"]["columns"] == {"image": "File"}


def test_a_config_of_an_earlier_version_is_a_folder_per_class():
    (name, options), *more = options_by_set({"root": "/data/BUSI", "cache": "c"}).items()
    assert (name, options["source"], options["root"], more) == ("folder", "folder", "/data/BUSI", [])
    assert options_by_set({"root": None})["folder"]["root"] is None  # BUSI in its default place


def test_workers_of_ray_get_the_folder_of_every_public_data_set():
    passed = (ROOT / "conf" / "hydra" / "launcher" / "ray.yaml").read_text()
    public = [name for name in SOURCES if get_source(name).CARD.counts]
    assert len(public) >= 5
    assert not [name for name in public if f"{name.upper()}_ROOT" not in passed]


@pytest.mark.parametrize(
    ("own", "line"),
    [
        ("busi", "data.sets.mine=busi: give a group of options"),
        ({"root": 5}, "data.sets.mine.root=5: give a path"),
        ({"classes": "benign"}, "data.sets.mine.classes=benign: give a list of different names"),
        ({"map": {"klass": {}}}, "data.sets.mine.map.klass is unknown: choose from class, mask_counts"),
        ({"map": {"class": ["x"]}}, r"data.sets.mine.map.class=\[x\]: give a group of options"),
        ({"columns": {"image": ["a"]}}, r"data.sets.mine.columns.image=\[a\]: give a single text"),
    ],
)
def test_an_option_of_one_set_has_the_kind_of_the_option_of_all(own, line):
    own = {"source": "table"} | own if isinstance(own, dict) else own
    with pytest.raises(UserError, match=line):
        options_by_set({"sets": {"mine": own}})
