"""What `predict` does for one picture, step by step in a fresh process: the moment each step ends."""

import argparse
import json
import time
from pathlib import Path

MOMENTS = {"begun": time.time()}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--precision", required=True)
    options = parser.parse_args()

    from bus_lightning.diagnosis.bundle import load_bundle
    from bus_lightning.diagnosis.decoding import Decoders
    from bus_lightning.diagnosis.diagnoser import Diagnoser
    from bus_lightning.diagnosis.pipeline import diagnose_files, name_files
    from bus_lightning.diagnosis.results import Results

    MOMENTS["imported"] = time.time()
    bundle = load_bundle(options.bundle)
    MOMENTS["loaded"] = time.time()
    decoders = Decoders()
    diagnoser = Diagnoser(bundle, options.precision)
    MOMENTS["compiled"] = time.time()
    files = name_files([options.picture])
    diagnose_files(files, diagnoser, Results(options.out, {}), decoders)
    MOMENTS["answered"] = time.time()
    assert files[0].failure is None
    print(json.dumps(MOMENTS))


if __name__ == "__main__":
    main()
