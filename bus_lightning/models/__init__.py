"""Networks as plain modules, and their weights: images in, logits out.

May import core; does not depend on Lightning, Hydra or run folders.
"""
