"""How a bound was obtained: the plan (a linear program), its proof in named steps, and what remains of each term."""
