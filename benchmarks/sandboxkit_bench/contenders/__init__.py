"""Those who do the work: sandboxkit as its users have it, and what it is measured beside."""
