"""What every other folder stands on: errors, files, random numbers, processes and interruptions.

Imports nothing else of the package.
"""
