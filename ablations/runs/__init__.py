"""What is to be run, and what a run leaves behind."""
