"""Nodes of a loss program as PyTorch expressions, with the helpers that each calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple, assert_never

import sympy

from ibsym.codegen.formulas import ATOM, PRODUCT, SIGN, WORD, Code, called, union
from ibsym.codegen.torch.expressions import Operand, Tensors
from ibsym.codegen.torch.sharing import LOG_SOFTMAX, Call, Ledger
from ibsym.codegen.torch.text import quoted
from ibsym.lowering.coupling import Coupling, are_scores, has_rows, is_batch
from ibsym.lowering.naming import TAKEN, unused
from ibsym.lowering.program import (
    Diagonal,
    Directions,
    Elementwise,
    ExcludeDiagonal,
    Frequency,
    InputKey,
    Insert,
    Inverse,
    Load,
    LogMeanExp,
    LogPairShare,
    LogShare,
    LogSoftmax,
    LossProgram,
    Mean,
    MoveLast,
    Nearest,
    Node,
    OffDiagonalMean,
    OverDraws,
    Pick,
    Points,
    Project,
    QuantileDistance,
    Reduce,
    Ref,
    Setting,
    Size,
    Solve,
    Sort,
    Step,
    StopGradient,
    Stratified,
    Vectors,
    children,
)


class Unpacked(NamedTuple):
    """Names for the values of one call; of a tuple of one, a comma says so."""

    names: tuple[str, ...]
    call: Code
    tuple_of_one: bool = False

    @property
    def target(self) -> str:
        """What stands before the sign of assignment."""
        return f"({self.names[0]},)" if self.tuple_of_one else ", ".join(self.names)


class Torch:
    """Writes nodes, given the names of inputs and steps; ``group`` is what the code calls the group of ranks whose rows are one batch.

    What depends on several rows is computed of the rows of all ranks: of ``gathered`` copies of what is each row's own. The ``ledger``
    counts what is read and knows the calls that have names; rows that are read once stand where they are read, ``in_place``.
    """

    def __init__(self, inputs: Mapping[InputKey, str], steps: Sequence[Step] = (), group: str = "self.group"):
        self.inputs, self.steps, self.group = inputs, steps, group
        self.coupling = Coupling(steps)
        self.gathered: dict[str, str] = {}
        self._wanted: list[tuple[str, Load | Ref]] = []
        self._paired: dict[tuple[Load, str], str] = {}
        self._shared: dict[LogPairShare, str] = {}
        self.ledger = Ledger()
        self.in_place: dict[str, Code] = {}
        self._statements: list[Unpacked] = []

    @property
    def names(self) -> set[str]:
        """The names of inputs and of steps, here and of all ranks."""
        return {*self.inputs.values(), *(s.name for s in self.steps), *self.gathered.values()}

    def text(self, node: Node) -> str:
        """The text of the expression that computes the node."""
        return self.code(node).text

    def gathers(self) -> Iterator[Unpacked]:
        """The statements that gather what has been written since the last call, and was not gathered before."""
        wanted, self._wanted = self._wanted, []
        by_place: dict[int, list[str]] = {}
        for name, node in wanted:
            place = next(k for k, axis in enumerate(node.axes) if is_batch(axis)) - len(node.axes)
            by_place.setdefault(place, []).append(name)
        for place, names in by_place.items():
            call = called("_all_rows", [self.group, str(place), *names])
            yield Unpacked(tuple(self.gathered[n] for n in names), call, tuple_of_one=len(names) == 1)
        yield from self._statements
        self._statements = []

    def code(self, node: Node, whole: bool = False) -> Code:
        """The expression that computes the node; ``whole``, of the rows of all ranks."""
        below = whole or self.coupling.gathers(node)
        match node:
            case Load():
                return self._named(self.inputs[node.key], node, below)
            case Ref():
                step = self.steps[node.index]
                number = self.ledger.apart(lambda: self.code(step.node))[0].number  # what it uses counts where it is computed
                own = whole and not self.coupling.mixes(node)
                return self._named(step.name, node, own)._replace(number=number)
            case Elementwise():
                paired = self._pairs(node) if below else {}
                formula, shares = (node.expression, {}) if below else self._shares(node)
                left = {s.name for s in formula.free_symbols}
                operands = {n: paired.get(n) or self._operand(inner, below) for n, inner in node.operands if n in left}
                return Tensors((operands | shares).__getitem__, self.ledger).code(formula)
            case Reduce():
                return self._method(node.operand, below, node.kind, dims(node.dims))
            case Mean():
                return self._mean(node, below)
            case LogMeanExp():
                return self._helper("_log_mean_exp", below, node.operand)
            case OverDraws(kind="mean"):
                return self._helper("_over_draws", below, node.operand)
            case OverDraws():
                return self._helper("_log_mean_exp_over_draws", below, node.operand)
            case LogSoftmax():
                return self._log_softmax(node.operand, below)
            case Pick():
                return self._helper("_pick", below, node.table, node.index)
            case Nearest():
                return self._helper("_nearest", below, node.code, node.codebook)
            case Vectors():
                index, codebook = self.code(node.index, below), self.code(node.codebook, below)
                return called("F.embedding", [index, codebook])
            case StopGradient():
                return self._method(node.operand, below, "detach")
            case LogShare():
                return self._helper("_log_share", below, node.hidden, node.weight, node.bias, node.index)
            case LogPairShare():
                return self._pair_share(node)
            case Insert():
                return self._method(node.operand, below, "unsqueeze", str(node.dim))
            case Diagonal() if are_scores(node.operand) and not below:
                return called("_matched", [self.code(node.operand), self.group])
            case Diagonal():
                return self._method(node.operand, below, "diagonal", f"dim1={node.dim}, dim2=-1")
            case MoveLast():
                return self._method(node.operand, below, "movedim", f"-1, {node.dim}")
            case Inverse():
                return self._helper("_inverse", below, node.operand)
            case Solve():
                return self._helper("_solve" if node.vector else "_solve_matrix", below, node.matrix, node.operand)
            case ExcludeDiagonal():
                return self._helper("_exclude_diagonal", below, node.operand)
            case OffDiagonalMean():
                return self._helper("_off_diagonal_mean", below, node.operand)
            case Size():
                return self.size(node, below)
            case Points():
                return self._points(node)
            case Frequency():
                index, like, dtype = (self.code(n, below) for n in (node.index, node.like, node.like))
                classes = f"F.one_hot({index.at(ATOM)}.flatten().long(), {like.at(ATOM)}.shape[-1])"
                return Code(f"{classes}.to({dtype.at(ATOM)}.dtype).mean(0)", uses=union((index, like)) | {"F"})
            case Stratified():
                total = str(node.total) if isinstance(node.total, int) else self.code(node.total, below)
                rows, like = self.code(node.rows, below), self.code(node.like, below)
                return called("_stratified_log_weights", [rows, total, like])
            case Setting():
                return Code(f"float(self.{node.name})", number=True)
            case Directions():
                return self._directions(node)
            case Project():
                points, directions = self.code(node.points, below), self.code(node.directions, below)
                return Code(f"{points.at(PRODUCT)} @ {directions.at(SIGN)}", PRODUCT, uses=union((points, directions)))
            case Sort():
                values = self._method(node.operand, below, "sort", "dim=0")
                return values._replace(text=f"{values.text}.values")
            case QuantileDistance():
                return self._helper("_quantile_distance", below, node.first, node.second)
        assert_never(node)

    def _named(self, name: str, node: Load | Ref, whole: bool) -> Code:
        """The name of an input or a step, or of its rows on all ranks."""
        if not whole or not has_rows(node):
            return Code(name, WORD)
        if name not in self.gathered:
            self.gathered[name] = unused(f"{name}_all", {*TAKEN, *self.inputs.values(), *(s.name for s in self.steps)})
            self._wanted.append((name, node))
        every = self.gathered[name]
        if every in self.in_place:
            return self.in_place[every]
        self.ledger.read.append(every)
        return Code(every, WORD)

    def _operand(self, node: Node, whole: bool) -> Operand:
        """What a symbol of a formula stands for."""
        code, reads = self.ledger.apart(lambda: self.code(node, whole))
        exponential = None
        if isinstance(node, LogSoftmax) and reads and isinstance(last := reads[-1], Call):
            exponential = Code(f"{last.argument}.softmax(-1)", uses=code.uses)
        return Operand(code, reads, exponential, length=isinstance(node, Size) and len(node.dims) == 1, axes=node.axes)

    def _log_softmax(self, operand: Node, whole: bool) -> Code:
        """Of a tensor that has a name, a call that may have one, too."""
        code, reads = self.ledger.apart(lambda: self.code(operand, whole))
        if code.binds == WORD:
            return self.ledger.code(Call(LOG_SOFTMAX, "", code.text), reads)
        self.ledger.read += reads
        return Code(f"{code.at(ATOM)}.{LOG_SOFTMAX}(-1)", uses=code.uses)

    def _pairs(self, node: Elementwise) -> dict[str, Operand]:
        """Names for the value of each row i and the parameters of every row j, where the formula is over those."""
        rows: dict[str, Load] = {}
        columns: dict[str, Load] = {}
        places = set()
        for name, inner in node.operands:
            if isinstance(inner, Insert) and isinstance(inner.operand, Load) and has_rows(inner.operand):
                load = inner.operand
                place = next(k for k, axis in enumerate(load.axes) if is_batch(axis)) - len(load.axes)
                places.add(place)
                (rows if inner.dim == place else columns)[name] = load
                if inner.dim not in (place, place - 1):
                    return {}
        if len(rows) != 1 or not columns or len(places) != 1:
            return {}
        taken = {*TAKEN, *self.inputs.values(), *(s.name for s in self.steps)}
        marked = [(name, (load, mark)) for mark, loads in (("i", rows), ("j", columns)) for name, load in loads.items()]
        found = {n: self._paired.get(key) or unused(f"{self.inputs[key[0].key]}_{key[1]}", taken) for n, key in marked}
        if any(key not in self._paired for _, key in marked):
            self._paired |= {key: found[n] for n, key in marked}
            call = called("_pairs", [self.group, str(places.pop()), *(self.inputs[load.key] for _, (load, _) in marked)])
            self._statements.append(Unpacked(tuple(found.values()), call))
        return {n: Operand(Code(name, WORD)) for n, name in found.items()}

    def _shares(self, node: Elementwise) -> tuple[sympy.Expr, dict[str, Operand]]:
        """f_ii - log sum_j e^f_ij of scores as one log-softmax, taken at the pair: the formula, and what its new symbol stands for."""
        formula, scores = share_of_scores(node)
        if scores is None:
            return formula, {}
        share, reads = self.ledger.apart(partial(self._log_softmax, scores, False))
        return formula, {SHARE.name: Operand(called("_matched", [share, self.group]), reads)}

    def _mean_share(self, node: Node) -> Code | None:
        """The mean over rows of such a share and a number, by a cross-entropy of the pairs."""
        if not isinstance(node, Elementwise):
            return None
        formula, operands = node.expression, dict(node.operands)
        inner = [(sympy.Symbol(n, real=True), operand) for n, operand in node.operands if has_rows(operand)]
        if len(inner) == 1 and isinstance(inner[0][1], Elementwise) and formula.coeff(inner[0][0]) == 1:
            share, scores = share_of_scores(inner[0][1])
            formula = formula.xreplace({inner[0][0]: share})
        else:
            formula, scores = share_of_scores(node)
        rest = (formula - SHARE).free_symbols
        if scores is None or any(s == SHARE or has_rows(operands.get(s.name, scores)) for s in rest):
            return None
        code = called("_pair_cross_entropy", [self.code(scores), self.group])
        found = {n: self._operand(operand, False) for n, operand in node.operands if not has_rows(operand)}
        return Tensors((found | {SHARE.name: Operand(code)}).__getitem__, self.ledger).code(formula.xreplace({SHARE: -SHARE}))

    def _pair_share(self, node: LogPairShare) -> Code:
        """Shares of one table of products: of both directions together, where another step takes the other one."""
        mirrored = [other for step in self.steps for other in shares(step.node) if mirrors(node, other)]
        if node in self._shared:
            return Code(self._shared[node], WORD)
        if not mirrored or (parts := divided(node)) is None or (other := divided(mirrored[0])) is None:
            return called("_log_pair_share", [self.code(node.first), self.code(node.second), self.group])
        taken = {*TAKEN, *self.inputs.values(), *(s.name for s in self.steps)}
        for direction, (embedding, _) in ((node, parts), (mirrored[0], other)):
            self._shared[direction] = unused(f"{embedding.key.of}_share", {*taken, *self._shared.values()})
        codes = [self.code(n) for n in (parts[0], node.second, parts[1], other[1])]
        call = called("_log_pair_shares", [*codes, self.group])
        self._statements.append(Unpacked((self._shared[node], self._shared[mirrored[0]]), call))
        return Code(self._shared[node], WORD)

    def _mean(self, node: Mean, whole: bool) -> Code:
        """A mean over the rows of all ranks, which are here or not."""
        if whole or self.coupling.whole(node.operand) or not has_rows(node.operand):
            return self._method(node.operand, whole, "mean")
        return self._mean_share(node.operand) or called("_mean", [self.code(node.operand), self.group])

    def _method(self, operand: Node, whole: bool, name: str, arguments: str = "") -> Code:
        code = self.code(operand, whole)
        return Code(f"{code.at(ATOM)}.{name}({arguments})", uses=code.uses)

    def _helper(self, name: str, whole: bool, *operands: Node) -> Code:
        return called(name, [self.code(n, whole) for n in operands])

    def _directions(self, node: Directions) -> Code:
        code = called("self._unit_directions", [quoted(node.term), self.code(node.like, True), str(node.number)])
        return code._replace(uses=code.uses | {"_unit_directions"})

    def size(self, node: Size, whole: bool = False) -> Code:
        """A length, here or of the rows of all ranks."""
        operand = self.code(node.operand, whole)
        if len(node.dims) == 1:
            return Code(f"{operand.at(ATOM)}.shape[{node.dims[0]}]", number=True, uses=operand.uses)
        places = f"{min(node.dims)}:{max(node.dims) + 1 or ''}"
        return called("math.prod", [Code(f"{operand.at(ATOM)}.shape[{places}]", uses=operand.uses)], number=True)

    def _points(self, node: Points) -> Code:
        if len(node.operands) == 1 and node.operands[0][1] == 1:
            return self._method(node.operands[0][0], True, "flatten", "0, -2")
        apart = all(isinstance(n, Load) and has_rows(n) for n, _ in node.operands)  # gathered where they are put together
        parts = [(self.code(n, not apart), axes) for n, axes in node.operands]
        group = self.group if apart else "None"
        return called("_points", [group, *(code._replace(text=f"({code.text}, {axes})") for code, axes in parts)])


def dims(places: Sequence[int]) -> str:
    """One axis as a number, several as a tuple."""
    return str(places[0]) if len(places) == 1 else str(tuple(places))


def reached(program: LossProgram) -> set[int]:
    """The steps that the program's terms need."""
    pending = [r.index for t in program.terms for r in (t.value, t.surrogate) if r is not None]
    found: set[int] = set()
    while pending:
        index = pending.pop()
        if index not in found:
            found.add(index)
            pending += _references(program.steps[index].node)
    return found


