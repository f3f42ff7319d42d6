"""The guest: our program inside a sandbox, its protocol, and the host's side of it."""
