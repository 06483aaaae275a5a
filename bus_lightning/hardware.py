"""What `auto` stands for on this machine: device, precision and memory layout of a run, decided once."""

import ctypes
import gc
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # of glibc's malloc.h
_BFLOAT16 = {"avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX"}  # instructions of a CPU -> their name


@dataclass(frozen=True)
class Hardware:
    """What a run is computed on, and how.

    Attributes:
        device: The device.
        name: What it is called.
        precision: Lightning's name, `bf16-mixed` or `32-true` when it was chosen here.
        channels_last: Whether weights and images lie with their channels last.
    """

    device: torch.device
    name: str
    precision: str
    channels_last: bool

    def __str__(self) -> str:
        return f"{self.precision}, {'channels last' if self.channels_last else 'channels first'}, on {self.name}"


def choose_hardware(cfg: DictConfig, before: Mapping[str, Any]) -> Hardware:
    """Choose what the config leaves open, and set how float32 is multiplied on a GPU.

    bfloat16 keeps float32's range, so it needs no loss scaling; where the hardware has it, it is two to three times as
    fast. Without it float32 stays. TF32 is on beside bfloat16 and off where float32 was asked for.

    Args:
        cfg: The config, of which `trainer` and `channels_last` are read.
        before: What the status of a run says was used so far: a run goes on as it began, whatever the machine.
    """
    device = _device(str(cfg.trainer.accelerator), cfg.trainer.devices)
    name, has_bfloat16 = _describe(device)
    precision, channels_last = cfg.trainer.precision, cfg.channels_last
    if precision == "auto":
        precision = before.get("precision") or ("bf16-mixed" if has_bfloat16 else "32-true")
    if channels_last == "auto":
        channels_last = before.get("channels_last", device.type in ("cpu", "cuda"))
    if device.type == "cuda":
        coarse = precision != "32-true"
        torch.set_float32_matmul_precision("high" if coarse else "highest")
        torch.backends.cudnn.allow_tf32 = coarse
    if device.type == "cpu":
        keep_freed_memory()
    return Hardware(device, name, str(precision), bool(channels_last))


def keep_freed_memory() -> None:
    """Let freed memory be used again, instead of giving it back to the kernel at once.

    glibc does so with every large tensor, and the kernel fills its pages with zeros anew in each step: AlexNet trains
    one and a half times as fast without, U2NET-Lite a sixth faster, the ResNets alike.
    """
    if libc := _glibc():
        libc.mallopt(_MMAP_THRESHOLD, 2**30)
        libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def release_memory() -> None:
    """Give back what a job has left in memory."""
    gc.collect()
    torch.cuda.empty_cache()
    if libc := _glibc():
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "mallopt") else None  # musl has none


def _device(accelerator: str, devices: Any) -> torch.device:
    """Tell the one device that Lightning will take."""
    kind = {"gpu": "cuda", "auto": "cuda" if torch.cuda.is_available() else "cpu"}.get(accelerator, accelerator)
    if accelerator == "auto" and torch.backends.mps.is_available():
        kind = "mps"
    return torch.device(kind, devices[0] if kind == "cuda" and not isinstance(devices, int | str) else 0)


def _describe(device: torch.device) -> tuple[str, bool]:
    """Name a device and tell whether it multiplies bfloat16 itself."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device), torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
        found = [title for key, title in _BFLOAT16.items() if able.get(key)]
        return " with ".join([str(able.get("cpu_name") or "a CPU").strip(), *found[-1:]]), bool(found)
    return str(device), False
