"""The commands of ``python -m producer``: their options, what they do, what they print. Only ``__main__`` uses them."""
