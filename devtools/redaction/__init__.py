"""Finds and hides secrets: the only package that does so, for everything that is printed or written."""

from devtools.redaction.keys import HIDDEN, is_secret
from devtools.redaction.redactor import Redactor
from devtools.redaction.values import hidden, hidden_at, secret_values

__all__ = ["HIDDEN", "Redactor", "hidden", "hidden_at", "is_secret", "secret_values"]
