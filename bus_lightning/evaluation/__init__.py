"""From cases to numbers: metrics and tables that need no network and no GPU."""
