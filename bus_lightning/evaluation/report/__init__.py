"""The evidence of a group of runs as one report: what it consists of, and how it becomes files."""
