"""From cases, a row per image, to metrics: the catalogue of all metrics, and the functions behind it.

May import core. Needs no network and no GPU.
"""
