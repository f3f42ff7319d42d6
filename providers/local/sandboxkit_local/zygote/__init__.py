"""The clean processes that sandboxes are forked from."""
