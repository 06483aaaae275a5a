"""What a measurement ran on: without it a number says nothing."""

import json
import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.processes import CORES, PROJECT, run

CAPABILITIES = ("avx2", "avx512_f", "avx512_bf16", "amx_bf16", "amx_tile")  # what decides how fast a CPU trains
_ASK_TORCH = """
import json, torch
gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
print(json.dumps({"capabilities": dict(torch.cpu.get_capabilities()), "gpu": gpu}))
"""


def provenance() -> dict[str, Any]:
    """Describe the machine, the code, the command and what else ran."""
    load = os.getloadavg()[0]  # before anything of ours runs
    torch_facts: dict[str, Any] = json.loads(run(["python", "-c", _ASK_TORCH]).output.splitlines()[-1])
    return {
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "data": "BUSI" if os.environ.get("BUSI_ROOT") else "phantom",
        "cpu": _cpu(),
        "cores": CORES,
        "capabilities": [name for name in CAPABILITIES if torch_facts["capabilities"].get(name)],
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "gpu": torch_facts["gpu"],
        "versions": {"python": platform.python_version()} | {name: version(name) for name in ("torch", "lightning")},
        "commit": commit(),
        "load": round(load, 1),
    }


def sentence(facts: dict[str, Any]) -> str:
    """Write the facts of `provenance` as the line below a table."""
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    cores = "1 core" if facts["cores"] == 1 else f"{facts['cores']} cores"
    return (
        f"*`{facts['command']}`, {facts['date']}, data: {facts['data']}. {facts['cpu']}, {cores} "
        f"({', '.join(facts['capabilities']) or 'no vector extensions'}), {facts['memory_gb']} GB, "
        f"{facts['gpu'] or 'no GPU'}; {versions}; commit {facts['commit']}; load average at the start {facts['load']}.*"
    )


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def commit() -> str:
    """Name the checked-out commit, `-dirty` if it has changes; `unknown` without git."""
    command = ["git", "describe", "--always", "--dirty"]
    try:
        answer = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=20)
    except OSError:
        return "unknown"
    return answer.stdout.strip() or "unknown"
