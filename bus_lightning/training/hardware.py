"""Choose device, precision and memory layout of a run, where the config says `auto`."""

import ctypes
import gc
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from bus_lightning.core.errors import UserError
from bus_lightning.core.ranks import local_rank
from bus_lightning.data.batch_augment import BatchAugmentation

log = logging.getLogger(__name__)
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # of glibc's malloc.h
_SHARE_OF_GPU = 0.25  # of its memory, for images, if data.on_device is null
_BFLOAT16 = {"avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX"}  # instructions of a CPU -> their name


@dataclass(frozen=True)
class Hardware:
    """The device of a run, and how it computes.

    Attributes:
        device: The device.
        name: Its name.
        precision: Lightning's name of the precision; `auto` becomes `bf16-mixed` or `32-true`.
        channels_last: Whether weights and images have the memory layout with channels last.
        on_device: Whether the images are held in the device's memory and augmented there.
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
        """The device that holds the images; None for the host."""
        return self.device if self.on_device else None

    @property
    def used(self) -> dict[str, Any]:
        """The choice, for the status of the run; a resumed run keeps it."""
        chosen = {"precision": self.precision, "channels_last": self.channels_last, "on_device": self.on_device}
        return chosen | {"device": self.name}


def choose_hardware(cfg: DictConfig, before: Mapping[str, Any], images: int = 0, devices: Any = None) -> Hardware:
    """Choose what the config leaves open, and set how a GPU multiplies float32.

    bfloat16 has the range of float32 and needs no loss scaling. It is two to three times as fast where the hardware has
    it; elsewhere float32 is chosen. TF32 is on with 16 bits and off with float32.

    Args:
        cfg: The config, of which `trainer`, `channels_last`, `data` and `augment` are read.
        before: The status of a resumed run, which keeps its choice on any machine.
        images: Number of images, to know whether a GPU has room for them.
        devices: Devices to use; None for `trainer.devices`.

    Raises:
        UserError: If the machine has no such device.
    """
    devices = cfg.trainer.devices if devices is None else devices
    device = _device(str(cfg.trainer.accelerator), devices)
    name, has_bfloat16 = _describe(device)
    precision, channels_last, on_device = cfg.trainer.precision, cfg.channels_last, cfg.data.on_device
    if precision == "auto":
        precision = before.get("precision") or ("bf16-mixed" if has_bfloat16 else "32-true")
    if device.type == "cpu" and "bf16" in str(precision) and not has_bfloat16:
        kept = "; the run keeps it, so that its numbers do not change" if before else ": use trainer.precision=32-true"
        log.warning("%s cannot multiply bfloat16, so %s is several times slower than 32-true%s.", name, precision, kept)
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
    """Let glibc keep freed memory instead of returning it to the kernel.

    By default it returns every large tensor, and the kernel zeroes the pages again in each step. Keeping them trains
    AlexNet and U2NET-Lite about 1.5 times as fast, and the ResNets as fast as before (`make bench ARGS=throughput`).
    """
    if libc := _glibc():
        libc.mallopt(_MMAP_THRESHOLD, 2**30) or libc.mallopt(_MMAP_THRESHOLD, 2**25)  # the maximum of older versions
        libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def release_memory() -> None:
    """Free the memory of a finished job."""
    gc.collect()
    torch.cuda.empty_cache()
    if libc := _glibc():
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "mallopt") else None  # musl has none


def _device(accelerator: str, devices: Any) -> torch.device:
    """Return the device that Lightning will use in this process."""
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    gpu = "mps" if mps else "cuda" if cuda else None
    kind = {
        "auto": gpu or "cpu",
        "gpu": gpu,
        "cuda": "cuda" if cuda else None,
        "mps": "mps" if mps else None,
        "cpu": "cpu",
    }
    if not (name := kind.get(accelerator)):
        raise UserError(f"trainer.accelerator={accelerator} is not available: use auto, or one of cpu, gpu, cuda, mps.")
    if name != "cuda":
        return torch.device(name, 0)
    return torch.device(name, local_rank() if isinstance(devices, int | str) else devices[local_rank()])


def _describe(device: torch.device) -> tuple[str, bool]:
    """Return the name of a device and whether it multiplies bfloat16 natively."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.get_device_name(), torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        instructions = [title for key, title in _BFLOAT16.items() if capabilities.get(key)]
        name = str(capabilities.get("cpu_name") or "a CPU").strip()
        return " with ".join([name, *instructions[-1:]]), bool(instructions)
    return str(device), False


def _has_room(device: torch.device, pixels: int) -> bool:
    """Return whether a GPU has room for images and masks; a CPU augments single images ten times as fast as batches."""
    return device.type == "cuda" and 4 * pixels < _SHARE_OF_GPU * torch.cuda.get_device_properties(device).total_memory


def _can_augment(augment: DictConfig) -> bool:
    """Return whether the device can augment as the config says; the CPU has more options."""
    try:
        BatchAugmentation(OmegaConf.to_container(augment, resolve=True))  # type: ignore[arg-type]
    except UserError:
        return False
    return True
