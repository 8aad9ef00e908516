"""Between transport and pool: what a worker fetches, in which order, and which messages it refuses or moves."""
