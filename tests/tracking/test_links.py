"""A run's page on W&B links the report, and the report's page links the runs: addresses online, paths offline."""

import json

import pytest
from recordings import of_kind, read_recording, read_records
from test_dashboard_online import no_account, stand_in  # noqa: F401 (fixtures)

from bus_lightning.launch.report import send_to_wandb
from bus_lightning.report.making import make_report
from bus_lightning.tracking.links import link_to_report, link_to_run, report_id, was_sent
from bus_lightning.tracking.logger import finish_run, wandb_logger


@pytest.fixture
def run(finished):
    return finished("group=grid", "model=resnet34", "logger=wandb", "logger.wandb.project=p")


def test_offline_the_report_links_the_folders_of_its_runs_and_has_one_id(run, finished, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    other = finished("group=grid", "model=resnet50", "logger=wandb", "logger.wandb.project=p")
    group = run.path.parent
    make_report([group], send=send_to_wandb)
    columns, rows = read_recording(group).table("runs")
    assert columns == ["run", "model", "link"]
    assert sorted(rows) == sorted(
        [folder.path.name, model, f"grid/{folder.path.name}"]
        for folder, model in ((run, "resnet34"), (other, "resnet50"))
    )
    make_report([group], send=send_to_wandb)
    ids = {record["run_id"] for record in of_kind(read_records(group), "run")}
    assert ids == {report_id("grid")}
    assert report_id("grid") != report_id("other")
    assert str(group.parent) not in json.dumps([rows, columns])


@pytest.mark.slow
def test_online_the_links_are_the_addresses_of_the_pages(run, stand_in, monkeypatch):  # noqa: F811
    for name, value in (("MODE", "online"), ("BASE_URL", stand_in.address), ("API_KEY", "local-" + "0" * 40)):
        monkeypatch.setenv(f"WANDB_{name}", value)
    online = wandb_logger(str(run.path), project="p").experiment
    own, link = online.url, link_to_report(online, "grid")
    of_run = [link_to_run(online, run, project) for project in (None, "p", "another one")]
    finish_run(run, 0)
    assert link == f"{stand_in.address}/me/p/runs/{report_id('grid')}"
    assert of_run == [own, own, own.replace("/p/", "/another%20one/")]


def test_a_run_is_on_wandb_if_it_was_recorded_there_or_sent_later(run):
    assert not was_sent(run)
    part = run.path / "wandb" / "offline-run-20260101_000000-aaaaaaaa"
    part.mkdir(parents=True)
    (part / "run-aaaaaaaa.wandb").touch()
    assert not was_sent(run)
    (part / "run-aaaaaaaa.wandb.synced").touch()
    assert was_sent(run)
