"""LightningModules and their losses.

May import core, data, models and metrics; does not depend on loggers, run folders or reports.
"""
