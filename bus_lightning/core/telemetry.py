"""Keep the libraries from reporting to a server: the only place that does so.

`import bus_lightning` calls `switch_off` before anything else, so that the switches are set before a library is
imported. Processes that a command starts inherit them.
"""

import os
import sys

# Each library reads its switch at its import or at its first use.
SWITCHES = {
    # Privacy.md in the wheel of ONNX Runtime 1.32: no report, no device id, no database in the cache folder.
    "ORT_DISABLE_TELEMETRY": "1",
    # gradio/analytics.py of Gradio 6.31: its reports, and the request for its newest version.
    "GRADIO_ANALYTICS_ENABLED": "False",
    # huggingface_hub/constants.py of huggingface_hub 2.4, through which Gradio reports. Downloads stay possible.
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    # albumentations/check_version.py of albumentations 2.0.8: its import asks for the newest version.
    "NO_ALBUMENTATIONS_UPDATE": "1",
    # wandb/env.py of wandb 0.31: reports of its own errors and usage, which need no login. Recordings are not affected.
    "WANDB_ERROR_REPORTING": "false",
    # https://docs.ray.io/en/latest/cluster/usage-stats.html
    "RAY_USAGE_STATS_ENABLED": "0",
    # https://donottrack.sh: what other libraries agree on.
    "DO_NOT_TRACK": "1",
}


def switch_off() -> None:
    """Switch the reports of all libraries off, also where the user's environment switches them on.

    OpenVINO and NNCF have no switch: they do without `openvino_telemetry` where it cannot be imported. Otherwise they
    report their import (https://github.com/openvinotoolkit/openvino/pull/23832) and write an id into the home folder.
    """
    os.environ.update(SWITCHES)
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
