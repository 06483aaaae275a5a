"""Weights & Biases: what a run sends there, the dashboard, and sending what waits on the disk.

May import training and everything below it; nothing imports it: the config names its logger.
"""
