"""From finished runs to evidence: conditions, intervals, comparisons and checks.

May import core, config, data, metrics and runs; knows neither the paper nor Weights & Biases.
"""
