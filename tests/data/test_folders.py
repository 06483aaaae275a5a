"""If a folder is missing or cannot be written, the error names the option to change and the folders that exist."""

import errno
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from bus_lightning.core.errors import UserError, disk_trouble
from bus_lightning.launch.report import default_group, main
from bus_lightning.training import train
from bus_lightning.training.evaluate import evaluate_runs

OPTIONS = {
    "runs_dir": Path("/code/runs"),
    "data.cache": Path("/code/data/cache"),
    "data.root": Path("/code/data/phantom"),
}


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
@pytest.mark.parametrize(
    ("file", "option"),
    [
        ("/code/runs", "runs_dir"),
        ("/code/runs/classification/.one.lock", "runs_dir"),
        ("/code/data/cache", "data.cache"),
        ("/code/data/cache/ab/pixels.npy", "data.cache"),
        ("/code/data/phantom/benign", "data.root"),
        ("/code/data/.phantom.lock", "data.root"),
        ("/elsewhere/file", "another folder"),
    ],
)
def test_what_cannot_be_written_names_the_option_of_its_folder(file, option, number):
    line = disk_trouble(OSError(number, "no", file), OPTIONS)
    assert line.startswith(f"{file}: ")
    assert f"choose {option}" in line
    assert not [other for other in OPTIONS if other != option and other in line]


@pytest.mark.parametrize("option", ["runs_dir", "data.cache", "data.root"])
def test_a_run_in_a_read_only_checkout_names_one_option_after_the_other(composed, tmp_path, monkeypatch, option):
    """After the user has moved one folder, as the error says, the next one is named."""
    closed = tmp_path / "checkout"
    places = {"runs_dir": "runs", "data.cache": "data/cache", "data.root": "data/phantom"}
    moved = list(places)[: list(places).index(option)] if option != "data.root" else ["runs_dir", "data.cache"]
    if option == "data.cache":
        moved = ["runs_dir", "data.root"]
    cfg = composed("model=alexnet", "data=phantom", "data.phantom.images=12")
    for key, folder in places.items():
        OmegaConf.update(cfg, key, str(tmp_path / key if key in moved else closed / folder))
    usual = Path.mkdir

    def mkdir(path, *arguments, **options):
        if path.is_relative_to(closed) and not path.is_dir():
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        return usual(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(UserError, match=rf"its file system is read-only: choose {option}=\.\.\.") as refused:
        train.run(cfg)
    assert str(refused.value).startswith(str(closed))


def some_run(folder):
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("seed: 0\n")


def test_a_report_that_names_no_group_takes_the_usual_one_or_the_only_one_or_lists_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([]) == 1
    assert capsys.readouterr().err.strip() == (
        "Error: runs/classification is not a folder of runs: runs has none; `python train.py` makes one."
    )
    some_run(tmp_path / "runs/demo/one")
    (tmp_path / "runs/demo/report").mkdir()
    (tmp_path / "runs/.slurm").mkdir()
    assert default_group() == Path("runs/demo")
    some_run(tmp_path / "runs/segmentation/one")
    with pytest.raises(UserError, match=r"GROUPS='runs/demo' with make.*Choose from runs/demo, runs/segmentation"):
        default_group()
    some_run(tmp_path / "runs/classification/one")
    assert default_group() == Path("runs/classification")


def test_a_missing_group_is_named_with_those_that_exist(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    some_run(tmp_path / "runs/demo/one")
    assert main(["runs/classification"]) == 1
    assert "runs/classification is not a folder of runs: choose from runs/demo." in capsys.readouterr().err
    cfg = {"runs": "runs/classification/*", "part": "test", "split": None, "explain": False}
    with pytest.raises(UserError, match=r"matches no run folder .* Try runs='runs/demo/\*'\."):
        evaluate_runs(OmegaConf.create(cfg))
