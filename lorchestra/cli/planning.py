"""What a run would do: the jobs, what a resume keeps of them, and why."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from lorchestra.binding import parameters_of
from lorchestra.cli.options import (
    UNFINISHED,
    refuse_at_work,
    run_id_of_key,
    run_to_resume,
    workers_from_environment,
    working_folder,
)
from lorchestra.cli.printing import say, show, show_json
from lorchestra.config import Config, load_config
from lorchestra.errors import ParameterError
from lorchestra.fanout import folded_jobs, refuse_secret_keys, unfold_pipeline
from lorchestra.loader import find_pipeline, hooks_of, load_pipeline, secrets_of
from lorchestra.masking import Mask
from lorchestra.params import param_values, parsed_params, refuse_values, resumed_params
from lorchestra.plan import Options, left_out
from lorchestra.report.text import printable, short
from lorchestra.secretvalues import read_secrets, secrets_around
from lorchestra.wording import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lorchestra.model import Pipeline
    from lorchestra.resuming import Choices
    from runstore import RunStore, RunView


@dataclass(frozen=True, slots=True)
class Asked:
    """The pipeline that a user named, with what the project's configuration adds to it.

    Attributes:
        root: The project folder.
        pipeline: With the secrets and hooks of the configuration too.
        config: The configuration.
    """

    root: Path
    pipeline: Pipeline
    config: Config

    @classmethod
    def find(cls, name: str) -> Asked:
        """Find it from the folder that the command was started in.

        Raises:
            LorchestraError: There is none, or it or the configuration is mistaken.
        """
        path, root = find_pipeline(name, working_folder())
        pipeline, config = load_pipeline(path, root), load_config(root)
        secrets = (*secrets_of(config), *pipeline.secrets)
        hooks = pipeline.hooks + hooks_of(config)
        return cls(root, replace(pipeline, secrets=secrets, hooks=hooks), config)

    def workers(self, given: int | None) -> int | None:
        """How many jobs at once, by the command line, the environment, or the configuration."""
        return given or workers_from_environment() or self.config.max_workers

    def params(self, given: tuple[str, ...]) -> dict[str, Any]:
        """The parameters that were given, as values.

        Raises:
            ParameterError: The pipeline does not take them; no secret is in what it says.
        """
        known = parameters_of(self.pipeline)
        try:
            values = parsed_params(known, given)
            refuse_values(known, values)
        except ParameterError as error:
            mask = mask_of(self.pipeline)
            raise ParameterError([mask.message(each) for each in error.mistakes]) from None
        return values


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do.

    Attributes:
        pipeline: The pipeline as it is written.
        unfolded: With jobs in place of its loops, as far as they are known before the run.
        options: How it would run, with the parameters of a run that is gone on with.
        unselected: The jobs that would not run since they are not selected, and why.
        choices: What is done with each job in a resume.
        run_id: The run that would be gone on with; None: it would be a new one.
        mask: What takes secrets out of what is shown.
    """

    pipeline: Pipeline
    unfolded: Pipeline
    options: Options
    unselected: Mapping[str, str]
    choices: Choices
    run_id: str | None
    mask: Mask

    def as_object(self) -> dict[str, Any]:
        """The plan for programs."""
        from lorchestra.report.plan import plan_object

        return plan_object(self.pipeline, self.options, self.choices, self.run_id, self.mask)

    def as_text(self) -> str:
        """The plan for people."""
        from lorchestra.report.plan import plan_text

        return plan_text(self.pipeline, self.options, self.choices, self.run_id, self.mask)

    def show(self, *, as_json: bool) -> None:
        """Print it."""
        if as_json:
            show_json(self.as_object())
        else:
            show(self.as_text())


