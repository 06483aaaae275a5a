"""The baseline: what a typical project does with Lightning and Hydra, without this framework."""
