"""The tensors that a network sees, and the order of an epoch: the same for any number of workers, on any day."""

from collections import Counter

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from bus_lightning.core.errors import UserError
from bus_lightning.data.datamodule import BusDataModule
from bus_lightning.data.dataset import EpochSampler
from bus_lightning.data.index import read_image, read_mask
from bus_lightning.data.prepare import prepare_data

IDS = [f"image {number}" for number in range(30)]
LABELS = [0] * 17 + [1] * 9 + [2] * 4


def images_of(datamodule, part="test"):
    """The normalised images of an evaluated part, (N, C, size, size)."""
    return torch.cat([batch["image"] for batch in datamodule.evaluation_dataloader(part)])


@pytest.fixture
def made(data_config):
    """Make the datamodule of a config on the phantom folder."""

    def make(*overrides, full_masks=True, **groups):
        cfg = data_config(*overrides, **groups)
        prepared = prepare_data(cfg.data, needs_masks=True)
        return BusDataModule(prepared, prepared.split(cfg.data.split), cfg, full_masks)

    return make


def pixels(batches):
    """Flatten batches into id -> image and mask, in their order."""
    return [
        (id_, image, mask)
        for batch in batches
        for id_, image, mask in zip(batch["id"], batch["image"], batch["mask"], strict=True)
    ]


def assert_same(first, second):
    assert [id_ for id_, *_ in first] == [id_ for id_, *_ in second]
    for sample_a, sample_b in zip(first, second, strict=True):
        assert torch.equal(sample_a[1], sample_b[1])
        assert torch.equal(sample_a[2], sample_b[2])


def test_batches_have_the_promised_keys_shapes_and_types(made):
    datamodule = made("data.batch_size=5")
    train = next(iter(datamodule.train_dataloader()))
    test = next(iter(datamodule.test_dataloader()))
    for batch in (train, test):
        assert (batch["image"].shape, batch["image"].dtype) == ((5, 3, 64, 64), torch.float32)
        assert (batch["mask"].shape, batch["mask"].dtype) == ((5, 1, 64, 64), torch.float32)
        assert set(batch["mask"].unique().tolist()) <= {0.0, 1.0}
        assert (batch["label"].shape, batch["label"].dtype) == ((5,), torch.int64)
        assert all(isinstance(id_, str) for id_ in batch["id"])
    assert train.keys() == {"image", "mask", "label", "id"}
    assert test.keys() == train.keys() | {"box", "full_mask"}
    assert (test["box"].shape, test["box"].dtype) == ((5, 4), torch.int64)
    assert made(full_masks=False).parts["test"][0].keys() == train.keys()


def test_values_are_normalised_by_mean_and_deviation(made):
    datamodule = made("data.mean=[0.1,0.2,0.3]", "data.std=[0.5,0.25,0.2]")
    dataset = datamodule.parts["test"]
    image = dataset.preprocessing.fit(read_image(dataset.root / dataset.rows[0].image))
    expected = (image / 255 - [0.1, 0.2, 0.3]) / [0.5, 0.25, 0.2]
    np.testing.assert_allclose(images_of(datamodule)[0].permute(1, 2, 0), expected, atol=1e-5)


def test_one_channel_is_grey_with_the_first_mean_and_deviation(made):
    three = images_of(made("data.mean=[0.1,0.1,0.1]", "data.std=[0.5,0.5,0.5]"))
    grey_images = images_of(made("data.channels=1", "data.mean=[0.1,0.2,0.3]", "data.std=[0.5,0.25,0.2]"))
    assert grey_images.shape[1:] == (1, 64, 64)
    grey = (three.std(dim=1) < 1e-6).all(dim=(1, 2))
    assert grey.any()
    np.testing.assert_allclose(grey_images[grey], three[grey][:, :1], atol=1e-5)
    # A coloured image is weighed as the eye does, not averaged.
    assert not torch.allclose(grey_images[~grey], three[~grey].mean(dim=1, keepdim=True), atol=1e-3)


