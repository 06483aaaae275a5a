"""What W&B is asked online: how it runs, what is sent later, the ready dashboard and its champions."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
import wandb
from recordings import read_recording

from bus_lightning.config.settle import with_images
from bus_lightning.config.stored import save_config
from bus_lightning.core.errors import UserError
from bus_lightning.core.folders_in_texts import without_folders
from bus_lightning.runs.folder import RunDir
from bus_lightning.runs.lock import owned
from bus_lightning.tracking import settings, syncing
from bus_lightning.tracking.__main__ import main
from bus_lightning.tracking.champions import find_champions, mark_champions
from bus_lightning.tracking.logger import finish_run, wandb_logger
from bus_lightning.tracking.settings import wandb_mode


@pytest.fixture(autouse=True)
def no_account(monkeypatch, tmp_path):
    """Nobody is logged in, whoever runs the tests; nothing of W&B's state is left behind."""
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setattr(settings, "_unreachable", False)


@pytest.fixture
def run(tmp_path, composed):
    """The folder of a run that was taken up."""
    folder = RunDir(tmp_path / "runs" / "grid" / "one")
    folder.path.mkdir(parents=True)
    save_config(with_images(composed("model=alexnet"), ["benign", "malignant", "normal"], []), folder.config)
    folder.update_status(state="running", commit="0" * 40, seconds=3.5)
    return folder


def test_without_an_account_runs_are_offline_and_nobody_is_asked(monkeypatch):
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("it asked"))
    assert wandb_mode() == "offline"


@pytest.mark.parametrize("mode", ["online", "offline", "disabled"])
def test_wandb_mode_rules(monkeypatch, mode):
    monkeypatch.setenv("WANDB_MODE", mode)
    monkeypatch.setattr(wandb, "login", lambda **_: mode == "offline")
    assert wandb_mode() == mode


def test_online_without_a_key_is_one_line_with_the_cure(monkeypatch, run):
    monkeypatch.setenv("WANDB_MODE", "online")

    def refuse(**_):
        raise wandb.errors.UsageError("No API key configured.\n Use `wandb login` to log in.")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(UserError, match=r"wandb login.*WANDB_MODE=offline") as caught:
        _ = wandb_logger(str(run.path)).experiment
    assert "\n" not in str(caught.value)


def test_where_wandb_does_not_answer_this_and_later_jobs_are_recorded_offline(monkeypatch, run, caplog):
    monkeypatch.setenv("WANDB_MODE", "online")
    usual = wandb.init

    def unanswered(**options):
        if options["mode"] == "online":
            raise wandb.errors.CommError("no such host\nand more")
        return usual(**options)

    monkeypatch.setattr(wandb, "init", unanswered)
    assert wandb_logger(str(run.path), project="p").experiment.offline
    finish_run(run, 0)
    cure = "`python -m bus_lightning.tracking sync` sends it later"  # which is there without a checkout, too
    assert f"W&B does not respond (no such host): recording offline; {cure}" in caplog.text
    assert wandb_mode() == "offline"


@pytest.mark.parametrize(("code", "state"), [(0, "finished"), (1, "failed"), (255, "failed")])
def test_the_exit_code_says_how_a_run_ended(run, code, state):
    wandb_logger(str(run.path), project="p").log_metrics({"val/loss": 1.0, "epoch": 0})
    run.update_status(error="/no/such/file.pth is missing" if code == 1 else None)
    finish_run(run, code)
    recording = read_recording(run.path)
    assert (recording.exit_code, recording.state) == (
        code,
        state,
    )  # the reader calls killed failed, the server does not
    assert recording.summary["seconds"] == 3.5
    assert recording.summary.get("error") == ("file.pth is missing" if code == 1 else None)


def test_an_error_before_wandb_was_opened_ends_nothing(run):
    finish_run(run, 1)
    assert wandb.run is None


def test_only_folders_are_cut_out_of_texts():
    for before, after in (
        ("/home/me/data/BUSI", "BUSI"), ("data/phantom", "data/phantom"), ("val/loss", "val/loss"),
        ("https://wandb.ai/me/x", "https://wandb.ai/me/x"), ("no /a/b/c.pth, /d/e: why", "no c.pth, e: why"),
        ({"root": ["/a/b", None, 3]}, {"root": ["b", None, 3]}),
        ("/home/Jane Doe/data/BUSI", "BUSI"), ("/data/Ward 3, Bed 2/x", "x"), ("~/it's mine/x/", "x"),
        (r"C:\Users\Jane Doe\BUSI", "BUSI"), (r"no C:\data\w.pt, D:/e/f: why", "no w.pt, f: why"),
        (r"\\server\ward 3\x", "x"), (r"a \alpha of 0.5", r"a \alpha of 0.5"), ("s3://bucket/x", "s3://bucket/x"),
        ("/runs/a is not complete. See docs/runs.md.", "a is not complete. See docs/runs.md."),
    ):  # fmt: skip
        assert without_folders(before) == after


