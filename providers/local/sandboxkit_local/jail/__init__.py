"""What keeps a sandbox in: namespaces, ids, mounts, capabilities, system calls, limits."""
