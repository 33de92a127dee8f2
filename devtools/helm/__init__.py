"""Helm 4: builds its command lines, reads its answers and its records. Pure."""
