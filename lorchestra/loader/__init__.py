"""From YAML files to pipelines: finding them, reading them, and telling all mistakes at once.

The way of a file: its bytes become text (`yamltext`), the text events of the YAML parser
(`yamlfile`), the events nodes that know where they stand (`yamlbuild`, `nodes`), and the nodes
actions, jobs, stages and a pipeline (`actions`, `jobs`, `stages`, `pipelines`), each value checked
(`values`, `fields`). `files` and `finding` know which files there are, `loading` joins it all.
"""

from lorchestra.loader.finding import find_pipeline, find_pipelines
from lorchestra.loader.hooks import hooks_of
from lorchestra.loader.loading import load_job_files, load_pipeline
from lorchestra.loader.secrets import secrets_of

__all__ = [
    "find_pipeline",
    "find_pipelines",
    "hooks_of",
    "load_job_files",
    "load_pipeline",
    "secrets_of",
]
