"""The commands that users type: one module each."""
