"""The Hydra config: check it, complete it once, name and identify a run, build the objects that it names.

May import core.
"""

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
# The folder of the config groups: within the installed package, or next to it in a checkout.
CONF = next(filter(Path.is_dir, (_PACKAGE / "conf", _PACKAGE.parent / "conf")), _PACKAGE / "conf")