@pytest.mark.parametrize("resize", ["stretch", "pad"])
def test_full_masks_come_in_the_size_of_the_image_with_their_box(resize, made):
    dataset = made(f"data.resize={resize}").parts["test"]
    sizes = set()
    for row, position in zip(dataset.rows, range(6), strict=False):
        shape = read_image(dataset.root / row.image).shape[:2]
        sample = dataset[position]
        np.testing.assert_array_equal(sample["full_mask"], read_mask(dataset.root, row.masks, shape))
        assert sample["full_mask"].dtype == torch.uint8
        assert tuple(sample["box"].tolist()) == dataset.preprocessing.box(shape)
        top, left, height, width = sample["box"].tolist()
        cropped = sample["mask"][top : top + height, left : left + width]
        assert cropped.mean() == pytest.approx(float(sample["full_mask"].float().mean()), abs=0.02)
        sizes.add(shape)
    assert len(sizes) > 1


def test_cleaning_and_overlay_reach_the_parts_that_they_name(made):
    plain = made(augment="none")
    marked = made("overlay.parts=[train]", augment="none", overlay="class_mark")
    cleaned = made("preprocess.parts=[val]", augment="none", preprocess="clean")
    for part in ("train", "val", "test"):
        images = images_of(plain, part)
        assert torch.equal(images_of(marked, part), images) == (part != "train")
        assert torch.equal(images_of(cleaned, part), images) == (part != "val")
    assert not np.array_equal(marked.train[0]["image"], plain.train[0]["image"])


def test_the_number_of_workers_changes_nothing(made):
    def drawn(workers):
        datamodule = made(f"data.workers={workers}", "data.batch_size=8")
        datamodule.sampler.set_epoch(1)
        return pixels(datamodule.train_dataloader()) + pixels(datamodule.test_dataloader())

    assert_same(drawn(0), drawn(2))


def test_seed_and_epoch_alone_decide_order_and_pixels(made):
    def drawn(seed, epoch):
        datamodule = made(f"seed={seed}")
        datamodule.sampler.set_epoch(epoch)
        torch.manual_seed(epoch * 7 + seed)
        return pixels(datamodule.train_dataloader())

    first = drawn(0, 0)
    assert_same(first, drawn(0, 0))
    for other in (drawn(0, 1), drawn(1, 0)):
        assert [id_ for id_, *_ in other] != [id_ for id_, *_ in first]
        changed = {id_: image for id_, image, _ in other}
        assert sum(not torch.equal(changed[id_], image) for id_, image, _ in first if id_ in changed) > len(first) / 2


def test_evaluation_takes_every_image_once_in_the_order_of_ids_and_without_change(made):
    datamodule = made()
    ids = [id_ for id_, *_ in pixels(datamodule.evaluation_dataloader("train"))]
    assert ids == sorted(ids) == sorted(datamodule.sampler.ids)
    assert_same(pixels(datamodule.test_dataloader()), pixels(made("seed=5").test_dataloader()))


def order(sampler, epoch):
    sampler.set_epoch(epoch)
    return list(sampler)


def test_an_epoch_takes_every_image_once_and_the_next_one_in_another_order():
    sampler = EpochSampler(IDS, LABELS, seed=0)
    first, second = order(sampler, 0), order(sampler, 1)
    assert sorted(position for position, _ in first) == sorted(position for position, _ in second) == list(range(30))
    assert [position for position, _ in first] != [position for position, _ in second]
    assert len(sampler) == 30
    assert order(EpochSampler(IDS, LABELS, seed=0), 1) == second


def test_an_image_more_leaves_the_augmentation_of_the_others_as_it_was():
    seeds = {IDS[position]: seed for position, seed in EpochSampler(IDS, LABELS, seed=0)}
    fewer = {IDS[1:][position]: seed for position, seed in EpochSampler(IDS[1:], LABELS[1:], seed=0)}
    assert fewer.items() <= seeds.items()


def test_oversampling_balances_the_classes_exactly():
    sampler = EpochSampler(IDS, LABELS, seed=0, oversample=True)
    draws = order(sampler, 0)
    assert Counter(LABELS[position] for position, _ in draws) == {0: 17, 1: 17, 2: 17}
    assert len(sampler) == len(draws) == 51
    times = Counter(position for position, _ in draws)
    assert set(times) == set(range(30))
    for label in range(3):
        repeats = [times[position] for position in range(30) if LABELS[position] == label]
        assert max(repeats) - min(repeats) <= 1
    assert len({seed for _, seed in draws}) == 51  # each repeat is augmented in its own way
    assert times != Counter(position for position, _ in order(sampler, 1))  # others are repeated once more


