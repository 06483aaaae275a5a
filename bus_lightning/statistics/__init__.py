"""From finished runs to evidence: conditions, intervals, comparisons and checks.

May import core, config, data, metrics and runs; depends on neither the paper nor Weights & Biases.
"""
