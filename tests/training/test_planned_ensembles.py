"""Which ensembles are planned: each condition has a folder of its own."""

import pytest
from averaging import average, ensembles_in

from bus_lightning.core.errors import UserError
from bus_lightning.runs.ensembles import read_ensemble
from bus_lightning.runs.folder import RunDir


@pytest.mark.slow
def test_no_ensemble_replaces_that_of_a_condition_whose_runs_have_the_same_names(finished, caplog):
    runs = [finished("group=g", f"seed={seed}") for seed in range(4)]
    for seed in range(2):
        finished("group=g", "model=alexnet", f"seed={seed}")
    for run in runs[2:]:
        run.update_status(data="other files")
    group = runs[0].path.parent
    with pytest.raises(UserError, match="1 of 2 ensembles could not be made"):
        average(group / "*")
    assert f"{runs[0].path} and {runs[2].path} differ in more than seed and fold" in caplog.text
    assert [path.name for path in ensembles_in(group)] == ["ensemble_alexnet"]
    other = group.with_name("other")
    other.mkdir()
    for run in runs[2:]:
        run.path.rename(other / run.path.name)
    average(group.parent / "*" / "*")
    assert (len(ensembles_in(group)), len(ensembles_in(other))) == (2, 1)


def test_a_further_seed_of_runs_with_a_long_name_leaves_one_ensemble_of_all(finished):
    long = "alexnet__" + "data.exclude-x" * 6 + "__trainer.max_ep-"
    hashes = ["28b11bffee2e2283", "699e5a3566a9715a", "1b0d94a9eeca1a91"]  # that of the last seed is the first by name
    runs = [finished("group=g", f"seed={seed}", f"name={long}{hashes[seed]}") for seed in range(2)]
    group = runs[0].path.parent
    average(group / "*")
    (first,) = ensembles_in(group)
    finished("group=g", "seed=2", f"name={long}{hashes[2]}")
    average(group / "*")
    assert ensembles_in(group) == [first]
    assert len(read_ensemble(RunDir(first)).members) == 3
    older = group / f"ensemble_{long}{hashes[0]}"  # as an earlier version names it
    first.rename(older)
    average(group / "*")
    assert ensembles_in(group) == [older]
    other = ["group=g", "trainer.max_epochs=7"]
    for seed in range(2):
        finished(*other, f"seed={seed}", f"name={long}{hashes[seed][::-1]}")
    average(group / "*")
    assert len(ensembles_in(group)) == 2
