"""Chaos: kill a grid at random moments until it is complete, and compare it with an undisturbed one."""
