"""The output of a run on a terminal: the live view, plain lines, the last screen."""
