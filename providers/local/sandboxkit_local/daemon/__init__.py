"""The per-user process that makes, lists and ends sandboxes. Off the data path."""