def plan_of(
    pipeline: Pipeline,
    options: Options,
    folder: Path | None,
    resume: str | None,
    run_key: str | None,
    *,
    as_json: bool,
) -> Plan | None:
    """What a run would do; None: nothing, which has been said.

    Args:
        pipeline: What would run.
        options: How.
        folder: The store's; None: no earlier run counts.
        resume: The run to go on with, as a user names it; None: none.
        run_key: Under which key.
        as_json: Whether what is said is for programs.
    """
    from lorchestra.deciding import decide
    from lorchestra.runkeys import is_done
    from runstore import RunStore

    view: RunView | None = None
    if folder is not None and (resume is not None or run_key is not None):
        found = _run_to_go_on_with(pipeline, options, folder, resume, run_key, as_json=as_json)
        if isinstance(found, _Said):
            return None
        view = found
    if view is not None:
        pipeline = with_secrets_around(pipeline, view)
        params = resumed_params(parameters_of(pipeline), view.begin, options.params)
        options = replace(options, params=params)
    secrets = read_secrets(pipeline.secrets, pipeline.root, os.environ)
    env, mask = {**os.environ, **secrets}, Mask(secrets.values())
    params = param_values(parameters_of(pipeline), options.params)
    unfolded = unfold_pipeline(pipeline, params)
    refuse_secret_keys(unfolded.jobs, mask)
    unselected = left_out(unfolded, options)
    if view is not None and run_key is not None and is_done(view, unfolded, unselected):
        say_done(view, as_json=as_json)
        return None
    store = None if folder is None else RunStore(folder)
    decided = decide(unfolded, params, env, mask, unselected, store, view)
    # What becomes of the items of a loop is decided when they are known.
    folded = folded_jobs(unfolded)
    choices = {each: why for each, why in decided.choices.items() if each not in folded}
    run_id = None if view is None else view.id
    return Plan(pipeline, unfolded, options, decided.left_out, choices, run_id, mask)


def with_secrets_around(pipeline: Pipeline, view: RunView) -> Pipeline:
    """The pipeline of a run that is gone on with; one inside another has the secrets of that."""
    around = secrets_around(view.begin, pipeline.secrets, os.environ)
    return replace(pipeline, secrets=(*around, *pipeline.secrets))


def mask_of(pipeline: Pipeline) -> Mask:
    """What takes a pipeline's secrets out of what is shown of it.

    Raises:
        ConfigError: The file of one cannot be read.
    """
    return Mask(read_secrets(pipeline.secrets, pipeline.root, os.environ).values())


class _Said:
    """There is nothing to plan, and that has been said."""


def _run_to_go_on_with(
    pipeline: Pipeline,
    options: Options,
    folder: Path,
    resume: str | None,
    run_key: str | None,
    *,
    as_json: bool,
) -> RunView | _Said | None:
    """The run that would be gone on with; None: there would be a new one."""
    from lorchestra.runkeys import refuse_other_params, refuse_secret
    from runstore import RunStore

    store = RunStore(folder)
    if run_key is None:
        view = run_to_resume(store, pipeline, resume or UNFINISHED)
        if view is None or view.status == "succeeded":
            say_nothing_to_resume(store, pipeline, view, as_json=as_json)
            return _Said()
        return view
    mask = mask_of(pipeline)
    refuse_secret(run_key, mask)
    if resume is not None and run_id_of_key(store, pipeline, resume, run_key) is None:
        say_nothing_to_resume(store, pipeline, None, as_json=as_json)
        return _Said()
    run_id = store.find_run(pipeline.id, run_key)
    if run_id is None:
        return None
    view = store.read(run_id)
    refuse_other_params(view, options.params, mask)
    refuse_at_work(view)
    return view


def say_nothing_to_resume(
    store: RunStore, pipeline: Pipeline, view: RunView | None, *, as_json: bool
) -> None:
    """Say that there is nothing to go on with: no run, or one that succeeded."""
    if view is not None:
        say(f"lorchestra: run {view.id} succeeded: there is nothing to resume")
    else:
        name, where = short(pipeline.id), printable(store.path)
        say(f"lorchestra: no run of {name} in {where} is to be resumed: none, or all succeeded")
    if as_json:
        from lorchestra.report import run_object

        nothing = {"run_id": None, "pipeline_id": pipeline.id, "status": "skipped", "success": True}
        show_json(nothing if view is None else run_object(view))


def say_done(view: RunView, data: BinaryIO | None = None, *, as_json: bool) -> None:
    """Say that all has been done under a run key."""
    key = quoted(view.run_key or "")
    say(f"lorchestra: run {view.id} succeeded under the run key {key}: nothing is run")
    if as_json:
        from lorchestra.report import run_object

        show_json(run_object(view), data)
