"""From finished runs to a bundle for the diagnosis; this part needs PyTorch.

May import diagnosis, runs, statistics and everything below them.
"""
