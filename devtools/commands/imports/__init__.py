"""The commands that import the declarations of other tools."""
