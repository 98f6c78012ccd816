"""What may vary, and the M-step: each choice is a class in a table."""
