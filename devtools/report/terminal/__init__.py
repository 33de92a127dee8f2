"""What a run prints for people: the live view, plain lines, the last screen."""
