"""How a worker starts: what its parent checks and leases before it forks, and how each pool process comes up."""
