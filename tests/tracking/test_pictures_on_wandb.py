"""W&B shows the figures of a report as its page does, and imports no more than it needs."""

import base64
import re
import subprocess
import sys

import pytest
from PIL import Image, ImageChops

from bus_lightning.launch.report import send_to_wandb
from bus_lightning.report import writing
from bus_lightning.report.making import make_report

OPEN_A_RUN = """
import sys, tempfile
import wandb
from bus_lightning.tracking.settings import wandb_settings
with tempfile.TemporaryDirectory() as folder:
    wandb.init(mode="offline", dir=folder, settings=wandb_settings("offline")).finish()
    assert "wandb.sdk.launch" not in sys.modules, "imported"
    from wandb.sdk.launch.inputs.internal import StagedLaunchInputs
    applied = []
    StagedLaunchInputs.apply = lambda self, run: applied.append(run)
    wandb.init(mode="offline", dir=folder, settings=wandb_settings("offline")).finish()
    assert len(applied) == 1, "not applied"
"""


@pytest.mark.slow
def test_the_figures_of_a_report_on_wandb_are_those_of_its_page(finished, monkeypatch):
    monkeypatch.setattr(writing, "_LARGEST_SVG", 70_000)  # some figures are larger, some smaller
    group = finished("group=grid", "model=resnet34", "logger=wandb").path.parent
    page = make_report([group], send=send_to_wandb)
    text, drawn = page.read_text(), {file.stem: file for file in (page.parent / "figures").iterdir()}
    html = [file.read_text() for file in group.glob("wandb/offline-*/files/media/html/**/*.html")]
    pictures = list(group.glob("wandb/offline-*/files/media/images/**/*.png"))
    assert len(html) + len(pictures) == len(drawn)
    for content in html:
        body = content.partition("<figcaption>")[0].removeprefix("<figure>").strip()
        assert any(body.rstrip().endswith(svg.read_text().partition("<svg ")[2].strip()) for svg in drawn.values())
    assert 0 < len(pictures) == len(re.findall("data:image/png;base64,", text))
    for picture in pictures:
        assert base64.b64encode(picture.read_bytes()).decode() in text
        with Image.open(picture) as image:
            assert image.mode == "RGB"
            assert ImageChops.invert(image).getbbox()  # not empty


def test_opening_a_run_on_wandb_imports_launch_only_where_inputs_may_be_staged(tmp_path):
    command = [sys.executable, "-W", "ignore", "-c", OPEN_A_RUN]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
