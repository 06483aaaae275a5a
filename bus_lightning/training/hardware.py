"""What `auto` stands for on this machine: device, precision and memory layout of a run, decided once."""

import ctypes
import gc
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from bus_lightning.core.errors import UserError
from bus_lightning.core.ranks import local_rank
from bus_lightning.data.batch_augment import BatchAugmentation

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # of glibc's malloc.h
_SHARE_OF_GPU = 0.25  # of its memory: what images may take when nobody said whether they go there
_BFLOAT16 = {"avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX"}  # instructions of a CPU -> their name


@dataclass(frozen=True)
class Hardware:
    """What a run is computed on, and how.

    Attributes:
        device: The device.
        name: What it is called.
        precision: Lightning's name, `bf16-mixed` or `32-true` when it was chosen here.
        channels_last: Whether weights and images lie with their channels last.
        on_device: Whether the images lie in the device's memory and are augmented there.
        devices: Lightning's `devices`.
    """

    device: torch.device
    name: str
    precision: str
    channels_last: bool
    on_device: bool = False
    devices: Any = 1

    def __str__(self) -> str:
        return f"{self.precision}, {'channels last' if self.channels_last else 'channels first'}, on {self.name}"

    @property
    def home_of_images(self) -> torch.device | None:
        """The device where the images lie; None for the host."""
        return self.device if self.on_device else None

    @property
    def used(self) -> dict[str, Any]:
        """What a run's status keeps, to go on by."""
        chosen = {"precision": self.precision, "channels_last": self.channels_last, "on_device": self.on_device}
        return chosen | {"device": self.name}


def choose_hardware(cfg: DictConfig, before: Mapping[str, Any], images: int = 0, devices: Any = None) -> Hardware:
    """Choose what the config leaves open, and set how float32 is multiplied on a GPU.

    bfloat16 keeps float32's range, so it needs no loss scaling; where the hardware has it, it is two to three times as
    fast. Without it float32 stays. TF32 is on beside 16 bits and off where float32 was asked for.

    Args:
        cfg: The config, of which `trainer`, `channels_last`, `data` and `augment` are read.
        before: What the status of a run says was used so far: a run goes on as it began, whatever the machine.
        images: Number of images, to know whether a GPU has room for them.
        devices: Devices to use; None for `trainer.devices`.

    Raises:
        UserError: When there is no such device.
    """
    devices = cfg.trainer.devices if devices is None else devices
    device = _device(str(cfg.trainer.accelerator), devices)
    name, has_bfloat16 = _describe(device)
    precision, channels_last, on_device = cfg.trainer.precision, cfg.channels_last, cfg.data.on_device
    if precision == "auto":
        precision = before.get("precision") or ("bf16-mixed" if has_bfloat16 else "32-true")
    if channels_last == "auto":
        channels_last = before.get("channels_last", device.type in ("cpu", "cuda"))
    if on_device is None:
        on_device = before.get("on_device", _has_room(device, images * cfg.data.size**2) and _can_augment(cfg.augment))
    if device.type == "cuda":
        coarse = "16" in str(precision)
        torch.set_float32_matmul_precision("high" if coarse else "highest")
        torch.backends.cudnn.allow_tf32 = coarse
    if device.type == "cpu":
        keep_freed_memory()
    return Hardware(device, name, str(precision), bool(channels_last), bool(on_device), devices)


def keep_freed_memory() -> None:
    """Let freed memory be used again, instead of giving it back to the kernel at once.

    glibc does so with every large tensor, and the kernel fills its pages with zeros anew in each step: without, AlexNet
    and U2NET-Lite train about one and a half times as fast, the ResNets alike (`make bench ARGS=throughput`).
    """
    if libc := _glibc():
        libc.mallopt(_MMAP_THRESHOLD, 2**30) or libc.mallopt(_MMAP_THRESHOLD, 2**25)  # the most that older ones take
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
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    gpu = "mps" if mps else "cuda" if cuda else None
    kind = {
        "auto": gpu or "cpu",
        "gpu": gpu,
        "cuda": "cuda" if cuda else None,
        "mps": "mps" if mps else None,
        "cpu": "cpu",
    }
    if not (found := kind.get(accelerator)):
        raise UserError(f"trainer.accelerator={accelerator} is not here: use auto, or one of cpu, gpu, cuda, mps.")
    if found != "cuda":
        return torch.device(found, 0)
    return torch.device(found, local_rank() if isinstance(devices, int | str) else devices[local_rank()])


def _describe(device: torch.device) -> tuple[str, bool]:
    """Name a device and tell whether it multiplies bfloat16 itself."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.get_device_name(), torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
        found = [title for key, title in _BFLOAT16.items() if able.get(key)]
        return " with ".join([str(able.get("cpu_name") or "a CPU").strip(), *found[-1:]]), bool(found)
    return str(device), False


def _has_room(device: torch.device, pixels: int) -> bool:
    """Tell whether a GPU has room for images and masks; a CPU augments one image after the other ten times as fast."""
    return device.type == "cuda" and 4 * pixels < _SHARE_OF_GPU * torch.cuda.get_device_properties(device).total_memory


def _can_augment(augment: DictConfig) -> bool:
    """Tell whether the device can do what the config asks for; some options only the CPU knows."""
    try:
        BatchAugmentation(OmegaConf.to_container(augment, resolve=True))  # type: ignore[arg-type]
    except UserError:
        return False
    return True
