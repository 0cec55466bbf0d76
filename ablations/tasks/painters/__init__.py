"""What the tasks show, one file a task: random integers in, images and targets out."""
