"""`invoke drift`."""

from __future__ import annotations

from collections.abc import Sequence

from invoke.context import Context

from devtools.tasks.declaration import SELECTORS, changed, layer_task, options_of, selector_of, with_help


@layer_task(
    reads=True,
    iterable=SELECTORS,
    help=with_help(
        *("env", "force-local", "no-wait", "verbose", *SELECTORS, "with-needs"),
        name="only this layer (default: all)",
        fix="restore drifted objects, overwriting other field managers",
        output="text or json",
    ),
)
def drift(  # noqa: PLR0913, PLR0917 - one parameter per flag
    _: Context,
    name: str = "",
    env: str = "",
    fix: bool = False,
    force_local: bool = False,
    no_wait: bool = False,
    verbose: bool = False,
    stage: Sequence[str] | None = None,
    release: Sequence[str] | None = None,
    label: Sequence[str] | None = None,
    with_needs: bool = False,
    output: str = "text",
) -> None:
    """Compare live objects with what was deployed, field by field; exit code 1 if anything differs.

    Examples:
      invoke drift
      invoke drift 40 --output json
      invoke drift --release web --fix
    """
    from devtools.app.exit_codes import main
    from devtools.commands import drift as verb

    chosen = selector_of(stage, release, label, with_needs=with_needs)
    options = changed(options_of(output, wait=not no_wait, verbose=verbose), selector=chosen, force_local=force_local)
    main(lambda app: verb.drift(app, name, options, fix=fix), output, environment=env)
