"""Names that folders usually have, in lower case."""

IMAGES = ("images", "image", "imgs", "img", "original")
MASKS = ("masks", "mask", "labels", "label", "gt", "annotations")
MASK_ENDINGS = ("_mask", "_label", "_gt", "_seg", "-mask")  # of a mask's name, after that of its image
PARTS = {
    "train": "train", "training": "train", "tr": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test", "ts": "test",
}  # fmt: skip
