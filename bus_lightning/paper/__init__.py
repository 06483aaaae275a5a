"""Li et al. (2025): its numbers, its contradictions and the leakage study, as sections of a report.

May import report and everything below it. The framework works without this folder.
"""
