"""Container images: which are declared, which the charts want, and how their names are read."""
