"""What each command does: one call into the pipeline, its result as JSON or for people."""

import argparse
import dataclasses
import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

from app.cli import display, estimate, history
from app.cli.adapters import adapters
from app.cli.curve import measure
from app.cli.lamp import lamp
from app.cli.reviewing import reviewing
from app.cli.serving import serve
from app.errors import BadInput, JobRefused
from app.pipeline import cloud, estimating, network, sharing
from app.pipeline.local_service import TOKEN_VARIABLE, CloudAddress, named_address
from app.pipeline.payload import Payload, build_payload
from app.pipeline.ways_out import WAYS_OUT
from app.pipeline.workspace import Workspace, open_workspace
from app.tasks import TASKS, find_task
from personal_store import ledger
from personal_store.nouns import RESUMABLE, Job, SharedAs

Result = Mapping[str, Any]


def _address(options: argparse.Namespace) -> CloudAddress | None:
    import os

    if options.cloud_url:
        network.is_this_computer(options.cloud_url)
        return CloudAddress(options.cloud_url, options.cloud_token or os.environ.get(TOKEN_VARIABLE, ""))
    return named_address()


def _consent(options: argparse.Namespace) -> SharedAs | None:
    if options.redacted:
        return "redacted"
    return "confirmed" if options.confirm else None


def _share(workspace: Workspace, options: argparse.Namespace) -> Result:
    found: tuple[sharing.Found, ...] = ()
    if options.ratio is not None:
        done = sharing.share_ratio(workspace, options.ratio, options.strategy, options.seed)
    elif options.ids is not None:
        found = sharing.found_in(workspace, options.ids) if options.confirm else ()
        done = sharing.share_ids(workspace, options.ids, consent=_consent(options), shown=found)
    elif options.unshare is not None:
        done = sharing.share_ids(workspace, options.unshare, shared=False)
    else:
        done = sharing.share_none(workspace) if options.none else sharing.shared_now(workspace)
    now = {"shared": list(done.shared), "total": done.total}
    if not found:
        return now
    return {**now, "confirmed": [{"record": item.record_id, "found": list(item.things)} for item in found]}


def _build_payload(workspace: Workspace, options: argparse.Namespace) -> Payload:
    destination = cloud.find_destination(workspace, _address(options))
    return build_payload(
        workspace, destination, k=options.k, seed=options.seed, prompt=options.prompt, task=options.task
    )


def _payload(workspace: Workspace, options: argparse.Namespace) -> Result:
    if options.prices:
        estimating.set_prices(workspace, *options.prices)
    payload = _build_payload(workspace, options)
    found = estimating.estimate(workspace, payload)
    if options.save:
        history.write_private(options.save, payload.body.decode())
    return {
        "destination": payload.destination.url,
        "passes_on_to": payload.destination.passes_on_to,
        "goes_to": str(payload.destination),
        "asked": payload.asked,
        "bytes": len(payload.body),
        "sha256": payload.sha256,
        "approval": payload.approval,
        "body": payload.request,
        "task": payload.task,
        "other_tasks": dict(payload.other_tasks),
        "estimate": {**dataclasses.asdict(found), "words": estimating.in_words(found)},
    }


def _augment(workspace: Workspace, options: argparse.Namespace) -> Result:
    from app.cli.following import follow_to_end
    from app.pipeline import jobs

    address = _address(options)
    if address:
        network.require_allowed(workspace, address.url)
    job = jobs.start_augment(workspace, _build_payload(workspace, options), options.approve, address)
    return follow_to_end(workspace, job, quiet=options.json)


def _ledger(workspace: Workspace, options: argparse.Namespace) -> Result:
    with workspace.store() as store:
        uploads, broken = ledger.uploads(store), ledger.broken_line(store)
    attempts = ledger.attempts(uploads)
    lines = [{**dataclasses.asdict(upload), "attempt": attempts[upload.id]} for upload in uploads]
    if options.export:
        history.write_private(options.export, "".join(json.dumps(line) + "\n" for line in lines))
    return {"uploads": lines, "broken_line": broken}


