"""Read data sets in the layouts that they have: one file per layout, each makes the same index."""
