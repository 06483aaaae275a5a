"""Networks as plain modules, and their weights: images in, logits out.

May import core; knows nothing of Lightning, Hydra or files of runs.
"""
