"""The commands: the frame around Hydra's main, jobs, launchers and plugins.

May import everything; nothing imports launch.
"""
