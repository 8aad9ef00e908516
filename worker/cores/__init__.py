"""Which CPU cores there are, what the control groups allow of them, and who has leased which."""
