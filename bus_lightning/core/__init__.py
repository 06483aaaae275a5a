"""The base of every other folder: errors, files, random numbers, processes, signals, workarounds for libraries.

Imports nothing else of the package.
"""
