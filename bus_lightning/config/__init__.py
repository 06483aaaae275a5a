"""The Hydra config: check it, complete it once, name and identify a run, build the objects that it names.

May import core.
"""
