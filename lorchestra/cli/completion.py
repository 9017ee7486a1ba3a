"""`lorchestra completion`: what makes a shell complete this program's words."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from lorchestra.cli import powershell
from lorchestra.cli.printing import show

VARIABLE = "_LORCHESTRA_COMPLETE"
_SHELLS = ("bash", "zsh", "fish", powershell.PowerShellComplete.name)


@click.command("completion", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("shell", type=click.Choice(_SHELLS), metavar="SHELL")
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print what makes SHELL complete commands, options, and names of pipelines, jobs and runs.

    SHELL is bash, zsh, fish or powershell.

    \b
    Once, for all shells to come:
        echo 'eval "$(lorchestra completion bash)"' >> ~/.bashrc
        echo 'eval "$(lorchestra completion zsh)"' >> ~/.zshrc
        lorchestra completion fish > ~/.config/fish/completions/lorchestra.fish
        lorchestra completion powershell >> $PROFILE

    bash has to be 4.4 or newer: that of macOS is not.
    """
    root = context.find_root()
    if (of_shell := get_completion_class(shell)) is not None:
        show(of_shell(root.command, {}, root.info_name or "lorchestra", VARIABLE).source().rstrip())
