"""Time a training step of U2NET-Lite in bfloat16, on a CPU with AVX512-BF16 or AMX."""

from u2net_steps import time_steps

if __name__ == "__main__":
    time_steps(__doc__, in_bfloat16=True)
