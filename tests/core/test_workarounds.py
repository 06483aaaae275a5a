"""What the libraries do that is undone here: each has its source, and importing the room imports none of them."""

import inspect
import re
import subprocess
import sys

from bus_lightning.core import workarounds

FUNCTIONS = [
    function
    for _, function in inspect.getmembers(workarounds, inspect.isfunction)
    if function.__module__ == workarounds.__name__
]


def test_importing_the_room_imports_no_library():
    script = "import sys; import bus_lightning.core.workarounds; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    packages = {name.partition(".")[0] for name in done.stdout.split()}
    assert "bus_lightning" in packages
    assert not packages & {"torch", "lightning", "hydra", "omegaconf", "joblib", "ray", "openvino", "wandb"}


def test_each_workaround_says_where_the_library_does_it():
    assert len(FUNCTIONS) >= 10
    lacking = [
        function.__name__
        for function in FUNCTIONS
        if not re.search(r"(Upstream|Source): ", inspect.getdoc(function) or "")
    ]
    assert not lacking
