"""What is trained: LightningModules and their losses.

May import core, data, models and metrics; knows nothing of loggers, files of runs or reports.
"""