@pytest.fixture
def recordings(tmp_path):
    """Recordings as W&B leaves them: two parts of one run, a run that was sent, one that is being trained."""
    names = ["a/wandb/offline-run-20260102_000000-aaaaaaaa", "a/wandb/offline-run-20260101_000000-aaaaaaaa",
             "sent/wandb/offline-run-20260101_000000-bbbbbbbb", "busy/wandb/offline-run-20260101_000000-cccccccc",
             "a/wandb/run-20260101_000000-dddddddd"]  # fmt: skip
    for name in names:
        folder = tmp_path / "runs" / "grid" / name
        folder.mkdir(parents=True)
        (folder / f"run-{name.rpartition('-')[2]}.wandb").touch()
    (tmp_path / "runs/grid/sent/wandb/offline-run-20260101_000000-bbbbbbbb/run-bbbbbbbb.wandb.synced").touch()
    return tmp_path / "runs"


@pytest.mark.parametrize("name", ["missing", "x" * 300])  # the latter is longer than a file system takes
def test_a_folder_of_runs_that_is_none_is_refused_in_a_line(tmp_path, capsys, name):
    assert main(["sync", str(tmp_path / name), "--dry-run"]) == 1
    assert f"{name} is not a folder: give the folder of your runs" in capsys.readouterr().err


def test_waiting_runs_are_sent_in_order_of_time_except_those_in_training(recordings, monkeypatch, caplog, capsys):
    with owned(recordings / "grid" / "busy"):
        unsent = syncing.find_unsent(recordings)
    assert [(recording.run_id, recording.started) for recording in unsent] == [
        ("aaaaaaaa", "20260101_000000"), ("aaaaaaaa", "20260102_000000"),
    ]  # fmt: skip
    assert "busy is still running" in caplog.text
    commands = []
    monkeypatch.setattr(wandb, "login", lambda **_: True)
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: commands.append(command) or SimpleNamespace(returncode=3)
    )
    assert syncing.sync(recordings / "grid" / "a") == 3
    assert commands == [[sys.executable, "-m", "wandb", "sync", *(str(recording.path) for recording in unsent)]]
    monkeypatch.setattr(subprocess, "run", interrupted)
    assert main(["sync", str(recordings / "grid" / "a")]) == 130
    assert capsys.readouterr().err.startswith("Stopped. The same command")


def test_sync_without_an_account_says_what_to_do(recordings, capsys):
    assert main(["sync", str(recordings)]) == 1
    assert "wandb login" in capsys.readouterr().err
    assert main(["sync", str(recordings), "--dry-run"]) == 0
    assert main(["sync", str(recordings / "no")]) == 1


def interrupted(*_, **__):
    raise KeyboardInterrupt


def answer(operation, variables, history):
    """What a server of W&B says to the few questions that a sync asks; no to those about artifacts."""
    run = variables.get("name")
    project = {"id": "p", "name": "p", "entity": {"id": "e", "name": "me"}}
    if operation == "RunResumeStatus":
        if not (lines := history.get(run)):
            return {"model": project | {"bucket": None}}
        last = json.dumps({"_step": json.loads(lines[-1])["_step"]})
        bucket = {"id": "b", "name": run, "displayName": "", "summaryMetrics": last, "historyLineCount": len(lines),
                  "historyTail": json.dumps(lines[-1:]), "logLineCount": 0, "eventsLineCount": 0, "eventsTail": "[]",
                  "config": "{}", "tags": [], "wandbConfig": '{"t": 1}'}  # fmt: skip
        return {"model": project | {"bucket": bucket}}
    if operation == "UpsertBucket":
        bucket = {"id": "b", "name": run, "displayName": "", "config": "{}", "sweepName": "", "project": project}
        return {"upsertBucket": {"bucket": bucket | {"historyLineCount": 0}, "inserted": True}}
    if operation == "CreateRunFiles":
        files = [{"name": name, "uploadUrl": variables["to"]} for name in variables["files"]]
        return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}
    return {}


