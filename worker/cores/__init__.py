"""The CPU cores that a worker may use: topology, control-group limits, and leases between workers."""
