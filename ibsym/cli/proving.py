"""ibsym prove: linear information inequalities, proved or refuted."""

from __future__ import annotations

import sys

import click

from ibsym.cli.common import NO, Command, reading

FORMATS = ("text", "latex", "html", "json")


@click.command("prove", cls=Command)
@click.argument("claim")
@click.option(
    "--given",
    "premises",
    multiple=True,
    metavar="PREMISE",
    help="A chain, an independence, a function or a relation; repeatable.",
)
@click.option("--continuous", is_flag=True, help="Differential entropies, which may be negative.")
@click.option(
    "--axiom",
    "axioms",
    multiple=True,
    metavar="NAME",
    help="Non-Shannon inequalities to prove with: zhang-yeung, dougherty-freiling-zeger, matus-1, matus-2, ...",
)
@click.option(
    "--copy",
    "copies",
    multiple=True,
    metavar='"R = C | A,B"',
    help="The copy lemma: R has the law of C given A and B, and no more.",
)
@click.option("--unit", type=click.Choice(["nats", "bits"]), default="nats", show_default=True, help="What numbers are in.")
@click.option("--sufficient", is_flag=True, help="Also name the smallest sets of independences under which the claim holds.")
@click.option(
    "--time-limit",
    type=click.FloatRange(min=0.01),
    default=60.0,
    show_default=True,
    help="Seconds; past it the answer is 'undecided: limit'.",
)
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True)
@click.pass_context
def prove_command(
    context: click.Context,
    claim: str,
    premises: tuple[str, ...],
    continuous: bool,
    axioms: tuple[str, ...],
    copies: tuple[str, ...],
    unit: str,
    sufficient: bool,
    time_limit: float,
    form: str,
) -> None:
    r"""Prove or refute a linear information (in)equality.

    A CLAIM relates entropies H(X,Y|Z), informations I(X;Y|Z), I(X;Y;Z), total correlations TC(X;Y;Z), numbers, log 2 and, with
    joints by name, relative entropies, by <=, >= or =; or it is a Markov chain X -> Y -> Z, an independence X _|_ Y | Z or
    independent(X, Y, Z), a function Y = f(X). min, max and abs may occur. The proof is shown in full; what is false is refuted
    by a distribution where one is found; "not provable by Shannon-type inequalities" is neither.

    \b
    Examples:
      ibsym prove "I(X;Z) <= I(X;Y)" --given "X -> Y -> Z"
      ibsym prove "H(X,Y) = H(X) + H(Y|X)"
      ibsym prove "I(X;Y|Z) <= I(X;Y)" --format json
      ibsym prove "KL(q(z)||p(z)) <= KL(q(x,z)||p(x,z))"
      ibsym prove "I(X;Y) <= min(H(X), H(Y))"
      ibsym prove "H(X|Y) >= 1" --unit bits \
        --given "H(X) >= 3" --given "H(Y) <= 2"
      ibsym prove "I(X;Y|Z) <= I(X;Y)" --sufficient
    """
    import ibsym

    answer = ibsym.prove(
        claim,
        premises,
        continuous=continuous,
        axioms=axioms,
        time_limit=time_limit,
        unit=unit,
        copies=copies,
        sufficient=sufficient,
    )
    match form:
        case "text":
            told = answer.to_text(reading(sys.stdout))
        case "latex":
            told = answer.to_latex()
        case "html":
            told = answer.to_html()
        case _:
            told = answer.to_json()
    click.echo(told, nl=False)
    if not answer.proved:
        context.exit(NO)
