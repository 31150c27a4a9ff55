"""`perceptron completion`: what a shell needs to complete commands, options and names."""

import click
from click.shell_completion import get_completion_class

VARIABLE = "_PERCEPTRON_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """
    Print the completion of a shell.

    Names of jobs, models, datasets and gates are completed from the server.

    \b
    bash:  eval "$(perceptron completion bash)"           in ~/.bashrc
    zsh:   eval "$(perceptron completion zsh)"            in ~/.zshrc
    fish:  perceptron completion fish | source            in ~/.config/fish/config.fish
    """  # noqa: D301
    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"there is no completion for {shell}")
    click.echo(kind(context.find_root().command, {}, "perceptron", VARIABLE).source())
