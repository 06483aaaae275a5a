"""From a folder of images to batches: index, audit, split, dataset, data module.

May import core and config. The modules that the diagnosis imports, such as `levels` and `preprocess`, need no PyTorch.
"""