def test_a_segmenter_is_trained_on_and_measured_against_all_masks_of_an_image(made, phantom):
    datamodule = made()
    several = 0
    for part, dataset in datamodule.parts.items():
        for position, row in enumerate(dataset.rows):
            if len(row.masks) < 2:
                continue
            several += 1
            masks = []
            for file in row.masks:
                with Image.open(phantom / file) as opened:
                    masks.append(np.array(opened.convert("L")) > 0)
            union = np.logical_or.reduce(masks)
            assert union.sum() > max(mask.sum() for mask in masks)
            sample = dataset[position]
            np.testing.assert_array_equal(sample["full_mask"], union, err_msg=f"{part}: {row.id}")
            expected = dataset.preprocessing.fit(union.astype(np.uint8), is_mask=True)
            np.testing.assert_array_equal(sample["mask"], expected)
    assert several == 2


def test_class_weights_are_the_inverse_of_the_counts(made):
    datamodule = made("data.balance=class_weights")
    counts = torch.tensor([datamodule.labels.count(label) for label in range(3)])
    weights = datamodule.class_weights()
    torch.testing.assert_close(weights, len(datamodule.labels) / (3.0 * counts))
    assert float((weights * counts).sum()) == pytest.approx(len(datamodule.labels))
    assert made().class_weights() is None
    few = made("data.balance=class_weights")
    few.labels = [0, 0, 1]
    assert len(few.class_weights()) == 3, "one for each class that the network knows"
    datamodule.labels = [0, 0, 2, 2, 2, 2]  # lists of the user may leave a class out
    assert datamodule.class_weights().tolist() == [1.5, 0.0, 0.75]


def test_a_run_without_a_seed_goes_on_in_the_order_that_it_had(made):
    first, second = made("seed=null"), made("seed=null")
    assert list(first.sampler) != list(second.sampler)
    second.load_state_dict({"start": (0, 3), "seed": first.seed})
    assert list(first.sampler) == list(second.sampler)


def test_a_lone_last_image_is_left_out_of_the_epoch(made):
    number = len(made().labels)
    assert sum(len(batch["id"]) for batch in made(f"data.batch_size={number - 1}").train_dataloader()) == number - 1
    assert sum(len(batch["id"]) for batch in made(f"data.batch_size={number - 2}").train_dataloader()) == number


def test_a_lone_training_image_is_refused_before_an_epoch_without_a_batch(made):
    datamodule = made()
    datamodule.sampler = EpochSampler(IDS[:1], LABELS[:1], seed=0)
    with pytest.raises(UserError, match=r"^The training part has 1 image, .*data\.split\.ratio"):
        datamodule.train_dataloader()
    datamodule.sampler = EpochSampler(IDS[:2], LABELS[:2], seed=0)
    assert len(datamodule.train_dataloader()) == 1


def test_without_validation_images_the_loader_is_empty(made):
    assert len(made("data.split.ratio=[12,3]").val_dataloader()) == 0
    assert len(made("data.split.ratio=[11,1,3]").val_dataloader()) > 0


class Recorder(pl.LightningModule):
    """Notes what it is given."""

    def __init__(self):
        super().__init__()
        self.layer, self.seen = nn.Linear(1, 1), {}

    def training_step(self, batch, batch_idx):
        self.seen.setdefault(self.current_epoch, []).extend(batch["id"])
        return self.layer(batch["image"].mean().view(1, 1)).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


def test_the_sampler_gets_the_epoch_from_lightning(made):
    datamodule, task = made("data.batch_size=16"), Recorder()
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(max_epochs=2, accelerator="cpu", enable_model_summary=False, **options)
    trainer.fit(task, train_dataloaders=datamodule.train_dataloader())
    for epoch in (0, 1):
        expected = [datamodule.sampler.ids[position] for position, _ in order(datamodule.sampler, epoch)]
        assert task.seen[epoch] == expected[: len(task.seen[epoch])]
    assert task.seen[0] != task.seen[1]
