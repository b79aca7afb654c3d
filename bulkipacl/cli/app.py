"""The verbs, put together."""

from __future__ import annotations

import typer

from bulkipacl import __version__
from bulkipacl.cli import (
    apply,
    check,
    demo,
    export,
    limits,
    plan,
    report,
    resume,
    retry,
    sandbox,
    undo,
    validate,
    verify,
)

app = typer.Typer(
    help="Bulk changes to SIP IP access control lists: rows in, one outcome per row out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"bulkipacl {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: bool = typer.Option(
        False, "--version", "-V", callback=_version, is_eager=True, help="Show the version."
    ),
) -> None:
    pass


app.command("apply")(apply.apply)
app.command("plan")(plan.plan)
app.command("validate")(validate.validate)
app.command("resume")(resume.resume)
app.command("retry")(retry.retry)
app.command("undo")(undo.undo)
app.command("report")(report.report)
app.command("verify")(verify.verify)
app.command("export")(export.export)
app.command("check")(check.check)
app.command("limits")(limits.limits)
app.command("sandbox")(sandbox.sandbox)
app.command("demo")(demo.demo)
