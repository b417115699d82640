"""Joints as they are written: products of factors, factors of other joints, sources, mixtures, each with its family."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

from ibsym.errors import Edit, Remedy, SpecError
from ibsym.spec.families import FAMILIES, USUAL, FamilyUse, read_family
from ibsym.spec.grammar import DensitySyntax, MixtureSyntax, decimal, parse
from ibsym.spec.graphs import Component, Factor, Joint
from ibsym.spec.schema import check_name
from ibsym.spec.spaces import WHOLE, Space
from ibsym.spec.variables import ordered, resolve

EMPIRICAL = FamilyUse(FAMILIES["empirical"])


def _family(entry: object) -> object:
    """The name in an entry of ``families``."""
    return entry.get("family") if isinstance(entry, dict) else entry


class JointReader:
    """Reads the joints of a spec: own factors, factors of other joints, sources, mixtures, families."""

    def __init__(
        self,
        variables: Mapping[str, Space],
        joints: Mapping[str, str],
        families: Mapping[str, Any],
        mentioned: Iterable[DensitySyntax] = (),
    ):
        """``mentioned``: the densities of the objective, which may be of sources that no joint has."""
        self.variables, self.mentioned = variables, tuple(mentioned)
        self.families: dict[str, Any] = {}
        for text, entry in families.items():
            key = str(parse(text, "density", f'families."{text}"'))
            if key in self.families:
                raise SpecError(f"{key} has two families", key=f'families."{text}"', remedy="one family a factor")
            self.families[key] = entry
        self.syntax: dict[str, tuple[DensitySyntax | MixtureSyntax, ...]] = {}
        for name, text in joints.items():
            check_name(name, f"joints.{name}", "joint")
            self.syntax[name] = parse(text, "joint", f"joints.{name}")  # type: ignore[assignment]
        self.joints: dict[str, Joint] = {}
        self.sources: dict[str, Factor] = {}

    @property
    def factors(self) -> dict[str, Factor]:
        """Every factor of every joint, by its text."""
        return {f.text: f for j in self.joints.values() for f in j.factors}

    def resolve(self, name: str, key: str, column: int | None = None) -> str:
        """The variable of a density."""
        return resolve(self.variables, name, key, column, capital=False, space=self._space(name))

    def _space(self, name: str) -> str:
        """The space of a variable that was not declared, by the family of its factor."""
        for text, entry in self.families.items():
            family = _family(entry)
            if text.split("(", 1)[1].split("|")[0].rstrip(")") == name and isinstance(family, str) and family in FAMILIES:
                kind = FAMILIES[family].spaces[0]
                return f"{kind}[{'K' if kind in WHOLE else 'D'}]"
        return "real[D]"

    def ordered(self, names: Iterable[str]) -> tuple[str, ...]:
        """Variables in the order of their declaration."""
        return ordered(self.variables, names)

    def read(self) -> tuple[dict[str, Joint], dict[str, Factor]]:
        """The joints, one for each source among them, and the sources."""
        self.collect_sources()
        for name in self.sources:
            if name in self.syntax:
                raise SpecError(
                    f"{name!r} is a source, and a joint of that name exists already",
                    key=f"joints.{name}",
                    remedy="another name for the joint",
                )
        for name in list(self.syntax):
            for part in self.syntax[name]:
                if isinstance(part, DensitySyntax) and part.head not in self.syntax and part.head not in self.sources:
                    check_name(part.head, f"joints.{name}", "joint")
                    self.syntax[part.head] = (part,)
        for name in self.syntax:
            self.joints[name] = self.joint(name)
        for name, source in self.sources.items():
            self.joints[name] = Joint(name, (source,), self.ordered(source.of), True)
        for joint in self.joints.values():
            for name in (c.joint for f in joint.factors for c in f.components):
                if not self.joints[name].rooted:
                    outside = ",".join(self.ordered(self.joints[name].external))
                    raise SpecError(
                        f"{name} conditions on {outside} and has no law of it, so it cannot be a component of {joint.name}",
                        key=f"joints.{joint.name}",
                        remedy=f"a factor for {outside} in joints.{name}, or another component",
                    )
        for text in self.families:
            written = parse(text, "density")
            assert isinstance(written, DensitySyntax)
            if written.head in self.sources and _family(self.families[text]) != "empirical":
                what = f"{written.head} is a source, known by samples only, and has no family"
                raise SpecError(what, key=f'families."{text}"', remedy=Remedy("leave it out", (Edit(("families", text)),)))
            if text not in self.factors and written.head not in self.sources:  # every factor of a joint has its family by now
                raise SpecError(f"{text} is a factor of no joint", key=f'families."{text}"', remedy=self._placed(text, written))
        return self.joints, self.sources

    def _placed(self, text: str, written: DensitySyntax) -> Remedy:
        """A family's density in the joint of its name, where nothing else draws its variables there; or without the family."""
        without = (Edit(("families", text)),)
        joint = self.joints.get(written.head)
        if joint is None or {*written.of} & {*joint.by_variable}:
            return Remedy("leave it out, or use it in a joint", without)
        way = (Edit(("joints", joint.name), text, more=True),)
        return Remedy(f"{way[0]}, or leave it out", way, without)

    def mentions(self) -> Iterator[tuple[DensitySyntax, str]]:
        """Every density that may name a source, in the order of the file."""
        for name, parts in self.syntax.items():
            for part in parts:
                for density in (part,) if isinstance(part, DensitySyntax) else (d for _, d in part.parts):
                    yield density, f"joints.{name}"
        for text in self.families:
            factor = parse(text, "density")
            if isinstance(factor, DensitySyntax) and self.is_source(factor.head):
                yield factor, f'families."{text}"'
        for density in self.mentioned:
            yield density, "objective"

    def is_source(self, head: str) -> bool:
        """Whether densities of this head are known by samples only: ``data``, and what is declared empirical."""
        if head == "data":
            return True
        return any(_family(e) == "empirical" for k, e in self.families.items() if k.split("(")[0] == head)

    def collect_sources(self) -> None:
        """Every source with all of the variables that it is mentioned with."""
        found: dict[str, list[str]] = {}
        for density, key in self.mentions():
            if self.is_source(density.head):
                check_name(density.head, key, "source")
                own = [_family(e) for k, e in self.families.items() if k.split("(")[0] == density.head]
                if density.given and key != "objective" and {*map(str, own)} > {"empirical"}:
                    raise self._not_sampled(density, key)
                if density.given and key != "objective":
                    raise SpecError(
                        f"{density} is known by samples only",
                        key=key,
                        remedy=self._instead(key, density, f"{density.head}({','.join((*density.of, *density.given))})"),
                    )
                seen = found.setdefault(density.head, [])
                seen += [v for v in (self.resolve(v, key, density.column) for v in density.of) if v not in seen]
        for head, variables in found.items():
            self.sources[head] = Factor(head, tuple(self.ordered(variables)), (), EMPIRICAL)

    def _not_sampled(self, density: DensitySyntax, key: str) -> SpecError:
        """A conditional of a head that one empirical factor makes a source."""
        text = next(k for k, e in self.families.items() if k.split("(")[0] == density.head and _family(e) == "empirical")
        of = [self.resolve(v, key) for v in text.split("(", 1)[1].rstrip(")").split("|")[0].split(",")]
        usual = USUAL[self.variables[of[0]].kind] if len(of) == 1 else "implicit"
        way = (Edit(("families", text), usual),)
        return SpecError(
            f"{text} is empirical, so that {density.head} is a source, and {density} is known by samples only",
            key=key,
            remedy=Remedy.of(way, otherwise="another name for the source"),
            column=density.column or None,
        )

    def source(self, part: DensitySyntax, name: str, key: str) -> Factor:
        """A source; where the joint gives some of its variables in another way, the marginal that is written, sampled with it."""
        whole = self.sources[part.head]
        of = self.ordered({self.resolve(v, key, part.column) for v in part.of})
        others = {v for p in self.syntax[name] if isinstance(p, DensitySyntax) and p != part for v in p.of}
        return Factor(part.head, of, (), EMPIRICAL) if (set(whole.of) - set(of)) & others else whole

    def factor(self, part: DensitySyntax, key: str) -> Factor:
        """A factor of the joint itself, with its family on its variable's space."""
        of = tuple(self.resolve(v, key, part.column) for v in part.of)
        given = tuple(self.resolve(v, key, part.column) for v in part.given)
        text = str(part)
        if len({*of, *given}) < len(of) + len(given):
            raise SpecError(f"a variable occurs twice in {text}", key=key, remedy="each variable once", column=part.column)
        if text not in self.families:
            raise self._without_family(part, text, of, key)
        entry = self.families[text]
        name = entry.get("family") if isinstance(entry, dict) else entry
        if len(of) > 1 and isinstance(name, str) and name in FAMILIES and name != "implicit":
            raise SpecError(
                f"{text} has several variables, and {name} is a density of one",
                key=key,
                remedy='one factor a variable, or "implicit"',
                column=part.column,
            )
        family = next((read_family(text, entry, self.variables[v]) for v in of), None)
        if family is not None and family.headed and "features" not in dict(family.options):
            family = replace(family, options=tuple(sorted((*family.options, ("features", self.features(text))))))
        return Factor(part.head, of, given, family)

    def _without_family(self, part: DensitySyntax, text: str, of: tuple[str, ...], key: str) -> SpecError:
        """A factor without a family: that of a key that looks like it and is no factor's, or the usual one of its space."""
        used = {str(p) for parts in self.syntax.values() for p in parts}
        folded = {re.sub(r"^(\w+?)_\w+\(", r"\1(", k.casefold()): k for k in self.families if k not in used}
        close = folded.get(text.casefold())
        if close is not None:
            way = (Edit(("families", close)), Edit(("families", text), self.families[close]))
            remedy = Remedy(f'{way[1]}, in place of families."{close}"', way)
        else:
            usual = USUAL[self.variables[of[0]].kind] if len(of) == 1 else "implicit"
            remedy = Remedy.of((Edit(("families", text), usual),), otherwise="another")
        return SpecError(f"{text} has no family", key=key, remedy=remedy, column=part.column)

    def features(self, text: str) -> str:
        """The axis of the features of a linear head: N, or, where that says too little, N with a number."""
        taken = {d for space in self.variables.values() for d in space.dims}
        headed = [
            t for t, e in self.families.items() if isinstance(e, dict) and "features" not in e and e.get("head") == "linear"
        ]
        free = (name for k in range(len(headed) + len(taken) + 1) if (name := f"N{k + 1 if k else ''}") not in taken)
        return dict(zip(headed, free, strict=False))[text]

    def _lacked(self, name: str, part: DensitySyntax) -> Remedy:
        """Another joint's factor that it has not: there, unless something else gives its variables, or of this joint's own."""
        own = f"{name}({str(part).split('(', 1)[1]}"
        written = " ".join(map(str, self.syntax[name])).replace(str(part), own)
        here = (Edit(("joints", name), written),)
        if {v for p in self.syntax[part.head] if isinstance(p, DensitySyntax) for v in p.of} & {*part.of}:
            return Remedy(f"write {own}: {here[0]}", here)
        return Remedy(
            f"add it to joints.{part.head}, or write {own}", (Edit(("joints", part.head), str(part), more=True),), here
        )

    def joint(self, name: str) -> Joint:
        """The joint of this name: one factor a variable, along arrows that do not close."""
        key = f"joints.{name}"
        factors: list[Factor] = []
        written = [str(part) for part in self.syntax[name]]
        for part in self.syntax[name]:
            if isinstance(part, MixtureSyntax):
                factors.append(self.mixture(name, part, key))
            elif part.head in self.sources:
                factors.append(self.source(part, name, key))
            else:
                if part.head != name and str(part) not in {str(p) for p in self.syntax[part.head]}:
                    raise SpecError(
                        f"the joint {part.head} lacks the factor {part}",
                        key=key,
                        remedy=self._lacked(name, part),
                        column=part.column,
                    )
                factors.append(self.factor(part, key))
        owner: dict[str, int] = {}
        for k, factor in enumerate(factors):
            for variable in factor.of:
                if variable in owner:
                    raise self._twice(name, variable, written, (owner[variable], k))
                owner[variable] = k
        import networkx as nx

        graph: nx.DiGraph = nx.DiGraph((parent, child) for f in factors for parent in f.given for child in f.of)
        if not nx.is_directed_acyclic_graph(graph):
            cycle = [edge[0] for edge in nx.find_cycle(graph)]
            raise SpecError(
                "the factors form a cycle: " + " -> ".join([*cycle, cycle[0]]),
                key=key,
                remedy="a joint whose arrows do not close",
            )
        rooted = all(v in owner for f in factors for v in f.given)
        names = {v for f in factors for v in (*f.of, *f.given)}
        return Joint(name, tuple(factors), self.ordered(names), rooted)

    def _instead(self, key: str, density: DensitySyntax, text: str) -> Remedy:
        """Another density in the place of one, wherever it is written."""
        table, name = key.split(".", 1)
        if table == "joints":
            joint = " ".join(text if part == density else str(part) for part in self.syntax[name])
            return Remedy(text, (Edit(("joints", name), joint),))
        old = str(density)
        kept = [Edit(("families", text), self.families[old])] if old in self.families else []
        return Remedy(text, (Edit(("families", old)), *kept))

    def _twice(self, name: str, variable: str, written: list[str], pair: tuple[int, int]) -> SpecError:
        """A variable that two factors give, with either left out."""
        first, second = (written[k] for k in pair)
        what = f"{first} is declared twice" if first == second else f"{first} and {second} both give {variable}"
        ways = [(Edit(("joints", name), " ".join(w for n, w in enumerate(written) if n != k)),) for k in reversed(pair)]
        told = f"leave out {second}" + (f" or {first}" if first != second else "")
        return SpecError(what, key=f"joints.{name}", remedy=Remedy(f"one factor a variable: {told}", *ways))

    def inside(self, name: str) -> set[str]:
        """The joints that a joint's mixtures are made of, directly or through others."""
        found: set[str] = set()
        pending = [name]
        while pending:
            parts = self.syntax.get(pending.pop(), ())
            heads = {d.head for part in parts if isinstance(part, MixtureSyntax) for _, d in part.parts}
            pending += heads - found
            found |= heads
        return found

    def mixture(self, name: str, part: MixtureSyntax, key: str) -> Factor:
        """``(w1*a(x) + w2*b(x))`` as a factor: marginals of other joints over the same variables, weights that sum to 1."""
        components: list[Component] = []
        total = sum((w for w, _ in part.parts), Fraction(0))
        if total != 1 or not all(w > 0 for w, _ in part.parts):
            raise SpecError(
                f"the weights of {part} sum to {decimal(total)}",
                key=key,
                remedy='positive weights that sum to 1 exactly, as in "(1/3*data(x) + 2/3*p(x))"',
                column=part.column,
            )
        for weight, density in part.parts:
            of = tuple(self.resolve(v, key, density.column) for v in density.of)
            if density.given or (density.head not in self.syntax and density.head not in self.sources) or density.head == name:
                raise SpecError(
                    f"a component of a mixture is the marginal of another joint, not {density}",
                    key=key,
                    remedy="a marginal such as data(x) or p(x)",
                    column=density.column,
                )
            if name in self.inside(density.head):
                what = f"the mixture of {name} contains itself, through {density}"
                raise SpecError(what, key=key, remedy="components that do not lead back", column=density.column)
            if set(of) != {self.resolve(v, key) for v in part.parts[0][1].of}:
                raise SpecError(
                    f"the components of {part} differ in their variables",
                    key=key,
                    remedy="the same variables in each",
                    column=density.column,
                )
            components.append(Component(weight, density.head, self.ordered(of)))
        return Factor(name, components[0].of, (), None, tuple(components))
