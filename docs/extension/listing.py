"""What exists, as pages: ```{listing} families``` and the like, in MyST, from the values that the code itself uses."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click
from sphinx.errors import SphinxError
from sphinx.util.docutils import SphinxDirective

import ibsym
from ibsym.cli import cli
from ibsym.cli.listing import LISTS
from ibsym.estimators import ESTIMATORS
from ibsym.families.base import CROSS_ENTROPIES, ENTROPIES, RELATIVE_ENTROPIES, Law, entropy, log_density
from ibsym.rules.catalogue import RULES
from ibsym.spec.families import FAMILIES, FamilyUse
from ibsym.spec.schema import json_schema
from ibsym.spec.spaces import Space

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

    from ibsym.families.facts import FamilyFacts

Json = Mapping[str, Any]


def code(text: object) -> str:
    """A piece of a spec or of Python."""
    return f"`{text}`"


def entry(kind: str, name: str, lines: Iterator[str]) -> str:
    """A section with a name that links can use and that :func:`complete` looks for."""
    return f"({kind}-{name})=\n## {code(name)}\n\n" + "\n".join(f"{line}\n" for line in lines)


def families() -> str:
    """A section a family."""
    return "\n".join(entry("family", facts.name, _family(facts)) for facts in FAMILIES.values())


def _family(facts: FamilyFacts) -> Iterator[str]:
    law = Law(FamilyUse(facts), Space.parse(f"{facts.spaces[0]}[K]"))
    yield f"On {', '.join(map(code, facts.spaces))}."
    if facts.evaluated:
        yield f"Density: {code('log r(v) = ' + log_density(law).text)}"
        if facts.name in ENTROPIES:
            yield f"Entropy: {code(entropy(law).text)}"
    else:
        yield "Samples and no density: a term that needs its density is refused, or estimated by a critic."
    pairs = [second for first, second in {**RELATIVE_ENTROPIES, **CROSS_ENTROPIES} if first == facts.name]
    if pairs:
        yield "Relative entropy in closed form to " + ", ".join(f"[{code(p)}](#family-{p})" for p in dict.fromkeys(pairs)) + "."
    for role in facts.roles:
        yield f"* {code(role.name)}: {role.constraint.name.lower()}, an input of the loss"
    for head, roles in facts.heads.items():
        chosen = code(f'head = "{head}"')
        yield f"* with {chosen}, in their place {', '.join(code(r.name) for r in roles)}"
    for name, option in facts.options.items():
        yield f"* option {code(name)}, by default {code(repr(option.default))}: write {option.remedy}"
    if facts.sampled:
        how = "with gradients through its draws" if facts.reparameterised else "without gradients through its draws"
        yield f"Sampled {how}."


def estimators() -> str:
    """A section an estimator."""
    return "\n".join(entry("estimator", e.name, _estimator(e)) for e in ESTIMATORS.values())


def _estimator(estimator: Any) -> Iterator[str]:
    yield f"$${estimator.statement}$$"
    yield f"{estimator.known[0].upper()}{estimator.known[1:]}."
    line = f'"{estimator.example}" = "{estimator.name}"'
    yield f"Stands for terms such as {code(estimator.example)}: {code(line)}"
    if estimator.critic is not None:
        loss = "the logistic loss of telling P from Q" if estimator.critic.loss == "logistic" else "minus its value"
        value = f" Its value is {code(estimator.critic.text)}." if estimator.critic.text else ""
        yield f"By a critic, which minimises {loss}.{value}"
    for option in estimator.options:
        choices = ": one of " + ", ".join(map(code, option.choices)) if option.choices else f", a {option.kind}"
        yield f"* option {code(option.name)}{choices}, by default {code(option.default)}"
    if estimator.sources:
        yield "Sources: " + "; ".join(estimator.sources) + "."


def rules() -> str:
    """A section a rule."""
    return "\n".join(entry("rule", rule.name, _rule(rule)) for rule in RULES.values())


def _rule(rule: Any) -> Iterator[str]:
    yield f"$${rule.statement}$$"
    yield f"In a derivation: {code(rule.example)}"
    if rule.condition:
        yield f"Holds if {rule.condition}."
    yield "Sources: " + "; ".join(rule.sources) + "."


def table(name: str) -> Callable[[], str]:
    """What ``ibsym list`` prints, as a table."""

    def text() -> str:
        rows = [" | ".join(code(cell.replace("|", r"\|")) for cell in row) for row in LISTS[name][1]()]
        width = rows[0].count(" | ") + 1
        return "\n".join(["| " * width + "|", "|---" * width + "|", *(f"| {row} |" for row in rows)])

    return text


def commands() -> str:
    """A section a command: its help, arguments and options."""
    return "\n".join(entry("command", name, _command(name, command)) for name, command in cli.commands.items())


def _command(name: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=f"ibsym {name}")
    yield "```text\n" + command.get_help(context).strip() + "\n```"


def functions() -> str:
    """A section a public name of the package."""
    return "\n".join(entry("function", name, _function(name)) for name in ibsym.__all__)


def _function(name: str) -> Iterator[str]:
    target = getattr(ibsym, name)
    directive = "autoclass" if inspect.isclass(target) else "autofunction"
    yield f"```{{eval-rst}}\n.. {directive}:: ibsym.{name}\n```"


def escape(app: Sphinx, what: str, name: str, target: object, options: object, lines: list[str]) -> None:
    """Docstrings have mathematics as plain text: a bar there is a bar, and no substitution."""
    lines[:] = [line if line.lstrip().startswith((">>>", "...")) else line.replace("|", r"\|") for line in lines]


def keys() -> str:
    """The keys of a spec, from its JSON Schema: a section a key, and the keys of its tables below."""
    schema = json_schema()
    return "\n".join(entry("key", name, _key(name, schema, schema["properties"][name])) for name in schema["properties"])


def _key(name: str, schema: Json, key: Json) -> Iterator[str]:
    yield ("Needed. " if name in schema["required"] else "") + _described(key)
    items = key.get("additionalProperties", {})
    for part in (key, items, *items.get("anyOf", ()), *key.get("anyOf", ())):
        if "$ref" not in part:
            continue
        target = schema["$defs"][part["$ref"].rpartition("/")[2]]
        yield target.get("description", "")
        for inner, fact in target["properties"].items():
            needed = "needed" if inner in target.get("required", ()) else "may be left out"
            yield f"(key-{name}.{inner})=\n### {code(name + ('.NAME.' if items else '.') + inner)}\n"
            yield f"{needed[0].upper()}{needed[1:]}. {_described(fact)}"


def _described(key: Json) -> str:
    text = key.get("description", "")
    kinds = [key, *key.get("anyOf", ())]
    choices = next((k["enum"] for k in kinds if "enum" in k), [])
    examples = [e for k in (*kinds, key.get("additionalProperties", {}), key.get("items", {})) for e in k.get("examples", ())]
    if choices:
        text += " One of " + ", ".join(map(code, choices)) + "."
    if examples:
        text += " Such as " + ", ".join(map(code, examples)) + "."
    return text.strip()


LISTINGS: Mapping[str, Callable[[], str]] = {
    "keys": keys,
    "families": families,
    "spaces": table("spaces"),
    "estimators": estimators,
    "divergences": table("divergences"),
    "rules": rules,
    "commands": commands,
    "functions": functions,
}


class Listing(SphinxDirective):
    """```{listing} families```: everything of a kind."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The sections, parsed where the directive stands."""
        return self.parse_text_to_nodes(LISTINGS[self.arguments[0]](), allow_section_headings=True)


def named() -> Iterator[str]:
    """The label that each thing that exists should have."""
    schema = json_schema()
    yield from (f"key-{name}" for name in schema["properties"])
    yield from (f"family-{name}" for name in FAMILIES)
    yield from (f"estimator-{name}" for name in ESTIMATORS)
    yield from (f"command-{name}" for name in cli.commands)
    yield from (f"function-{name}" for name in ibsym.__all__)


def complete(app: Sphinx, env: BuildEnvironment) -> None:
    """Every key, family, estimator, command and public function has its place in the site, and every system its page."""
    labels = env.get_domain("std").anonlabels  # Sphinx has them in lower case
    missing = [label for label in named() if label.lower() not in labels]
    missing += [f"zoo/{name}" for name in ibsym.zoo() if f"zoo/{name}" not in env.found_docs]
    if missing:
        raise SphinxError(f"without a page: {', '.join(missing)}")
