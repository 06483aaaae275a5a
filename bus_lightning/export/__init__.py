"""From finished runs to a bundle that the diagnosis opens; the side of it that needs PyTorch.

May import diagnosis, runs, statistics and everything below them.
"""
