"""Workers are killed, stopped and cut off while messages flow; a ledger says what became of each message.

``python -m benchmarks.chaos --help``; see ``docs/decisions/0093-chaos-from-a-seed.md``.
"""
