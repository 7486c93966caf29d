"""The node's one SQLite file, hand-written SQL by subject.

Trusted for durability: what a call acknowledged survives a crash (WAL, synchronous=FULL). Whoever
copies the file learns the lender's loan rows, but no identifier, token or published record: those
are sealed by `keys/book.key`, which is a file of its own.
"""
