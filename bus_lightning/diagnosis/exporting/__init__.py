"""From finished runs to a bundle: the side of the diagnosis that needs PyTorch."""
