"""The exported directory: writes it, reads it, and finds what the charts are to controllers."""
