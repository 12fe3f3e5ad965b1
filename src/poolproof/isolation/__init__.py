"""Own what is started: identity, leases, and the end of what the dead left."""
