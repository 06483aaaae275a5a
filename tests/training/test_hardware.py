"""`auto` takes what is fast on this machine, says so, and stays what it was for the rest of a run's life."""

import contextlib
from types import SimpleNamespace

import pytest
import torch
from omegaconf import OmegaConf

from bus_lightning.config.rules import check
from bus_lightning.config.stored import load_config
from bus_lightning.core.errors import UserError
from bus_lightning.training import train
from bus_lightning.training.evaluate import evaluate_run
from bus_lightning.training.hardware import choose_hardware

ABLE, UNABLE = {"avx512_bf16": True, "cpu_name": "a new CPU"}, {"avx512_bf16": False, "cpu_name": "an old CPU"}


def config_of(precision="auto", channels_last="auto"):
    trainer = {"precision": precision, "accelerator": "cpu", "devices": 1}
    data = {"on_device": None, "size": 224}
    return OmegaConf.create({"trainer": trainer, "channels_last": channels_last, "data": data, "augment": {}})


@pytest.fixture
def machine(monkeypatch):
    def set_capabilities(capabilities):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)

    return set_capabilities


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [(ABLE, "bf16-mixed"), ({"amx_bf16": True}, "bf16-mixed"), (UNABLE, "32-true"), ({}, "32-true")],
)
def test_auto_is_bfloat16_where_the_processor_has_it(machine, capabilities, precision):
    machine(capabilities)
    chosen = choose_hardware(config_of(), before={})
    assert (chosen.precision, chosen.channels_last, chosen.device.type) == (precision, True, "cpu")


@pytest.mark.parametrize("before", [{}, {"precision": "bf16-mixed", "channels_last": True}])
def test_what_was_asked_for_wins_over_auto(machine, before):
    machine(ABLE)
    chosen = choose_hardware(config_of("32-true", False), before)
    assert (chosen.precision, chosen.channels_last) == ("32-true", False)


def test_a_run_goes_on_as_it_began_whatever_the_machine(machine):
    machine(UNABLE)
    chosen = choose_hardware(config_of(), before={"precision": "bf16-mixed", "channels_last": False})
    assert (chosen.precision, chosen.channels_last) == ("bf16-mixed", False)


@pytest.mark.parametrize(("precision", "before", "advice"), [
    ("bf16-mixed", {}, "use trainer.precision=32-true"), ("auto", {"precision": "bf16-mixed"}, "the run keeps it"),
], ids=["chosen", "begun elsewhere"])  # fmt: skip
def test_bfloat16_on_a_processor_without_it_is_called_slow(machine, caplog, precision, before, advice):
    machine(ABLE)
    choose_hardware(config_of(precision), before)
    assert not caplog.messages
    machine(UNABLE)
    choose_hardware(config_of(), before={})
    assert not caplog.messages
    choose_hardware(config_of(precision), before)
    (line,) = caplog.messages
    assert line.startswith("an old CPU cannot multiply bfloat16, so bf16-mixed is several times slower")
    assert advice in line


