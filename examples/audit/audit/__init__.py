"""Audit the Python environment: ingest rows about it, canonize them into tables, report.

| module | holds |
| --- | --- |
| `distributions`, `files`, `stdlib`, `build` | the four ingest jobs: what is so, as rows |
| `canonize`, `tables` | the rows become tables, the same ones however often it is done |
| `report`, `sections`, `markdown` | the tables become a page for people |
| `installed`, `licences` | what a distribution says about itself |
| `rows`, `places`, `job` | rows on disk, where everything lies, which job of which run this is |
"""
