"""The Hydra config: check it, settle it once, name and identify a run, build the objects that it names.

May import core.
"""
