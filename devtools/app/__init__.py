"""The process around a command: environment, exit codes, signals, crash reports, disk cache."""