@pytest.fixture
def stand_in():
    """A server in W&B's place on this machine: what it was sent is run id -> lines of history, and exit codes."""
    sent = SimpleNamespace(history={}, exit_codes=[])

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path.startswith("/graphql"):
                content = json.loads(body)
                operation, variables = content["operationName"], content.get("variables") or {}
                variables |= {"to": f"http://127.0.0.1:{self.server.server_port}/file"}
                refused = {"data": None, "errors": [{"message": "none here"}]}
                is_known = "Artifact" not in operation
                self.say({"data": answer(operation, variables, sent.history)} if is_known else refused)
                return
            if self.path.endswith("file_stream"):
                content = json.loads(body)
                lines = sent.history.setdefault(self.path.split("/")[-2], [])
                if part := (content.get("files") or {}).get("wandb-history.jsonl"):
                    lines[part["offset"] :] = part["content"]
                sent.exit_codes += [content["exitcode"]] if "exitcode" in content else []
            self.say({})

        def do_PUT(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.say({})

        def say(self, content):
            body = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sent.address = f"http://127.0.0.1:{server.server_port}"
        yield sent
        server.shutdown()


@pytest.mark.nightly
def test_resumed_parts_arrive_under_one_run_id_one_after_the_other(stand_in, run):
    for epochs, code in (((0, 1, 2), 255), ((3, 4), 0)):
        logger = wandb_logger(str(run.path), project="p")
        for epoch in epochs:
            logger.log_metrics({"val/loss": 1.0, "epoch": epoch})
        finish_run(run, code)
    settings = {"WANDB_BASE_URL": stand_in.address, "WANDB_API_KEY": "local-" + "0" * 40, "WANDB_MODE": "online"}
    command = [sys.executable, "-m", "bus_lightning.tracking", "sync", str(run.path.parents[1])]
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    ((id_, lines),) = stand_in.history.items()
    assert id_ == (run.path / "wandb_id.txt").read_text()
    assert [json.loads(line)["epoch"] for line in lines] == [0, 1, 2, 3, 4]
    assert stand_in.exit_codes == [255, 0]
    assert not syncing.find_unsent(run.path.parents[1])


def online_run(id_, group, score, mode="max", task="classification", state="finished"):
    return SimpleNamespace(
        id=id_, name=id_, group=group, state=state, summary={"score": score}, path=["me", "p", id_],
        config={"task": {"mode": mode, "name": task}},
    )  # fmt: skip


def test_the_champion_is_the_finished_run_with_the_best_validation_score_of_its_group_and_task():
    runs = [online_run("a", "g", 0.7), online_run("b", "g", 0.9), online_run("c", "g", 0.99, state="failed")]
    runs += [online_run("d", "h", 0.4, mode="min"), online_run("e", "h", 0.3, mode="min")]
    runs += [online_run("f", "g", None, task="segmentation"), online_run("i", "g", 0.1, task="segmentation")]
    assert [run.id for run in find_champions(runs)] == ["b", "e", "i"]


def test_the_champions_checkpoint_gets_the_alias_and_all_others_lose_it():
    saved = []
    aliases = {"a": ["best", "champion"], "b": ["best"], "c": ["best"]}
    artifacts = {
        f"me/p/model-{id_}:best": SimpleNamespace(aliases=list(names), save=lambda id_=id_: saved.append(id_))
        for id_, names in aliases.items()
    }

    def artifact(name):
        if name not in artifacts:
            raise wandb.errors.CommError("no such artifact")
        return artifacts[name]

    runs = [online_run("a", "g", 0.7), online_run("b", "g", 0.9), online_run("c", "g", 0.8), online_run("d", "g", 0.1)]
    (line,) = mark_champions(SimpleNamespace(artifact=artifact), runs)
    assert "b" in line
    assert {name[11]: artifact.aliases for name, artifact in artifacts.items()} == {
        "a": ["best"], "b": ["best", "champion"], "c": ["best"],
    }  # fmt: skip
    assert sorted(saved) == ["a", "b"]


@pytest.mark.filterwarnings("ignore:Pydantic V1 style")  # of W&B's package
def test_building_without_an_account_or_the_package_says_what_to_do(capsys, monkeypatch):
    pytest.importorskip("wandb_workspaces")
    assert main(["build", "--entity", "me"]) == 1
    assert "wandb login" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    monkeypatch.delitem(sys.modules, "bus_lightning.tracking.workspace", raising=False)
    assert main(["build", "--entity", "me"]) == 1
    assert "pip install 'bus_lightning[dashboard]'" in capsys.readouterr().err
