"""Shows an explanation of why."""

import click

from broker.cli.output import show_json
from broker.cli.safe_text import line
from broker.models.why import Explanation


def show_explanation(explanation: Explanation, *, as_json: bool) -> None:
    """Print the verdict, and the other reasons below it; or all of it as JSON."""
    if as_json:
        show_json(explanation)
        return
    click.echo(line(explanation.verdict))
    for reason in explanation.reasons[1:]:
        click.echo(f"- {line(reason.text)}")
    for reason in explanation.reasons:
        if reason.ids:
            label = {"waits_for_jobs": "after", "waits_for_key": "jobs"}.get(reason.code, "running")
            click.echo(f"  {label}: {line(', '.join(reason.ids))}")
