"""debug=batch_size finds the largest batch that fits."""

import pytest
import torch

from bus_lightning.core.errors import UserError
from bus_lightning.data.dataset import Collate
from bus_lightning.training import fit, train
from bus_lightning.training.hardware import Hardware

FINDER = ("model=resnet34", "debug=batch_size", "data.batch_size=2", "logger=none")


def test_a_cpu_is_refused_because_it_would_swap(composed):
    with pytest.raises(UserError, match="debug=batch_size fills the memory of a GPU, and this is a CPU"):
        train.run(composed(*FINDER))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the finder, too, reloads the data more often than Lightning likes
def test_the_largest_batch_that_fits_is_found_and_reported(trained, monkeypatch, caplog):
    caplog.set_level("INFO")
    seen, usual = [], Collate.__call__

    def collate(self, samples):
        seen.append(len(samples))
        if len(samples) > 13:  # a memory of thirteen images
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return usual(self, samples)

    # A CPU that is called a GPU: what matters here is what happens when the memory is full.
    gpu = Hardware(torch.device("meta"), "a small GPU", "32-true", False)
    monkeypatch.setattr(fit, "choose_hardware", lambda *_, **__: gpu)
    monkeypatch.setattr(Collate, "__call__", collate)
    run = trained(*FINDER)
    assert "Largest batch that fits, with a safety margin: 12 images." in caplog.text
    assert max(seen) > 13
    assert run.is_complete


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore")
def test_a_gpu_is_filled_and_the_run_goes_on(trained, caplog):
    caplog.set_level("INFO")
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(3e9 / total)
    try:
        trained("model=alexnet", "debug_size=false", "debug=batch_size", "data.size=512", "logger=none")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "Largest batch that fits, with a safety margin:" in caplog.text
    assert "all training images fit" not in caplog.text  # the memory was the limit
