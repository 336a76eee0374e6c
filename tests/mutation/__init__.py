"""Mutants: small mistakes planted one at a time in a copy of the tree, to see which of them the tests notice.

mutmut 3 mutates inside functions only, in all files at once, picks tests by function and draws no seeded sample.
cosmic-ray changes the working tree in place and runs one fixed test command in a new process for every mutant, which
takes hours here. Neither chooses tests by line within a budget of seconds, so this is a small tool of our own.

    scripts/mutants --seed 1 --count 200

One file is one concept: `targets` (what is mutated), `source` and `places` (where), the operators (`comparisons`,
`numbers`, `conditions`, `calls`, `statements`, `swaps`), `points` and `sample` (which), `equivalent` (set aside),
`instrument`, `hits`, `closure` and `covering` (which tests reach a statement), `choice` (which of them are run),
`copies`, `worker`, `child`, `plugin` and `pool` (how), `verdict` and `report` (what came of it).
"""
