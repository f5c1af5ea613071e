"""The paper's tables in miniature: a grid of runs, their records, and what is made of the records.

`grid` says which runs there are, `methods` what a run does, `runner` runs what is missing, `store`
keeps records and reusable stages.  `tables`, `figures` and `claims` read records and nothing else.
"""
