"""Tasks with networks of a few weights, and uneven batches of images of many shapes."""

import lightning.pytorch as pl
import torch
from torch import nn
from torch.utils.data import DataLoader

from bus_lightning.tasks.classification import ClassificationTask
from bus_lightning.tasks.joint import JointTask
from bus_lightning.tasks.losses import DiceBCELoss, JointLoss
from bus_lightning.tasks.segmentation import SegmentationTask

CLASSES = ["benign", "malignant", "normal"]
SIZE = 16
# Where each image lies in its square (top, left, height, width), and its own shape: no two sides are equal.
PLACES = [((0, 2, 16, 12), (40, 30)), ((3, 0, 10, 16), (25, 40)), ((0, 0, 16, 16), (31, 47)), ((5, 1, 7, 14), (14, 28))]


class Loud(nn.Module):
    """A classifier with a head on features that are a thousand times too large."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 16, 3), nn.Linear(16, 3)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(1000 * self.stem(image).relu().mean(dim=(2, 3)))


class Names(nn.Module):
    """Name an image by the means of its channels."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 3)

    def forward(self, image):
        return self.head(image.mean(dim=(2, 3)))


class Outlines(nn.Module):
    """Outline by one convolution, with two more side outputs."""

    def __init__(self):
        super().__init__()
        self.sides = nn.Conv2d(3, 3, 3, padding=1)

    def side_logits(self, image):
        return 4 * self.sides(image)

    def forward(self, image):
        return self.side_logits(image)[:, :1]


class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.names, self.outlines = Names(), Outlines()

    def forward(self, image):
        return self.outlines(image), self.names(image)


def samples(number=10):
    """Images whose masks differ, the last of a class without a lesion."""
    generator = torch.Generator().manual_seed(0)
    drawn = []
    for k in range(number):
        box, shape = PLACES[k % len(PLACES)]
        truth = torch.zeros(shape, dtype=torch.uint8)
        if k % 3 < 2:
            truth[2 + k : 9 + k, 5 : 9 + k] = 1
        square = torch.zeros(1, SIZE, SIZE)
        square[:, box[0] : box[0] + 6, box[1] : box[1] + 5] = float(k % 3 < 2)
        drawn.append({"id": f"image {k}", "image": torch.rand(3, SIZE, SIZE, generator=generator) * (1 + k),
                      "label": k % 3, "mask": square, "box": torch.tensor(box), "full_mask": truth})  # fmt: skip
    return drawn


def batches(sizes=(4, 4, 2)):
    rest, batch_list = samples(sum(sizes)), []
    for size in sizes:
        some, rest = rest[:size], rest[size:]
        stacked = {name: torch.stack([sample[name] for sample in some]) for name in ("image", "mask", "box")}
        label = torch.tensor([sample["label"] for sample in some])
        more = {"label": label, "id": [sample["id"] for sample in some]}
        batch_list.append(stacked | more | {"full_mask": [sample["full_mask"] for sample in some]})
    return batch_list


def loader(sizes=(4, 4, 2)):
    return DataLoader(batches(sizes), batch_size=None)


KINDS = {
    "classification": (ClassificationTask, Names, nn.CrossEntropyLoss),
    "segmentation": (SegmentationTask, Outlines, lambda: DiceBCELoss(0.3, 0.7)),
    "joint": (JointTask, Both, lambda: JointLoss(DiceBCELoss(0.3, 0.7), 2.0, 0.5, 0.1)),
}


def make(kind, lr=0.0, **options):
    task, net, loss = KINDS[kind]
    torch.manual_seed(1)
    kept = {"optimizer": lambda parameters: torch.optim.SGD(parameters, lr=lr), "loss": loss()}
    return task(net=net(), classes=CLASSES, **kept | options)


def trainer(epochs=1, **options):
    return pl.Trainer(max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
                      enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
                      **options)  # fmt: skip


def loss_of_each(task, number=10):
    """The loss of each image alone; that of a batch is their mean."""
    losses = []
    with torch.no_grad():
        for batch in batches((1,) * number):
            losses.append(float(task.loss(task(batch["image"]), task.target(batch))))
    assert len(set(losses)) == number
    return losses