def test_a_device_without_known_bfloat16_and_layout_gets_the_safe_ones(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    cfg = config_of()
    cfg.trainer.accelerator = "auto"
    chosen = choose_hardware(cfg, before={})
    assert (chosen.device.type, chosen.precision, chosen.channels_last) == ("mps", "32-true", False)


def test_one_line_says_precision_layout_and_machine(machine):
    machine(ABLE)
    assert str(choose_hardware(config_of(), before={})) == "bf16-mixed, channels last, on a new CPU with AVX512-BF16"


@pytest.mark.slow
def test_the_config_keeps_the_request_and_the_status_what_was_used(trained, machine, caplog):
    machine(ABLE)
    caplog.set_level("INFO")
    run = trained("model=resnet34")
    kept = load_config(run.config)
    assert (kept.trainer.precision, kept.channels_last) == ("auto", "auto")
    assert (run.status["precision"], run.status["channels_last"]) == ("bf16-mixed", True)
    assert run.status["device"] == "a new CPU with AVX512-BF16"
    assert sum("bf16-mixed, channels last, on a new CPU" in line for line in caplog.messages) == 1

    machine(UNABLE)  # evaluated elsewhere, it must still give the same bits
    assert evaluate_run(run, request()).metrics["test"] == run.metrics["test"]


def request():
    return OmegaConf.create(
        {"part": "test", "split": None, "progress": False, "data": {"root": None, "skip_unreadable": False}}
    )


@pytest.mark.parametrize("accelerator", ["gpu", "cuda", "mps", "tpu"])
def test_a_device_that_is_not_here_is_refused_with_the_cure(accelerator, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cfg = config_of()
    cfg.trainer.accelerator = accelerator
    with pytest.raises(UserError, match=f"trainer.accelerator={accelerator} is not available: use auto"):
        choose_hardware(cfg, before={})


@pytest.fixture
def gpu(monkeypatch):
    """What a GPU of 8 GB answers when it is asked, and what is set on it."""
    settings = {}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=8 * 10**9))
    monkeypatch.setattr(torch, "set_float32_matmul_precision", lambda value: settings.update(matmul=value))
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    return settings


@pytest.mark.parametrize(
    ("precision", "matmul"), [("auto", "high"), ("16-mixed", "high"), ("32-true", "highest"), (32, "highest")]
)
def test_tf32_is_off_where_float32_was_asked_for(gpu, precision, matmul):
    cfg = config_of(precision)
    cfg.trainer.accelerator = "cuda"
    choose_hardware(cfg, before={})
    assert gpu["matmul"] == matmul
    assert torch.backends.cudnn.allow_tf32 == (matmul == "high")


def test_images_go_to_a_gpu_that_has_room_and_can_augment_them(gpu):
    def fits_on_gpu(images, augment=None, before=None, **data):
        cfg = config_of()
        cfg.trainer.accelerator, cfg.augment = "cuda", augment or {}
        cfg.data.update(data)
        return choose_hardware(cfg, before or {}, images).on_device

    assert fits_on_gpu(5_000)
    assert not fits_on_gpu(50_000)
    assert not fits_on_gpu(5_000, augment={"rotation": {"limit": 5, "fill": 9}})  # what only the CPU can
    assert fits_on_gpu(50_000, before={"on_device": True})
    assert not fits_on_gpu(5_000, before={"on_device": False})
    assert fits_on_gpu(50_000, on_device=True)


def test_an_unknown_layout_is_refused_by_name(composed):
    with pytest.raises(UserError, match="channels_last=maybe: give one of true, false, auto"):
        check(composed("channels_last=maybe"))


def test_clipping_with_a_fused_optimizer_in_sixteen_bits_is_refused_with_the_cure(composed):
    clipped = ("model=resnet34", "trainer.gradient_clip_val=1")
    with pytest.raises(UserError, match=r"add optimizer.fused=false"):
        check(composed(*clipped))
    check(composed(*clipped, "trainer.precision=32-true"))
    train.run(composed(*clipped, "optimizer.fused=false"))


def test_a_run_of_an_older_version_is_evaluated(trained):
    run = trained("model=resnet34")
    kept = load_config(run.config)
    del kept.data.cache_gb, kept.data.on_device
    OmegaConf.save(kept, run.config)
    assert evaluate_run(run, request()).metrics["test"] == run.metrics["test"]


@pytest.mark.gpu
def test_a_gpu_with_bfloat16_trains_in_it_with_its_images_in_its_memory(trained):
    status = trained("model=resnet34", "trainer.accelerator=gpu").status
    able = torch.cuda.is_bf16_supported(including_emulation=False)
    assert status["precision"] == ("bf16-mixed" if able else "32-true")
    assert status["device"] == torch.cuda.get_device_name()
    assert status["on_device"]
