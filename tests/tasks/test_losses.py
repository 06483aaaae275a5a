"""What the segmentation losses promise."""

import math

import pytest
import torch
from torch import Tensor, nn

from bus_lightning.tasks.losses import DiceBCELoss, SoftDiceLoss

SURE = 20.0  # a logit whose sigmoid is 0 or 1 to nine digits
LOSSES = [SoftDiceLoss(), DiceBCELoss(0.3, 0.7)]


def answer(lesion: bool) -> Tensor:
    """The same sure answer at all of 100 pixels: (1, 1, 10, 10) logits."""
    return torch.full((1, 1, 10, 10), SURE if lesion else -SURE)


def test_soft_dice_matches_a_value_worked_by_hand() -> None:
    # Probabilities 1/2, 3/4 against the mask 0, 1: Dice = (2 * 3/4 + 1) / (5/4 + 1 + 1) = 10/13.
    logits = torch.tensor([0.0, math.log(3)]).reshape(1, 1, 1, 2)
    mask = torch.tensor([0, 1]).reshape(1, 1, 1, 2)
    assert SoftDiceLoss()(logits, mask).item() == pytest.approx(3 / 13)
    assert SoftDiceLoss(smooth=2.0)(logits, mask).item() == pytest.approx(1 - 3.5 / 4.25)


def test_dice_bce_adds_its_two_parts_with_their_weights() -> None:
    # The same pixels; the cross-entropy is the mean of -ln(1/2) and -ln(3/4).
    logits = torch.tensor([0.0, math.log(3)]).reshape(1, 1, 1, 2)
    mask = torch.tensor([0.0, 1.0]).reshape(1, 1, 1, 2)
    cross_entropy = (math.log(2) + math.log(4 / 3)) / 2
    loss = DiceBCELoss(dice_weight=0.3, bce_weight=0.7)(logits, mask).item()
    assert loss == pytest.approx(0.3 * 3 / 13 + 0.7 * cross_entropy)


def test_an_empty_mask_is_scored_by_its_false_alarms() -> None:
    empty = torch.zeros(1, 1, 10, 10)
    half = answer(lesion=False)
    half[..., :5] = SURE
    assert SoftDiceLoss()(answer(lesion=False), empty).item() == pytest.approx(0, abs=1e-6)
    assert SoftDiceLoss()(half, empty).item() == pytest.approx(50 / 51, abs=1e-6)
    assert SoftDiceLoss()(answer(lesion=True), empty).item() == pytest.approx(100 / 101, abs=1e-6)


def test_a_right_answer_costs_nothing_and_a_missed_lesion_nearly_one() -> None:
    lesion = torch.ones(1, 1, 10, 10)
    assert SoftDiceLoss()(answer(lesion=True), lesion).item() == pytest.approx(0, abs=1e-6)
    assert SoftDiceLoss()(answer(lesion=False), lesion).item() == pytest.approx(100 / 101, abs=1e-6)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_the_loss_of_a_batch_is_the_mean_over_its_images(loss: nn.Module) -> None:
    # A small and a large lesion: a Dice pooled over the batch would let the large one decide.
    torch.manual_seed(0)
    logits, mask = torch.randn(2, 1, 10, 10), torch.zeros(2, 1, 10, 10)
    mask[0, 0, 0, 0] = 1
    mask[1, 0, :8] = 1
    single = [loss(logits[i : i + 1], mask[i : i + 1]).item() for i in range(2)]
    assert loss(logits, mask).item() == pytest.approx(sum(single) / 2)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_the_loss_of_side_outputs_is_the_mean_over_them(loss: nn.Module) -> None:
    torch.manual_seed(0)
    logits, mask = torch.randn(2, 7, 10, 10), (torch.rand(2, 1, 10, 10) > 0.7).float()
    single = [loss(logits[:, s : s + 1], mask).item() for s in range(7)]
    assert loss(logits, mask).item() == pytest.approx(sum(single) / 7)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
@pytest.mark.parametrize("filled", [0, 1])
def test_gradients_stay_finite_at_extreme_logits(loss: nn.Module, filled: int) -> None:
    logits = torch.tensor([-1e4, -100.0, 0.0, 100.0, 1e4]).reshape(1, 1, 1, 5).requires_grad_()
    value = loss(logits, torch.full((1, 1, 1, 5), filled))
    value.backward()
    assert value.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad.any()


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_the_loss_is_computed_in_float32_under_autocast(loss: nn.Module) -> None:
    # 512 x 512 pixels: bfloat16 counts no further than 256, and float16 than 65504.
    torch.manual_seed(0)
    logits = torch.randn(1, 1, 512, 512).bfloat16()
    mask = torch.ones(1, 1, 512, 512, dtype=torch.uint8)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(logits, mask)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(loss(logits.double(), mask).item(), rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
@pytest.mark.parametrize("shape", [(2, 10, 10), (1, 1, 10, 10), (2, 7, 10, 10), (2, 1, 1, 1)])
def test_a_mask_of_another_shape_is_refused(loss: nn.Module, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="mask"):
        loss(torch.zeros(2, 7, 10, 10), torch.zeros(shape))


def test_a_smooth_term_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="smooth"):
        SoftDiceLoss(smooth=0.0)
