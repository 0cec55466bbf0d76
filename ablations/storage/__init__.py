"""What is kept: plans, records and the history of every attempt."""
