"""What follows from a fit: how sure its numbers are, how many components there are, what the rows cannot tell."""
