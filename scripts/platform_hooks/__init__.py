"""What `before:` commands of layers do: seed a local Vault, write the Secret that migrations read.

Each works alone too: `scripts/vault/ensure-local-secrets.py`, `scripts/infra/bootstrap-db-migrations-secret.sh`.
"""
