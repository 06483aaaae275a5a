"""The report of one or more groups of runs: sections, tables and figures, written as one page.

May import everything from core to explain; depends on neither a paper nor Weights & Biases.
"""
