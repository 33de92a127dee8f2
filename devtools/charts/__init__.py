"""Charts on disk: the lock, verification, and the resolution of a release's chart reference."""
