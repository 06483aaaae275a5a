"""From a folder of images to batches: index, audit, split, dataset, data module."""