def _references(node: Node) -> list[int]:
    own = [node.index] if isinstance(node, Ref) else []
    return [*own, *(index for child in children(node) for index in _references(child))]


SHARE = sympy.Symbol("share", real=True)


def share_of_scores(node: Elementwise) -> tuple[sympy.Expr, Node | None]:
    """The formula with `SHARE` in place of f_ii - log sum_j e^f_ij, and the scores f, if it has those."""
    nodes, formula = dict(node.operands), node.expression
    own = {n.operand: s for s, n in nodes.items() if isinstance(n, Diagonal) and are_scores(n.operand)}
    for name, n in nodes.items():
        if isinstance(n, Reduce) and (n.kind, n.dims) == ("logsumexp", (-1,)) and n.operand in own:
            first, second = (sympy.Symbol(s, real=True) for s in (own[n.operand], name))
            if formula.coeff(first) == 1 and formula.coeff(second) == -1:
                return formula - first + second + SHARE, n.operand
    return formula, None


def shares(node: Node) -> list[LogPairShare]:
    """The shares of inner products within a node, steps left aside."""
    own = [node] if isinstance(node, LogPairShare) else []
    return [*own, *(found for child in children(node) for found in shares(child))]


def divided(node: LogPairShare) -> tuple[Load, Load] | None:
    """The embedding and the temperature that its first is the quotient of."""
    match node.first:
        case Elementwise(operands=((_, Load() as embedding), (_, Load() as temperature))):
            return embedding, temperature
    return None


def mirrors(node: LogPairShare, other: LogPairShare) -> bool:
    """Whether one compares the second's rows with the first's."""
    parts, turned = divided(node), divided(other)
    return parts is not None and turned is not None and (parts[0], node.second) == (other.second, turned[0])


def loads(node: Node) -> list[Load]:
    """The inputs that a node reads, steps left aside."""
    own = [node] if isinstance(node, Load) else []
    return [*own, *(load for child in children(node) for load in loads(child))]
