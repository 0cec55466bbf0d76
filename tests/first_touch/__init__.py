"""What a newcomer meets: the README's commands, wherever and however they are begun."""
