"""`octo`: the command line. No logic here: each command reads its options and calls the package.

Exit codes: 0 all well · 1 a stage failed · 2 bad input (the message says what would be right) · 130 interrupted.
"""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from rich.markup import escape

from octothinker.cli import bench, corpus, experiments, grade, measure, models, serve, single
from octothinker.stage import EXIT_BAD_INPUT, EXIT_INTERRUPTED
from octothinker.typed import ConfigError

HELP = """
Which mid-training makes a base model fit for reinforcement learning?

\b
  octo run nano               the whole experiment, on two CPU cores
  octo plan octothinker-3b    the paper's recipe: what it would do and cost
  octo run my.py:experiment   your own recipe
  octo status runs/nano       how far it is
  octo COMMAND --help         more examples
"""

app = typer.Typer(
    help=HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich"
)
EXPERIMENT, ALONE, MODEL = "One experiment", "One stage alone, on any Hugging Face model", "A model"
app.command(rich_help_panel=EXPERIMENT)(experiments.run)
app.command(rich_help_panel=EXPERIMENT)(experiments.plan)
app.command(rich_help_panel=EXPERIMENT)(experiments.status)
app.command(rich_help_panel=EXPERIMENT)(experiments.report)
app.command(rich_help_panel=EXPERIMENT)(experiments.track)
app.command(rich_help_panel=EXPERIMENT)(experiments.recipes)
app.add_typer(corpus.app, name="corpus", rich_help_panel=EXPERIMENT)
app.command(rich_help_panel=ALONE)(single.midtrain)
app.command(rich_help_panel=ALONE)(single.rl)
app.command("eval", rich_help_panel=ALONE)(measure.evaluate)
app.command("eval-diff", rich_help_panel=MODEL)(measure.eval_diff)
app.command(rich_help_panel=MODEL)(measure.contamination)
app.command(rich_help_panel=MODEL)(grade.grade)
app.command(rich_help_panel=MODEL)(grade.regrade)
app.command("import", rich_help_panel=MODEL)(models.import_model)
app.command(rich_help_panel=MODEL)(models.chat)
app.command(rich_help_panel=MODEL)(serve.serve)
app.command(rich_help_panel=MODEL)(bench.bench)


def main() -> None:
    try:
        app()
    except ConfigError as error:
        Console(stderr=True, highlight=False).print(f"[red]error:[/red] {escape(str(error))}", soft_wrap=True)
        sys.exit(EXIT_BAD_INPUT)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
