"""What exists, as pages: ```{listing} families``` and the like, in MyST, from the values that the code itself uses."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from types import FunctionType
from typing import TYPE_CHECKING, Any

import click
from docutils import nodes
from sphinx.errors import SphinxError
from sphinx.util.docutils import SphinxDirective

import ibsym
from ibsym.checking.answers import Answer
from ibsym.checking.certificate import Certificate
from ibsym.cli import cli
from ibsym.cli.listing import LISTS
from ibsym.diagnosis.identifying import Identification
from ibsym.diagnosis.report import Report
from ibsym.diagnosis.tables import Comparison
from ibsym.estimators import ESTIMATORS
from ibsym.families.base import CROSS_ENTROPIES, ENTROPIES, RELATIVE_ENTROPIES, Law, entropy, log_density
from ibsym.rules.catalogue import RULES
from ibsym.spec.families import FAMILIES, FamilyUse
from ibsym.spec.schema import json_schema
from ibsym.spec.spaces import Space
from ibsym.spec.writing import written_value

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

    from ibsym.families.facts import FamilyFacts

Json = Mapping[str, Any]
RESULTS = {c.__name__: c for c in (Answer, Certificate, Comparison, Identification, Report)}
"""What public functions return beside what the package itself names."""


def code(text: object) -> str:
    """A piece of a spec or of Python."""
    return f"`{text}`"


KINDS = {
    "number": "a number",
    "numbers": "some numbers",
    "whole": "a whole number",
    "density": 'a declared density, such as `"r(z2|z1)"`',
    "size": "a whole number, or a parameter of the spec",
}
"""What options of estimators are."""


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
        others = re.sub(r'("[^"]*"|\d[\d.]*|\btrue\b|\bfalse\b)', r"`\1`", option.remedy)
        yield f"* option {code(name)}, by default {code(written_value(option.default))}; {'' if ' ' in others else 'such as '}{others}"
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
        what = "one of " + ", ".join(code(written_value(c)) for c in option.choices) if option.choices else KINDS[option.kind]
        unsaid = "may be left out" if option.default is None else f"by default {code(written_value(option.default))}"
        yield f"* option {code(option.name)}: {what}; {unsaid}"
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
    """What ``ibsym list`` prints, as a table with a label of its own."""

    def text() -> str:
        rows = [" | ".join(code(cell.replace("|", r"\|")) for cell in row) for row in LISTS[name][1]()]
        width = rows[0].count(" | ") + 1
        lines = [f"(list-{name})=", "", "| " * width + "|", "|---" * width + "|", *(f"| {row} |" for row in rows)]
        return "\n".join(lines)

    return text


def commands() -> str:
    """A section a command: its help, arguments and options."""
    return "\n".join(entry("command", name, _command(name, command)) for name, command in cli.commands.items())


def _command(name: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=f"ibsym {name}")
    yield "```text\n" + command.get_help(context).strip() + "\n```"


def functions() -> str:
    """A section a public name of the package, and a section a class of what they return."""
    public = {name: getattr(ibsym, name) for name in ibsym.__all__}
    return "\n".join(entry("function", name, _documented(target)) for name, target in {**public, **RESULTS}.items())


def _documented(target: Any) -> Iterator[str]:
    public = getattr(ibsym, target.__name__, None) is target
    where = f"{'ibsym' if public else target.__module__}.{target.__name__}"
    if not inspect.isclass(target):
        yield f"```{{eval-rst}}\n.. autofunction:: {where}\n```"
        return
    chosen = ", ".join(members(target))
    yield "```{eval-rst}\n.. autoclass:: " + where + (f"\n   :members: {chosen}\n" if chosen else "\n") + "```"


def members(target: type) -> list[str]:
    """The public methods and properties that a class of ours has from its own and from ours above it."""
    own = {name: value for c in reversed(target.__mro__) if c.__module__.startswith("ibsym") for name, value in vars(c).items()}
    kinds = property, cached_property, classmethod, FunctionType
    facts = {name for c in target.__mro__ for name in vars(c).get("__annotations__", ())}
    return sorted(n for n, value in own.items() if isinstance(value, kinds) and not n.startswith("_") and n not in facts)


def returned() -> Iterator[str]:
    """The classes of ours that public functions return."""
    for name in ibsym.__all__:
        if inspect.isfunction(target := getattr(ibsym, name)):
            yield from re.findall(r"\b[A-Z]\w+", str(inspect.signature(target).return_annotation).replace("Any", ""))


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
        document = self.state.document
        before = set(document.findall(nodes.section))
        found = self.parse_text_to_nodes(LISTINGS[self.arguments[0]](), allow_section_headings=True)
        first = next((section for section in document.findall(nodes.section) if section not in before), None)
        if first is None:
            return found
        for target in found:  # the first label: sections go to the page at once, and it would stand after the last of them
            first["ids"] += target["ids"]
            first["names"] += target["names"]
            document.ids.update(dict.fromkeys(target["ids"], first))
        return []


def named() -> Iterator[str]:
    """The label that each thing that exists should have."""
    schema = json_schema()
    yield from (f"key-{name}" for name in schema["properties"])
    yield from (f"family-{name}" for name in FAMILIES)
    yield from (f"estimator-{name}" for name in ESTIMATORS)
    yield from (f"rule-{name}" for name in RULES)
    yield from (f"command-{name}" for name in cli.commands)
    yield from (f"function-{name}" for name in (*ibsym.__all__, *returned()))


def spelled() -> Iterator[tuple[str, str]]:
    """What has no label of its own, and the label of the section that should have it: options, spaces, divergences, methods."""
    yield from ((f"family-{facts.name}", option) for facts in FAMILIES.values() for option in facts.options)
    yield from ((f"estimator-{e.name}", option.name) for e in ESTIMATORS.values() for option in e.options)
    for name, command in cli.commands.items():
        yield from ((f"command-{name}", flag) for p in command.params if isinstance(p, click.Option) for flag in p.opts)
    for kind in ("spaces", "divergences"):
        yield from ((f"list-{kind}", row[0]) for row in LISTS[kind][1]())
    for target in (*(getattr(ibsym, name) for name in ibsym.__all__), *RESULTS.values()):
        if isinstance(target, type):
            yield from ((f"function-{target.__name__}", name) for name in members(target))


def section(env: BuildEnvironment, label: str) -> str:
    """The text of the part of a page that a label stands before."""
    page, anchor = env.get_domain("std").anonlabels[label.lower()]
    tree = env.get_doctree(page)
    return "".join(node.astext() for node in tree.findall(nodes.Element) if anchor in node["ids"])


def complete(app: Sphinx, env: BuildEnvironment) -> None:
    """Everything that exists, with its options and methods, has its place in the site, and every system its page."""
    labels = env.get_domain("std").anonlabels  # Sphinx has them in lower case
    missing = [label for label in named() if label.lower() not in labels]
    missing += [f"zoo/{name}" for name in ibsym.zoo() if f"zoo/{name}" not in env.found_docs]
    if not missing:
        wanted = list(spelled())
        text = {label: section(env, label) for label in {label for label, _ in wanted}}
        missing += [f"{word} in {label}" for label, word in wanted if word not in text[label]]
    if missing:
        raise SphinxError(f"without a page: {', '.join(missing)}")
