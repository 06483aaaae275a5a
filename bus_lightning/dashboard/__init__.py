"""Weights & Biases: the run of a job, what goes there, the ready dashboard, and sending what waits."""
