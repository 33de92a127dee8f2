"""Charts on disk: the lock, verification, and what a release's chart reference resolves to."""
