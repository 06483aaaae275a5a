"""Weights & Biases: what a run logs there, the ready dashboard, and sending offline recordings.

May import training and everything below it. Only launch imports it; the config names its logger and callback.
"""
