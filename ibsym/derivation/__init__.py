"""How a bound was obtained: the plan (a linear program), its telling in named steps, and what remains of each term."""
