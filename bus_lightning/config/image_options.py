"""The words that the options of cleaning and overlays accept; `data/preprocess.py` says what they do."""

DENOISERS = ("none", "median", "bilateral", "nlmeans")
CONTRASTS = ("none", "clahe")
STYLES = ("none", "contour", "fill", "class_mark", "channel", "crop")
SOURCES = ("ground_truth", "predicted")
