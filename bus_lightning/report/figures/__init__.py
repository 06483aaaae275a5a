"""Figures of a report: statistics, pictures, networks."""
