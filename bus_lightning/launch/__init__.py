"""The commands: Hydra's main, jobs, launchers, plugins and the report command.

May import everything; nothing imports launch.
"""
