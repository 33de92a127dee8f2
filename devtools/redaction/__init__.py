"""Decides what is secret and hides it: the only place that does, for everything that is printed or written."""

from devtools.redaction.keys import HIDDEN, is_secret
from devtools.redaction.redactor import Redactor
from devtools.redaction.values import hidden, secret_values

__all__ = ["HIDDEN", "Redactor", "hidden", "is_secret", "secret_values"]