def _network(workspace: Workspace, options: argparse.Namespace) -> Result:
    ways = [dataclasses.asdict(way) for way in WAYS_OUT]
    return {"offline": network.is_offline(workspace), "ways_out": ways}


def _offline(workspace: Workspace, options: argparse.Namespace) -> Result:
    if options.switch:
        network.set_offline(workspace, options.switch == "on")
    return {"offline": network.is_offline(workspace)}


def _newest_unfinished(workspace: Workspace) -> Job:
    from app.pipeline import jobs

    for job in jobs.listing(workspace, "train"):
        if job.state in RESUMABLE:
            return job
    raise JobRefused("There is no unfinished training to resume; start one with `cdcda train`.")


def _train(workspace: Workspace, options: argparse.Namespace) -> Result:
    from app.cli.following import follow_to_end
    from app.device.presets import find_preset
    from app.pipeline import jobs

    if options.show_rows:
        from app.pipeline.rows import first_rows

        rows = first_rows(workspace, options.show_rows, options.task, options.model, options.preset)
        return {"rows": [dataclasses.asdict(row) for row in rows]}
    if options.resume:
        job = jobs.resume_job(workspace, _newest_unfinished(workspace).id)
        return follow_to_end(workspace, job, quiet=options.json)
    preset = find_preset(options.preset).settings
    settings = jobs.TrainSettings(
        options.task,
        options.epochs,
        options.rank or preset.rank,
        options.alpha or preset.alpha,
        options.seed,
        options.model,
        options.base,
        options.preset,
        options.micro_tokens,
    )
    if options.estimate or options.probe:
        return estimate.estimate(workspace, settings, options.probe)
    estimate.warn(workspace, settings)
    return follow_to_end(workspace, jobs.start_train(workspace, settings), quiet=options.json)


def _jobs(workspace: Workspace, options: argparse.Namespace) -> Result:
    from app.cli.following import follow_to_end
    from app.pipeline import jobs

    if options.stop is not None:
        jobs.stop_job(workspace, options.stop)
    if options.keep is not None:
        jobs.keep_job(workspace, options.keep)
    if options.resume is not None:
        return follow_to_end(
            workspace, jobs.resume_job(workspace, options.resume, _address(options)), quiet=options.json
        )
    return {"jobs": [dataclasses.asdict(job) for job in jobs.listing(workspace)]}


def _text(options: argparse.Namespace) -> str:
    return history.standard_input() if options.text == "-" else str(options.text)


def _sampling(options: argparse.Namespace) -> Any:
    from app.device.engines import Sampling

    if not 0 <= options.temperature <= 2:
        raise BadInput(f"The temperature lies between 0 and 2, got {options.temperature}; choose for example 0.7.")
    if options.max_tokens > 1024:
        raise BadInput(f"An answer has at most 1024 tokens, got {options.max_tokens}; choose fewer with --max-tokens.")
    return Sampling(temperature=options.temperature, max_tokens=options.max_tokens, seed=options.seed)


def _draft(draft: Any) -> Result:
    return {
        "text": draft.text,
        "adapter": draft.adapter_id,
        "adapter_name": draft.adapter_name,
        "task_base": draft.base_name,
        "model": draft.model,
        "records": draft.records,
        "left_out": draft.left_out,
        "tokens": draft.tokens,
        "seconds": round(draft.seconds, 3),
        "generation": draft.generation.id,
    }


def _generate(workspace: Workspace, options: argparse.Namespace) -> Result:
    from app.pipeline.generation import Writer

    writer = Writer(workspace)
    try:
        drafts = writer.stream(
            _text(options), options.task, options.adapter, _sampling(options), retrieved=options.retrieve
        )
        last = display.show_draft(drafts, quiet=options.json)
    finally:
        writer.close()
    return _draft(last)


