"""What the gateway keeps: a narrow protocol (`base`), its values (`values`), one implementation
for each database.

Trusted for: order, durability and the one-record-a-lender rule. Not trusted for truth: whoever
writes to the database can drop rows but cannot forge a signed statement, and learns tokens but no
identifier.
"""
