"""Networks of two layers with a given end, and the check of what they answer."""

import pytest
from test_heads import noise
from torch import Tensor, nn

from bus_lightning.core.errors import UserError
from bus_lightning.models.output_check import check_output, shapes_of


def check(net: nn.Module, kind: str, mode: bool = True, sides: bool = False, images: Tensor | None = None) -> None:
    images = noise(size=32, batch=4) if images is None else images
    call = net.side_logits if sides else None
    check_output(net.train(mode), images, shapes_of(kind, images, 3, sides), call)


def refused(*arguments, **options) -> str:
    with pytest.raises(UserError, match=r"^model\.net \(") as error:
        check(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


class Small(nn.Module):
    """A classifier or a segmenter of two layers, with a given end."""

    def __init__(self, kind: str, end=None, outputs: int | None = None, only_in_evaluation: bool = False) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.pools, self.end, self.late = kind == "classification", end or nn.Identity(), only_in_evaluation
        self.head = nn.Conv2d(8, outputs or {"classification": 3, "segmentation": 1}[kind], 1)

    def forward(self, image: Tensor):
        answer = self.head(self.stem(image))
        answer = answer.mean(dim=(2, 3)) if self.pools else answer
        return answer if self.late and self.training else self.end(answer)


def zeroed(net: nn.Module) -> nn.Module:
    for layer in (net.head, net.segmentation_head[0]) if hasattr(net, "segmentation_head") else (net.head,):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    return net
