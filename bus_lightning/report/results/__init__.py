"""The page of results: tables that are made from the runs, and the same numbers for programs."""
