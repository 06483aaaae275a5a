"""From a folder of images to batches: index, audit, split, dataset, data module.

May import core and config. The modules that the diagnosis needs import no PyTorch: `file_kinds`, `levels`, `resizing`
and `preprocess`.
"""
