"""Weights & Biases: what a run logs there, the ready dashboard, and sending offline recordings.

May import training and everything below it; nothing imports it: the config names its logger.
"""
