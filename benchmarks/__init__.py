"""How fast the framework is, as ratios measured in one run: `python -m benchmarks --help`."""
