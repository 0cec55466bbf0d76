"""What is to be segmented: synthetic images and their masks."""
