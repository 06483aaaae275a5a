"""Which ensembles are planned: each condition has a folder of its own."""

import pytest
from averaging import average, ensembles_in

from bus_lightning.core.errors import UserError


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
