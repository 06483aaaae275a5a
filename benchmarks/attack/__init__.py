"""The attack: hostile and damaged files of every kind, put before the real commands."""
