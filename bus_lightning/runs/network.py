"""What a run's network is made of and costs: `network.json`, so that a report need not build the network."""

import json
import logging
from collections.abc import Mapping
from typing import Any

from bus_lightning.core.errors import UserError
from bus_lightning.core.files import write_aside
from bus_lightning.runs.contents import read_network_file
from bus_lightning.runs.folder import RunDir

log = logging.getLogger(__name__)


def write_network(folder: RunDir, counted: Mapping[str, Any]) -> None:
    """Write `network.json` of a run: what `models.anatomy` counts."""
    write_aside(folder.network, json.dumps(counted, indent=1) + "\n")


def read_network(folder: RunDir) -> dict[str, Any]:
    """Read `network.json` of a run; empty for a run of an earlier version, and if it is damaged, which is logged."""
    try:
        return read_network_file(folder.network)
    except UserError as error:
        log.warning("%s", error)
        return {}
