"""Images that lie on the device as a whole give the batches that images on the host give."""

import pandas as pd
import pytest
import torch

from bus_lightning.data.datamodule import BusDataModule
from bus_lightning.data.prepare import prepare_data

HELD = "data.on_device=true"  # on the CPU it does what it does on a GPU


@pytest.fixture
def made(data_config):
    def make(*overrides, **groups):
        cfg = data_config(*overrides, **groups)
        prepared = prepare_data(cfg.data, needs_masks=True)
        home = torch.device("cpu") if cfg.data.on_device else None
        return BusDataModule(prepared, prepared.split(cfg.data.split), cfg, full_masks=True, device=home)

    return make


def assert_same(loader, other):
    for batch, expected in zip(loader, other, strict=True):
        assert batch.keys() == expected.keys()
        for key, value in expected.items():
            if key == "full_mask":
                assert all(torch.equal(actual, expected) for actual, expected in zip(batch[key], value, strict=True))
            elif isinstance(value, list):
                assert batch[key] == value
            else:
                assert batch[key].dtype == value.dtype
                assert torch.equal(batch[key], value)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("overlay", ["none", "contour"])
def test_batches_are_those_of_images_on_the_host(made, channels, overlay):
    overrides = [f"data.channels={channels}"]
    on_device, on_host = (made(*overrides, *more, augment="none", overlay=overlay) for more in ([HELD], []))
    assert_same(on_device.test_dataloader(), on_host.test_dataloader())
    assert_same(on_device.train_dataloader(), on_host.train_dataloader())


def test_order_and_epoch_are_the_same_and_augmentation_has_its_own_draws(made):
    on_device, on_host = made(HELD), made()
    for module in (on_device, on_host):
        module.sampler.set_epoch(3)
    batches, others = list(on_device.train_dataloader()), list(on_host.train_dataloader())
    assert [batch["id"] for batch in batches] == [batch["id"] for batch in others]
    assert not torch.equal(batches[0]["image"], others[0]["image"])
    assert torch.equal(batches[0]["image"], next(iter(on_device.train_dataloader()))["image"])


def test_images_are_put_on_the_device_once(made):
    datamodule = made(HELD)
    first, second = (datamodule.evaluation_dataloader("test").collate_fn for _ in range(2))
    assert first is second


@pytest.mark.slow
def test_a_run_trains_and_repeats_with_its_images_on_the_device(trained):
    losses = []
    for group in ("one", "two"):
        run = trained("model=u2net_lite", HELD, f"group={group}", "trainer.max_epochs=2")
        losses.append(pd.read_csv(run.history)["train/loss"])
    assert losses[0].tolist() == losses[1].tolist()


@pytest.mark.parametrize("place", [HELD, "data.on_device=false"])
def test_learning_by_heart_sees_the_same_four_batches_in_each_epoch(trained, place):
    still = ("optimizer.lr=0", "optimizer.weight_decay=0")  # so that only other images could change the loss
    run = trained("model=resnet34", "debug=overfit", place, "logger=none", "trainer.max_epochs=3", *still)
    assert pd.read_csv(run.history)["train/loss"].nunique() == 1


@pytest.mark.slow
def test_a_run_goes_on_with_its_images_where_they_were(trained):
    run = trained("model=resnet34", "trainer.max_epochs=1", "keep_last=true", "name=grown")
    run.update_status(on_device=True)  # as if a GPU had begun it
    trained("model=resnet34", "trainer.max_epochs=2", "keep_last=true", "name=grown")
    assert run.status["on_device"]


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
def test_a_batch_is_made_without_waiting_for_the_gpu(data_config):
    cfg = data_config()
    prepared = prepare_data(cfg.data, needs_masks=False)
    module = BusDataModule(prepared, prepared.split(cfg.data.split), cfg, False, torch.device("cuda", 0))
    loader = module.train_dataloader()
    next(iter(loader))
    torch.cuda.set_sync_debug_mode("error")
    try:
        batch = next(iter(loader))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert batch["image"].is_cuda
