"""The exported directory: writes it, reads it, and describes the charts for controllers."""
