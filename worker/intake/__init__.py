"""Between transport and pool: what is fetched, in which order, and what becomes of messages no task should see."""
