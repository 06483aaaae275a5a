"""One run from its config to its metrics: decide, fit, evaluate.

May import everything from core to explain. Loggers come from the config; see `tracker`.
"""
