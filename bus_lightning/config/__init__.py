"""The Hydra config: check it, complete it once, name and identify a run, build the objects that it names.

May import core.
"""

from pathlib import Path

CONF = Path(__file__).parents[2] / "conf"  # the folder of the config groups
