"""What a section measures in a separate process; each probe prints one line of JSON."""
