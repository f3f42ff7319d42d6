"""Provider to provider: what every provider gets from the core."""
