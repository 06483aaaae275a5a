"""One run from its config to its metrics: decide, fit, evaluate.

May import everything from core to explain. What records a run elsewhere is a logger of the config, see `tracker`.
"""
