"""The metrics of a worker, and the counts of requests and batches behind them."""
