"""Values that SOPS encrypted: reads the public parts of their files, and decrypts them into memory."""
