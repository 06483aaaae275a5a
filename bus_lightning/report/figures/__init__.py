"""Figures of a report.

Functions that take conditions and a part ("val" or "test") return figures of up to six models each. They skip
conditions of another task and conditions without cases in the part; the list is empty if none is left.
"""
