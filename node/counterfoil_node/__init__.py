"""The node: one daemon beside a lender's loan system.

Raw identifiers come in here and never leave. What leaves: blinded identifiers (to be turned into
tokens), signed and salted exposure summaries, and signed inquiries.
"""

__version__ = "0.1.0"
