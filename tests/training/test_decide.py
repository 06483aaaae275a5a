"""What happens with a run's folder is decided from what it holds; nothing is trained or changed here."""

import re

import pytest

from bus_lightning.training.decide import Action, Kept, decide, must_restart


def never():
    raise AssertionError("history.csv was read where it decides nothing")


@pytest.mark.parametrize(
    ("promise", "kept", "max_epochs", "action", "reason"),
    [
        ("an empty folder is started", None, 5, Action.START, "^$"),
        ("what failed before its first epoch is started", Kept(5), 5, Action.START, "^$"),
        ("what was interrupted goes on", Kept(5, lambda: 2, has_last=True), 5, Action.RESUME, "^$"),
        ("stopped within its first epoch, it goes on", Kept(5, has_last=True), 5, Action.RESUME, "^$"),
        ("what is trained and not tested goes on", Kept(5, lambda: 5, has_last=True), 5, Action.RESUME, "^$"),
        ("an interrupted run may get more epochs", Kept(5, lambda: 2, has_last=True), 9, Action.RESUME, "^$"),
        ("and fewer, down to its trained ones", Kept(5, lambda: 2, has_last=True), 2, Action.RESUME, "^$"),
        ("but not below them", Kept(5, lambda: 2, has_last=True), 1, Action.REFUSE, "2 trained epochs, more than"),
        ("a complete run is skipped", Kept(5, never, True), 5, Action.SKIP, "^$"),
        ("also for fewer epochs", Kept(5, never, True), 3, Action.SKIP, "up to 5 epochs, more than the 3"),
        ("a kept last.ckpt changes no skip", Kept(5, never, True, True), 5, Action.SKIP, "^$"),
        ("with last.ckpt it is extended", Kept(5, lambda: 5, True, True), 9, Action.EXTEND, "from 5 to 9 epochs"),
        ("without, it restarts", Kept(5, lambda: 5, True), 9, Action.RESTART, "9 epochs instead of 5.*was not kept"),
        ("another experiment is refused", Kept(5, never, differences=["seed (folder: 0)"]), 5, Action.REFUSE,
         r"differs in seed \(folder: 0\)\. Choose another name"),
        ("even if it is complete", Kept(5, never, True, differences=["seed"]), 5, Action.REFUSE, "another experiment"),
        ("three differences are named", Kept(5, never, differences=list("abcd")), 5, Action.REFUSE, r"in a; b; c\. Ch"),
    ],
)  # fmt: skip
def test_a_folder_is(promise, kept, max_epochs, action, reason):
    decision = decide(kept, max_epochs)
    assert decision.action is action, promise
    assert re.search(reason, decision.reason), promise


@pytest.mark.parametrize(
    ("promise", "rerun", "launch", "kept_launch", "expected"),
    [
        ("without rerun nothing restarts", False, "now", "before", False),
        ("rerun=true restarts what another launch has trained", True, "now", "before", True),
        ("and what was trained outside of a launch", True, "now", None, True),
        ("a job that is started again within one launch goes on", True, "now", "now", False),
        ("outside of a launch, rerun=true always restarts", True, None, None, True),
    ],
)
def test_rerun(promise, rerun, launch, kept_launch, expected):
    assert must_restart(rerun, launch, kept_launch) is expected, promise
