"""Container images: the declared ones, those that charts need, and where they come from."""
