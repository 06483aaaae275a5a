#!/usr/bin/env bash
# PyTorch 2.14.1 (x86-64 Linux, Python 3.11), float32 on a CPU with AVX2 but without AVX-512, as in most laptops:
# the weight gradient of a 3x3 convolution of a wide map is about three times as slow with channels last.
#
# Expected: torch.channels_last makes convolutions faster on CPUs, as PyTorch's pages say, or leaves them as they are.
# Seen: forward pass and input gradient are as fast as with channels first, or faster. The weight gradient of
# 128 to 64 channels on a map of 320 x 320 pixels takes 0.89 s for two images instead of 0.26 s (two cores of an AMD
# EPYC). oneDNN's kernel for it, `jit:avx2`, is fast only on channels in blocks of eight, to which PyTorch converts
# channels first, but not channels last. A step of U2NET-Lite at 320 pixels, which consists of such layers, takes
# 16 s per eight images with channels last, and 14 s with channels first.
# ONEDNN_MAX_CPU_ISA makes CPUs with AVX-512 choose the same kernels.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.14.1 numpy
ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 "$folder/venv/bin/python" - <<'PY'
import time

import torch

torch.manual_seed(0)
seconds = {}
for layout in (torch.contiguous_format, torch.channels_last):
    images = torch.randn(2, 128, 320, 320).to(memory_format=layout)
    gradient = torch.randn(2, 64, 320, 320).to(memory_format=layout)
    weight = torch.randn(64, 128, 3, 3).to(memory_format=layout)
    for which in ("input", "weight"):
        asked = [which == "input", which == "weight", False]
        times = []
        for _ in range(4):
            begin = time.perf_counter()
            torch.ops.aten.convolution_backward(
                gradient, images, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, asked
            )
            times.append(time.perf_counter() - begin)
        seconds[which, layout] = min(times)
print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}")
for which in ("input", "weight"):
    first, last = seconds[which, torch.contiguous_format], seconds[which, torch.channels_last]
    print(f"gradient of the {which}: {first:.2f} s with channels first, {last:.2f} s with channels last")
assert seconds["input", torch.channels_last] < 1.3 * seconds["input", torch.contiguous_format], "the finding has changed"
assert seconds["weight", torch.channels_last] > 1.5 * seconds["weight", torch.contiguous_format], "the finding has changed"
PY
