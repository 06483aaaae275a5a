"""What difference a number of images can show, and how many images a difference needs.

A two-sided test at 5% finds a true difference with a power of 80% if it is 1.96 + 0.84 standard errors, by the normal
approximation. The standard error is that of the bootstrap over groups, so it counts near-duplicates and patients as
they are, and for a paired difference it holds how often the two conditions disagree. It shrinks with the square root
of the number of images.

References:
    Julious, "Sample sizes for clinical trials with normal data", Statistics in Medicine 23 (2004) 1921-1986.
    Connor, "Sample size for testing differences in proportions for the paired-sample design", Biometrics 43 (1987)
    207-211: for two accuracies on independent images, the same up to the difference of the two null variances.
"""

import math

from scipy.stats import norm

POWER, LEVEL = 0.80, 0.05
DIFFERENCES = (0.02, 0.05)  # that reports ask for
_STANDARD_ERRORS = float(norm.ppf(1 - LEVEL / 2) + norm.ppf(POWER))


def smallest_difference(se: float) -> float:
    """Return the smallest difference that is found with 80% power, from its standard error at the n at hand."""
    return _STANDARD_ERRORS * se


def images_needed(se: float, n: int, difference: float) -> int:
    """Return how many images find a difference with 80% power, from the standard error at n images.

    The further images are taken to come in groups like those at hand.

    Args:
        se: Standard error of the difference at n images, not negative.
        n: Number of images.
        difference: The difference to find, above 0.
    """
    return math.ceil(n * (_STANDARD_ERRORS * se / difference) ** 2 - 1e-9)
