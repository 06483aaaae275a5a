"""What a section measures in a process of its own; each probe prints one line of JSON."""
