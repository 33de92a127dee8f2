"""The official SDK's way into a cluster: for plugins that give credentials, and for port-forwards."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import get_ident
from typing import Any

from devtools.errors import DevtoolsError, EnvironmentFault

# The SDK calls a user by all that the kubeconfig says of one, secrets and all.
_ENTRY = re.compile(r"\{.*\}", re.DOTALL)


def sdk_client(kubeconfig: Path, context: str) -> Any:
    """A client of the official SDK for a context; raises EnvironmentFault where it cannot use it."""
    from kubernetes import config

    with refused(context):
        return config.new_client_from_config(str(kubeconfig), context)  # type: ignore[no-untyped-call]


@contextmanager
def refused(context: str) -> Iterator[None]:
    """What the SDK raises about a context's credentials as EnvironmentFault, and what it only logs.

    It logs why a plugin gave none to stderr, unasked, and goes on without credentials.
    """
    capture = _LogCapture(logging.ERROR)
    logging.getLogger().addHandler(capture)
    try:
        yield
    except DevtoolsError:
        raise
    except Exception as error:  # it reads the kubeconfig by itself, with what a YAML parser and a plugin may raise
        raise _fault(context, str(error)) from error
    finally:
        logging.getLogger().removeHandler(capture)
    if capture.messages:
        raise _fault(context, capture.messages[0])


class _LogCapture(logging.Handler):
    """Collects what is logged on the thread that made it."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.messages: list[str] = []
        self._thread = get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.messages.append(record.getMessage())


def _fault(context: str, text: str) -> EnvironmentFault:
    return EnvironmentFault(
        f"cannot use context {context}: {_ENTRY.sub('{…}', ' '.join(text.split()))}",
        hint=f"does it work with kubectl? Try: kubectl --context {context} get nodes",
    )