def _compare(workspace: Workspace, options: argparse.Namespace) -> Result:
    from app.pipeline.comparison import stream_comparison
    from app.pipeline.generation import AdapterChoice, Writer

    if options.adapter == "none":
        raise BadInput("A comparison needs an adapter beside the base; name one with --adapter.")
    adapter: AdapterChoice = "personal" if options.adapter == "active" else options.adapter
    writer = Writer(workspace)
    try:
        drafts = stream_comparison(writer, _text(options), options.task, adapter, _sampling(options), options.retrieve)
        last = display.show_comparison(drafts, quiet=options.json)
    finally:
        writer.close()
    return {"before": _draft(last.before), "after": _draft(last.after), "comparison": last.comparison.id}


def _models(workspace: Workspace, options: argparse.Namespace) -> Result:
    from app.pipeline import models

    if options.action == "pull":
        from app.pipeline.pulling import pull

        model = display.show_pull(lambda listen: pull(workspace, options.name, listen), options.name, options.json)
        return {"name": model.name, "path": str(model.path)}
    if options.action == "use":
        model = models.use_model(workspace, options.name, options.purpose)
        return {"name": model.name, "path": str(model.path), "for": options.purpose}
    rows = models.model_rows(workspace)
    return {"models": [dataclasses.asdict(row) for row in rows]}


def _pull_base(workspace: Workspace, options: argparse.Namespace, address: CloudAddress | None) -> Result:
    from app.pipeline.base_pulling import pull_base

    if address is None:
        raise BadInput("A base is fetched from a service that makes bases; name it with --cloud-url.")
    fetch = functools.partial(pull_base, workspace, address, options.name)
    base = display.show_base_pull(fetch, options.name, options.json)
    return {"name": base.name, "licence": base.manifest.licence, "attribution": base.manifest.attribution}


def _bases(workspace: Workspace, options: argparse.Namespace) -> Result:
    from app.pipeline import bases, cloud

    address = _address(options)
    if options.action == "pull":
        return _pull_base(workspace, options, address)
    if options.action == "remove":
        return {"removed": options.name, "adapters": list(bases.remove(workspace, options.name))}
    if options.action == "use":
        return {"task": find_task(options.task).name, "use": bases.choose(workspace, options.task, options.name)}
    offered = cloud.bases(workspace, address) if address else ()
    choices = {task.name: bases.chosen(workspace, task) for task in TASKS}
    rows = [dataclasses.asdict(row) for row in bases.base_rows(workspace, offered)]
    return {"bases": rows, "choices": choices}


def _doctor(workspace: Workspace, options: argparse.Namespace) -> Result:
    from app.device.machine import examine

    found = examine(workspace.models, workspace.data_dir)
    return {"findings": [dataclasses.asdict(finding) for finding in found]}


COMMANDS: Mapping[str, Callable[[Workspace, argparse.Namespace], Result | None]] = {
    "import": history.bring_in,
    "records": history.show_records,
    "add": history.add,
    "edit": history.edit,
    "delete": history.delete,
    "undo": history.undo,
    "tasks": history.show_tasks,
    "forget": history.forget,
    "export": history.export,
    "restore": history.restore,
    "share": _share,
    "payload": _payload,
    "augment": _augment,
    "ledger": _ledger,
    "network": _network,
    "offline": _offline,
    "review": reviewing,
    "train": _train,
    "adapters": adapters,
    "jobs": _jobs,
    "generate": _generate,
    "compare": _compare,
    "models": _models,
    "bases": _bases,
    "lamp": lamp,
    "curve": measure,
    "doctor": _doctor,
    "serve": serve,
}


def run(options: argparse.Namespace) -> int:
    """Do the command and print what came of it; 0."""
    result = COMMANDS[options.command](open_workspace(options.data_dir), options)
    if result is not None:
        display.show(options, result)
    return 0
