"""ibsym prove: linear information inequalities, proved or refuted."""

from __future__ import annotations

import click

from ibsym.cli.common import NO, Command


@click.command("prove", cls=Command)
@click.argument("claim")
@click.option(
    "--given", "premises", multiple=True, metavar="PREMISE", help="A Markov chain, or a linear relation; may be repeated."
)
@click.option("--continuous", is_flag=True, help="Differential entropies, which may be negative.")
@click.option(
    "--axiom", "axioms", multiple=True, type=click.Choice(["zhang-yeung"]), help="A non-Shannon inequality to prove with."
)
@click.option(
    "--time-limit",
    type=click.FloatRange(min=0.01),
    default=60.0,
    show_default=True,
    help="Seconds; past it the answer is 'undecided: limit'.",
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def prove_command(
    context: click.Context,
    claim: str,
    premises: tuple[str, ...],
    continuous: bool,
    axioms: tuple[str, ...],
    time_limit: float,
    form: str,
) -> None:
    r"""Prove or refute a linear information (in)equality.

    A CLAIM relates entropies H(X,Y|Z), informations I(X;Y|Z), I(X;Y;Z), total correlations TC(X;Y;Z) and, with joints by
    name, relative entropies, by <=, >= or =. The proof is shown in full; what is false is refuted by a distribution where
    one is found; "not provable by Shannon-type inequalities" is neither.

    \b
    Examples:
      ibsym prove "I(X;Z) <= I(X;Y)" --given "X -> Y -> Z"
      ibsym prove "H(X,Y) = H(X) + H(Y|X)"
      ibsym prove "I(X;Y|Z) <= I(X;Y)" --format json
      ibsym prove "KL(q(z)||p(z)) <= KL(q(x,z)||p(x,z))"
    """
    import ibsym
    from ibsym.rendering.proofs import answer_json, answer_text

    answer = ibsym.prove(claim, premises, continuous=continuous, axioms=axioms, time_limit=time_limit)
    click.echo(answer_json(answer) if form == "json" else answer_text(answer), nl=False)
    if not answer.proved:
        context.exit(NO)
