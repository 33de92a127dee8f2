"""Container images: the declared ones, those that charts use, and their sources."""
