"""BUSI's names of its classes, which some rules depend on, and when an answer among classes is doubted.

Other data sets may have other classes.
"""

BENIGN, MALIGNANT = "benign", "malignant"
HEALTHY = "normal"  # the class without lesions
COUNTS_IN_BUSI = {BENIGN: 437, MALIGNANT: 210, HEALTHY: 133}  # images
LOW_CONFIDENCE = 0.6  # an answer with a lower probability is doubted
