"""What reading and loading weights promise."""

import logging
import sys
from pathlib import Path

import pytest
import torch
from saved_nets import Payload, answer, one_line, small_resnet
from torch import Tensor, nn

from bus_lightning.core.errors import UserError
from bus_lightning.models.checkpoint_files import read_checkpoint
from bus_lightning.models.u2net import u2net_lite
from bus_lightning.models.weights import load_weights

# Small networks wait for each other's threads longer than they compute, on a busy machine.
torch.set_num_threads(1)


# ---- reading


def test_saved_weights_come_back_and_give_the_same_answer(tmp_path: Path) -> None:
    net, image = small_resnet(), torch.randn(1, 3, 64, 64)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    other = small_resnet(seed=1)
    assert load_weights(other, read_checkpoint(tmp_path / "net.pth"), "net.pth").lines == []
    assert torch.equal(answer(other, image), answer(net, image))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        read_checkpoint(tmp_path / "nothing.pth")
    assert "nothing.pth" in one_line(error)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kept", [0.0, 0.001, 0.5, 0.95])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, kept: float, zipped: bool) -> None:
    file = tmp_path / "net.pth"
    weights = {f"tensor{i}": torch.zeros(100) for i in range(100)}
    torch.save(weights, file, _use_new_zipfile_serialization=zipped)
    file.write_bytes(file.read_bytes()[: int(kept * file.stat().st_size)])
    with pytest.raises(UserError, match="cut off") as error:
        read_checkpoint(file)
    assert str(file) in one_line(error)


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", bytes(range(256)) * 50])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "page.pth"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"page\.pth") as error:
        read_checkpoint(file)
    one_line(error)


@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_code_is_refused_and_does_not_run(tmp_path: Path, zipped: bool) -> None:
    file = tmp_path / "evil.pth"
    content = {"fc.weight": torch.zeros(3), "config": Payload()}
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match="pickled code") as error:
        read_checkpoint(file)
    assert "evil.pth" in one_line(error)
    assert not hasattr(sys, "weights_ran_code")


def test_a_whole_pickled_network_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "net.pth")
    with pytest.raises(UserError, match="pickled code"):
        read_checkpoint(tmp_path / "net.pth")


def test_a_file_of_a_single_tensor_is_refused(tmp_path: Path) -> None:
    torch.save(torch.zeros(3), tmp_path / "tensor.pth")
    with pytest.raises(UserError, match="Tensor"):
        read_checkpoint(tmp_path / "tensor.pth")


# ---- loading


def test_a_lightning_checkpoint_is_loaded_like_its_network() -> None:
    net = small_resnet()
    state = {f"net.{name}": value for name, value in net.state_dict().items()}
    checkpoint = {"epoch": 3, "state_dict": {**state, "loss.weight": torch.ones(3)}}
    other = small_resnet(seed=1)
    assert load_weights(other, checkpoint, "last.ckpt").lines == []
    assert torch.equal(other.fc.weight, net.fc.weight)


def test_the_head_is_left_out_when_the_number_of_classes_differs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    saved, net = small_resnet(num_classes=1000), small_resnet(seed=1)
    with caplog.at_level(logging.INFO):
        lines = load_weights(net, saved.state_dict(), "imagenet").lines
    assert len(lines) == 1
    assert all(word in lines[0] for word in ("imagenet", "fc", "1000 classes"))
    assert lines[0] in caplog.text
    assert net.fc.weight.shape == (3, 512)
    assert 0 < net.fc.weight.std() < 0.01
    assert not net.fc.bias.any()
    assert torch.equal(net.layer4[0].conv1.weight, saved.layer4[0].conv1.weight)


def test_only_the_last_fully_connected_layer_counts_as_the_head() -> None:
    def net(hidden: int, classes: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(4, hidden), nn.ReLU(), nn.Linear(hidden, classes))

    saved, other = net(hidden=8, classes=10), net(hidden=8, classes=3)
    [line] = load_weights(other, saved.state_dict(), "file").lines
    assert "left out 2," in line
    assert torch.equal(other.state_dict()["0.weight"], saved.state_dict()["0.weight"])
    with pytest.raises(UserError, match=r"0\.weight is \(8, 4\), not \(9, 4\)"):
        load_weights(net(hidden=9, classes=10), saved.state_dict(), "file")


def test_colour_weights_answer_a_grey_image_as_before() -> None:
    colour, grey = small_resnet(), small_resnet(in_channels=1, seed=1)
    [line] = load_weights(grey, colour.state_dict(), "file").lines
    assert "conv1" in line
    image = torch.randn(1, 1, 64, 64)
    expected = answer(colour, image.expand(-1, 3, -1, -1))
    torch.testing.assert_close(answer(grey, image), expected, rtol=1e-4, atol=1e-4)


def test_colour_weights_fit_a_grey_u2net() -> None:
    saved, net = u2net_lite(width=8), u2net_lite(in_channels=1, width=8)
    [line] = load_weights(net, saved.state_dict(), "file").lines
    assert "stage1.rebnconvin.conv_s1" in line


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"layer1.0.conv1.weight": None}, r"layer1\.0\.conv1\.weight is missing"),
        ({"layer9.weight": torch.zeros(1)}, r"layer9\.weight is unknown"),
        ({"layer1.0.bn1.bias": torch.zeros(7)}, r"layer1\.0\.bn1\.bias is \(7,\), not \(64,\)"),
        ({"fc.weight": torch.zeros(3, 99)}, r"fc\.weight is \(3, 99\)"),
        ({"fc.weight": torch.zeros(9, 99)}, r"fc\.weight is \(9, 99\)"),
        ({"fc.weight": None}, r"fc\.weight is missing"),
        ({"conv1.weight": torch.zeros(64, 4, 7, 7)}, r"conv1\.weight is"),
        ({"conv1.weight": torch.zeros(64, 1, 7, 7)}, r"conv1\.weight is"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named_and_nothing_is_loaded(
    damage: dict[str, Tensor | None], message: str
) -> None:
    state = {**small_resnet().state_dict(), **damage}
    state = {name: value for name, value in state.items() if value is not None}
    net, untouched = small_resnet(seed=1), small_resnet(seed=1)
    with pytest.raises(UserError, match=message) as error:
        load_weights(net, state, "file.pth")
    assert "file.pth" in one_line(error)
    for tensor, before in zip(net.parameters(), untouched.parameters(), strict=True):
        assert torch.equal(tensor, before)


def test_at_most_three_misfits_are_named() -> None:
    with pytest.raises(UserError, match=r"and \d+ more") as error:
        load_weights(small_resnet(), u2net_lite(width=8).state_dict(), "u2netp.pth")
    assert one_line(error).count(" is ") == 3


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, {"state_dict": {"loss": torch.ones(3)}}])
def test_a_dictionary_without_a_network_is_refused(content: dict[str, object]) -> None:
    with pytest.raises(UserError, match=r"other\.pth"):
        load_weights(small_resnet(), content, "other.pth")


def test_weights_older_than_the_batch_counter_are_loaded() -> None:
    saved = small_resnet()
    state = {k: v for k, v in saved.state_dict().items() if not k.endswith("num_batches_tracked")}
    net = small_resnet(seed=1)
    assert load_weights(net, state, "old.pth").lines == []
    assert torch.equal(net.fc.weight, saved.fc.weight)
