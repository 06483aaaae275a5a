"""The drawings of the paper's networks follow the modules that a run's config builds."""

import io
from pathlib import Path
from types import SimpleNamespace

import pytest
from matplotlib.text import Text
from omegaconf import OmegaConf

from bus_lightning.config.trusted import Origin
from bus_lightning.paper.architectures import architectures
from bus_lightning.runs.folder import RunDir


def condition(cfg):
    OmegaConf.resolve(cfg)
    run = RunDir(Path("no_run"))
    return SimpleNamespace(model=cfg.model.name, config=cfg, runs=[run], origin=Origin(run.config))


def drawn(cfg):
    """Return the figure of a run's network and everything that is written in it."""
    (item,) = architectures([condition(cfg)])
    item.figure.savefig(io.BytesIO(), format="png", dpi=50)
    return item, [text.get_text() for text in item.figure.findobj(Text) if text.get_text()]


def test_deepcardinal_is_drawn_with_its_blocks_groups_and_shapes(composed):
    blocks = [2, 1, 3, 1]
    cfg = composed("model=deepcardinal50", "data.num_classes=5", f"model.debug_size.layers={blocks}")
    item, words = drawn(cfg)
    assert [text.split("\n")[0] for text in words] == ["conv1", "layer1", "layer2", "layer3", "layer4", "fc"]
    for number, text in zip(blocks, words[1:5], strict=True):
        assert text.split("\n")[1] == f"{number} \N{MULTIPLICATION SIGN} Bottleneck"
    assert "32 groups of 4" in words[1]
    assert words[0].split("\n")[2] == "\N{MULTIPLICATION SIGN}".join(["64", "32", "32"])
    assert words[-1].split("\n")[1:] == ["Linear", "5", "10.2 k"]
    assert item.slug == "network_deepcardinal50"


@pytest.mark.parametrize("model", ["u2net_lite", "u2net"])
def test_u2net_is_drawn_as_a_u_of_us(composed, model):
    cfg = composed(f"model={model}")
    item, words = drawn(cfg)
    for stage, kind in enumerate(["RSU7", "RSU6", "RSU5", "RSU4", "RSU4F", "RSU4F"], start=1):
        assert sum(text.startswith(f"{kind} stage{stage}\n") for text in words) == 1
        assert sum(text.startswith(f"{kind} stage{stage}d\n") for text in words) == (stage < 6)
        assert sum(text.startswith(f"side{stage}\n") for text in words) == 1
    arrows = [note.arrow_patch for note in item.figure.axes[0].texts if getattr(note, "arrow_patch", None)]
    assert sum(arrow.get_linestyle() == "--" for arrow in arrows) == 5


def test_other_networks_are_not_drawn(composed):
    assert architectures([condition(composed("model=alexnet"))]) == []
