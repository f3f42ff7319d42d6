"""Other libraries for sandboxes, each driven in a process of its own by what is installed there."""
