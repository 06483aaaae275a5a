"""What a run's network is made of and costs: `network.json`, so that a report need not build the network."""

import json
import logging
from collections.abc import Mapping
from typing import Any

from bus_lightning.core.errors import DamagedError, UserError
from bus_lightning.core.files import write_aside
from bus_lightning.runs.contents import MOST_LAYERS, RECOUNT, read_network_file
from bus_lightning.runs.folder import RunDir

log = logging.getLogger(__name__)


def write_network(folder: RunDir, counted: Mapping[str, Any]) -> None:
    """Write `network.json` of a run: what `models.anatomy` counts, with at most as many layers as are read again."""
    readable = {**counted, "layers": counted["layers"][:MOST_LAYERS]}
    write_aside(folder.network, json.dumps(readable, indent=1) + "\n")


def read_network(folder: RunDir) -> dict[str, Any]:
    """Read `network.json` of a run.

    Returns:
        Its content; empty in a run of an earlier version. Empty, and logged, if it is damaged or of another network.
    """
    try:
        content = read_network_file(folder.network)
        counted, trained = content.get("parameters"), folder.status.get("parameters")
        if content and trained not in (None, counted):
            reason = f"it counts {counted:,} parameters, and the run has trained {trained:,}"
            raise DamagedError(folder.network, reason, RECOUNT)
    except UserError as error:
        log.warning("%s", error)
        return {}
    return content
