"""Values that SOPS encrypted: reads what is public in their files, and decrypts them into memory."""
