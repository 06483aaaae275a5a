"""A run's page on W&B links the report, and the report's page links the runs: addresses online, paths offline."""

import json
from types import SimpleNamespace

import pytest
import wandb
from recordings import of_kind, read_recording, read_records

from bus_lightning.launch.report import send_to_wandb
from bus_lightning.statistics.conditions import read_group
from bus_lightning.tracking.links import link_to_report, link_to_run, report_id, was_sent


@pytest.fixture
def run(finished):
    return finished("group=grid", "model=resnet34", "logger=wandb", "logger.wandb.project=p")


def test_offline_the_report_links_the_folders_of_its_runs_and_has_one_id(run, finished, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    other = finished("group=grid", "model=resnet50", "logger=wandb", "logger.wandb.project=p")
    group = run.path.parent
    send_to_wandb(read_group(group), [])
    columns, rows = read_recording(group).table("runs")
    assert columns == ["run", "model", "link"]
    assert sorted(rows) == sorted(
        [folder.path.name, model, f"grid/{folder.path.name}"]
        for folder, model in ((run, "resnet34"), (other, "resnet50"))
    )
    send_to_wandb(read_group(group), [])
    ids = {record["run_id"] for record in of_kind(read_records(group), "run")}
    assert ids == {report_id("grid")}
    assert report_id("grid") != report_id("other")
    assert str(group.parent) not in json.dumps([rows, columns])


def online(id_, project="p"):
    """A run on W&B, with the addresses that W&B's own package makes of its id."""
    settings = wandb.Settings(mode="online", base_url="https://api.wandb.ai", entity="me", project=project, run_id=id_)
    return SimpleNamespace(offline=False, disabled=False, project_url=settings.project_url, url=settings.run_url)


def test_online_the_links_are_the_addresses_of_the_pages(run):
    report = online(report_id("grid"))
    assert link_to_report(online("abcd1234"), "grid") == report.url
    assert report.url.endswith(f"/me/p/runs/{report_id('grid')}")
    (run.path / "wandb_id.txt").write_text("abcd1234")
    assert link_to_run(report, run, "p") == f"grid/{run.path.name}", "it was not sent yet"
    recorded_as_online(run)
    for project in ("p", None):
        assert link_to_run(report, run, project) == online("abcd1234").url
    assert link_to_run(report, run, "an other") == online("abcd1234", "an other").url
    offline = SimpleNamespace(offline=True, disabled=False, project_url=None, url=None)
    assert link_to_run(offline, run, "p") == f"grid/{run.path.name}", "the report is only here"
    (run.path / "wandb_id.txt").write_text("../../x?y")
    assert link_to_run(report, run, "p").endswith("/me/p/runs/..%2F..%2Fx%3Fy")


def recorded_as_online(run):
    part = run.path / "wandb" / "run-20260101_000000-abcd1234"
    part.mkdir(parents=True)
    (part / "run-abcd1234.wandb").touch()


def test_a_run_is_on_wandb_if_it_was_recorded_there_or_sent_later(run):
    assert not was_sent(run)
    part = run.path / "wandb" / "offline-run-20260101_000000-aaaaaaaa"
    part.mkdir(parents=True)
    (part / "run-aaaaaaaa.wandb").touch()
    assert not was_sent(run)
    (part / "run-aaaaaaaa.wandb.synced").touch()
    assert was_sent(run)
    (part / "run-aaaaaaaa.wandb.synced").unlink()
    recorded_as_online(run)
    assert was_sent(run)
