"""Networks as plain modules, and their weights: images in, logits out; and what follows from logits.

May import core; does not depend on Lightning, Hydra or run folders.
"""
