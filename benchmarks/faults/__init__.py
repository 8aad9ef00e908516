"""What becomes of requests while Redis misbehaves: real servers, a real worker, and a client that keeps sending."""
