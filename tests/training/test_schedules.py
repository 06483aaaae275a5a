"""The learning rate rises over the warm-up, then falls along a cosine."""

import pytest
import torch

from bus_lightning.tasks.schedules import warmup_cosine


def rates(epochs, **options):
    """The learning rate of each epoch, when the highest is 1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = warmup_cosine(optimizer, epochs, **options)
    rates_of_epochs = []
    for _ in range(epochs):
        rates_of_epochs.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return rates_of_epochs, schedule.get_last_lr()[0]


def test_the_rate_rises_evenly_then_falls_along_half_a_cosine():
    actual, last = rates(6, warmup_epochs=2, floor=0.1)
    # 0.1 + 0.9 * (1 + cos(pi k / 4)) / 2
    expected = [1 / 3, 2 / 3, 1.0, 0.8681980515, 0.55, 0.2318019485]
    assert actual == pytest.approx(expected)
    assert last == pytest.approx(0.1)


def test_without_warm_up_the_first_epoch_has_the_highest_rate():
    assert rates(3, warmup_epochs=0)[0][0] == 1


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_training_shorter_than_its_warm_up_reaches_the_highest_rate(epochs):
    assert rates(epochs, warmup_epochs=5)[0][-1] == 1


def test_a_run_records_the_rates_and_resumes_with_them(trained):
    run = trained("model=resnet34", "scheduler=warmup_cosine", "trainer.max_epochs=2", "keep_last=true")
    assert run.is_complete
    saved = torch.load(run.last, weights_only=True)["lr_schedulers"]
    assert saved[0]["last_epoch"] == 2
