"""Callbacks of the training: checkpoints, history, pictures, timing, seeds."""
