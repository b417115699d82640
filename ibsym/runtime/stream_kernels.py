"""Rows of a block of products in one visit each, on a GPU: their log-sum-exp, and the gradient over the products themselves.

Plain functions, so that nothing is imported before a tensor is on a GPU; :mod:`streams` compiles them with Triton at first use. One
program is a row, or some columns; none adds to what another has, so that results do not depend on the order in which they run.
"""

from __future__ import annotations

from typing import Any

tl: Any = None  # Triton's language, set by who compiles these


def _row_shares(
    table,
    bias,
    own,
    scale,
    weights,
    value,
    picks,
    slopes,
    columns,
    HAS_BIAS: tl.constexpr,
    SCALED: tl.constexpr,
    WEIGHTED: tl.constexpr,
    PICKS: tl.constexpr,
    WANTED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # log softmax(s T + b) at one column of each row; its gradient in s T + b, times the row's weight, where ``WANTED``.
    #
    # What is summed leaves out the row's own column, which would swallow the others where it is sure.
    row = tl.program_id(0).to(tl.int64)
    table += row * columns
    mine = tl.load(own + row)
    picked = tl.load(table + mine)
    if PICKS:
        tl.store(picks + row, picked)
    factor = picked * 0 + 1
    if SCALED:
        factor = tl.load(scale)
    picked = picked * factor
    if HAS_BIAS:
        picked += tl.load(bias + mine).to(picked.dtype)
    top = picked
    others = picked * 0
    for start in range(0, columns, BLOCK):
        column = start + tl.arange(0, BLOCK)
        v = tl.load(table + column, column < columns, float("-inf"))
        if SCALED:
            v = tl.where(column < columns, v * factor, float("-inf"))
        if HAS_BIAS:
            v += tl.load(bias + column, column < columns, 0.0).to(v.dtype)
        v = tl.where(column == mine, float("-inf"), v)
        new = tl.maximum(top, tl.max(v, 0))
        shift = tl.where(new == float("-inf"), 0.0, new)
        others = others * tl.exp(top - shift) + tl.sum(tl.exp(v - shift), 0)
        top = new
    shift = tl.where(top == float("-inf"), 0.0, top)
    less = picked - shift
    one = 1 + others
    beside = tl.where(one == 1, others, tl.log(one) * (others / tl.where(one == 1, 1.0, one - 1)))  # log(1 + others)
    tl.store(value + row, tl.where(less == 0, -beside, less - tl.log(others + tl.exp(less))))
    if WANTED:
        slopes += row * columns
        each = 1 / (others + tl.exp(less))
        if WEIGHTED:
            each *= tl.load(weights + row)
        for start in range(0, columns, BLOCK):
            column = start + tl.arange(0, BLOCK)
            v = tl.load(table + column, column < columns, float("-inf"))
            if SCALED:
                v = tl.where(column < columns, v * factor, float("-inf"))
            if HAS_BIAS:
                v += tl.load(bias + column, column < columns, 0.0).to(v.dtype)
            g = tl.where(column == mine, others, -tl.exp(v - shift)) * each
            tl.store(slopes + column, g.to(slopes.dtype.element_ty), column < columns)


def _column_sums(table, scale, top, others, first, rows, columns, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    # The largest of s T and the sum of e^{s T - largest} of each column, over rows ``first`` and on: those before are in what is given.
    #
    # A column's own row has no part in the sum.
    column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = column < columns
    factor = tl.load(scale)
    most = tl.load(top + column, inside, 0.0)
    total = tl.load(others + column, inside, 0.0)
    for start in range(0, rows, ROWS):
        row = start + tl.arange(0, ROWS)
        kept = (row[:, None] < rows) & inside[None, :] & (row[:, None] + first != column[None, :])
        v = tl.load(table + row[:, None].to(tl.int64) * columns + column[None, :], kept, 0.0)
        v = tl.where(kept, v * factor, float("-inf"))
        new = tl.maximum(most, tl.max(v, 0))
        shift = tl.where(new == float("-inf"), 0.0, new)
        total = total * tl.exp(most - shift) + tl.sum(tl.exp(v - shift[None, :]), 0)
        most = new
    tl.store(top + column, most, inside)
    tl.store(others + column, total, inside)


def _pair_slopes(
    table,
    scales,
    by_row,
    by_column,
    row_weights,
    column_weights,
    diagonal,
    first,
    means,
    slopes,
    columns,
    BLOCK: tl.constexpr,
):
    # -(w_i s e^{s T_ij - r_i} + u_j t e^{t T_ij - c_j}), on the diagonal what is given; its two parts' sums over j, each times T_ij.
    #
    # s and t are the two ``scales``; r_i and c_j log-sum-exps of rows and columns. The sums leave out the diagonal.
    row = tl.program_id(0).to(tl.int64)
    table += row * columns
    slopes += row * columns
    s = tl.load(scales)
    t = tl.load(scales + 1)
    lse = tl.load(by_row + row)
    weight = tl.load(row_weights + row)
    own = tl.load(diagonal + row)
    ahead = s * 0
    back = s * 0
    for start in range(0, columns, BLOCK):
        column = start + tl.arange(0, BLOCK)
        inside = column < columns
        v = tl.load(table + column, inside, 0.0)
        p = weight * tl.exp(s * v - lse)
        q = tl.load(column_weights + column, inside, 0.0) * tl.exp(t * v - tl.load(by_column + column, inside, 0.0))
        other = inside & (column != row + first)
        ahead += tl.sum(tl.where(other, p * v, 0.0), 0)
        back += tl.sum(tl.where(other, q * v, 0.0), 0)
        g = tl.where(other, -(s * p + t * q), own)
        tl.store(slopes + column, g.to(slopes.dtype.element_ty), inside)
    tl.store(means + 2 * row, ahead)
    tl.store(means + 2 * row + 1, back)
