"""A run's folder: its files, its lock, its record, and the one way to open a finished run.

May import core, config, data, models and metrics.
"""
