"""The gateway: takes in signed exposure summaries and answers signed inquiries about risk."""
