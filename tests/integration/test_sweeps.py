"""Sweeps in the store, on both databases: shards are counted once, whatever happens to them."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean

import pytest

from perceptron import search
from schemas.errors import LeaseLost, NotFound
from schemas.job import JobError, JobRequest, JobStatus, SweepRequest
from schemas.network import NetworkConfig
from schemas.settings import Settings
from schemas.sweep import Search, Shard, ShardGroup, Space, SweepMember, TrainedMember
from schemas.training import TrainingConfig
from storage import Storage, open_storage
from storage.database import Database
from storage.leases import Claim
from storage.migrations import migrate, upgrade
from tests.deployment import eventually

RATES = (0.1, 1.0, 10.0)
GRID = Search(score="accuracy", space=Space(learning_rate=RATES, seed=tuple(range(20))))
SWEEP = SweepRequest(kind="sweep", dataset="xor", search=GRID)


def planned(stored: Storage, request: SweepRequest = SWEEP) -> tuple[str, list[Shard]]:
    """Submit a sweep, claim it and plan its first rung, for two workers."""
    stored.jobs.submit(request)
    claim = claimed(stored)
    shards = _shards(request)
    stored.sweeps.plan(claim, shards)
    return claim.job_id, shards


def _shards(request: SweepRequest) -> list[Shard]:
    """Divide the members among shards of sixteen, each with all folds."""
    members = search.members(request.search, request.network, request.training)
    folds = range(request.search.folds) if request.search.folds else (None,)
    return [
        Shard(
            rung=0,
            groups=tuple(
                ShardGroup(way="lanes", fold=fold, members=tuple(members[start : start + 16]))
                for fold in folds
            ),
        )
        for start in range(0, len(members), 16)
    ]


def claimed(stored: Storage, worker: str = "tester") -> Claim:
    """Claim what has waited longest."""
    claim = stored.leases.claim("train", worker)
    assert claim is not None
    return claim


def trained(claim: Claim) -> list[TrainedMember]:
    """Make results for a shard: the score is 1 / (1 + number), less in later folds."""
    shard = Shard.model_validate_json(claim.request)
    return [
        TrainedMember(
            member=member,
            fold=group.fold or 0,
            score=_score(member, group.fold or 0),
            train_loss=float(member.number),
            train_accuracy=1.0 if member.learning_rate == 1 else 0.5,
        )
        for group in shard.groups
        for member in group.members
    ]


def _score(member: SweepMember, fold: int) -> float:
    return 1 / (1 + member.number) - fold / 1000


def finish(stored: Storage, claim: Claim, results: Sequence[TrainedMember] | None = None) -> bool:
    """Store a shard's results."""
    return stored.sweeps.finish_shard(claim, 0, trained(claim) if results is None else results)


def finish_all(stored: Storage) -> None:
    """Claim and finish every shard."""
    while not finish(stored, claimed(stored)):
        pass


def test_a_sweep_waits_and_goes_on(stored: Storage) -> None:
    """It runs without a worker until the last shard is done, and is then due at once, once."""
    job_id, shards = planned(stored)
    job = stored.jobs.get(job_id)
    assert job.status is JobStatus.RUNNING
    assert stored.leases.release_lost("tester") == []
    assert stored.leases.waiting("train") == len(shards) > 1
    claims = [claimed(stored) for _ in shards]
    assert {claim.parent for claim in claims} == {job_id}
    assert [finish(stored, claim) for claim in claims] == [False] * (len(claims) - 1) + [True]
    assert stored.jobs.get(job_id).status is JobStatus.QUEUED
    again = claimed(stored)
    assert (again.job_id, again.kind, again.attempt) == (job_id, "sweep", 2)
    assert stored.sweeps.rung(again) == 1
    assert stored.results.counts(job_id).done == GRID.members == 60
    types = [event.type for event in stored.jobs.events(job_id, 0, 100)[0]]
    middle = ["progress"] * len(shards)
    assert types == ["queued", "started", "planned", *middle, "requeued", "started"]


def test_the_last_two_shards_at_once(stored: Storage) -> None:
    """Shards that end at the same moment are all counted, and exactly one of them is the last."""
    job_id, shards = planned(stored)
    claims = [claimed(stored, f"worker-{number}") for number in range(len(shards))]
    with ThreadPoolExecutor(len(claims)) as pool:
        last = list(pool.map(lambda claim: finish(stored, claim), claims))
    assert sum(last) == 1
    assert stored.results.counts(job_id).done == 60
    assert stored.jobs.get(job_id).status is JobStatus.QUEUED


def test_a_lost_shard_is_done_once(stored: Storage) -> None:
    """A shard whose worker was lost is claimed again; the lost attempt can store nothing."""
    job_id, _ = planned(stored)
    lost = claimed(stored, "dead")
    (found,) = stored.leases.release_lost("dead")
    assert (found.job_id, found.kind, found.parent) == (lost.job_id, "shard", job_id)
    again = claimed(stored)
    assert (again.job_id, again.attempt) == (lost.job_id, 2)
    with pytest.raises(LeaseLost):
        finish(stored, lost)
    assert stored.results.counts(job_id).done == 0
    finish(stored, again)
    with pytest.raises(LeaseLost):
        finish(stored, again)
    finish_all(stored)
    rows = stored.results.order(job_id, "accuracy", "number")
    assert [row.number for row in rows] == list(range(60))


def test_an_expired_shard_is_done_once(stored: Storage) -> None:
    """A shard whose lease ran out belongs to the next attempt, its sweep to nobody."""
    job_id, _ = planned(stored)
    first = claimed(stored)
    (found,) = eventually(stored.leases.expire_leases)
    assert found.job_id == first.job_id
    assert claimed(stored).job_id == first.job_id
    with pytest.raises(LeaseLost):
        finish(stored, first)
    assert stored.jobs.get(job_id).status is JobStatus.RUNNING


def test_a_failed_shard_fails_the_sweep(stored: Storage) -> None:
    """Its code becomes the sweep's, and no shard of it is left to run."""
    job_id, _ = planned(stored)
    other, failing = claimed(stored, "other"), claimed(stored)
    stored.leases.fail(failing, JobError(code="invalid_data", message="it is gone"))
    job = stored.jobs.get(job_id)
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert (job.error.code, job.error.message) == ("invalid_data", "it is gone")
    assert stored.leases.waiting("train") == 0
    with pytest.raises(LeaseLost):
        finish(stored, other)
    assert stored.jobs.events(job_id, 0, 100)[0][-1].type == "failed"


def test_a_shard_that_loses_every_worker_fails_the_sweep(stored: Storage) -> None:
    """After as many lost attempts as are allowed, the sweep fails with `worker_lost`."""
    job_id, _ = planned(stored)
    for _ in range(2):
        claimed(stored, "dying")
        stored.leases.release_lost("dying")
    job = stored.jobs.get(job_id)
    assert job.error is not None
    assert job.error.code == "worker_lost"
    assert stored.leases.waiting("train") == 0


def test_cancel_ends_every_shard(stored: Storage) -> None:
    """A sweep that waits is cancelled at once; running shards find themselves gone."""
    job_id, _ = planned(stored)
    running = claimed(stored)
    assert stored.jobs.cancel(job_id).status is JobStatus.CANCELLED
    assert stored.leases.waiting("train") == 0
    with pytest.raises(LeaseLost):
        stored.leases.renew(running)
    with pytest.raises(LeaseLost):
        finish(stored, running)
    assert stored.results.counts(job_id).done == 0


def test_cancel_while_it_is_planned(stored: Storage) -> None:
    """A sweep that is cancelled while a worker plans it gets no shards."""
    stored.jobs.submit(SWEEP)
    claim = claimed(stored)
    assert stored.jobs.cancel(claim.job_id).status is JobStatus.RUNNING
    stored.sweeps.plan(claim, _shards(SWEEP))
    assert stored.jobs.get(claim.job_id).status is JobStatus.CANCELLED
    assert stored.leases.waiting("train") == 0


def test_delete_forgets_shards_and_results(stored: Storage) -> None:
    """Nothing of a deleted sweep is left to run or to read."""
    job_id, _ = planned(stored)
    finish(stored, claimed(stored))
    running = claimed(stored)
    stored.jobs.delete(job_id)
    with pytest.raises(LeaseLost):
        stored.leases.renew(running)
    assert stored.leases.waiting("train") == 0
    assert stored.results.counts(job_id).done == 0


def test_clients_see_no_shards(stored: Storage) -> None:
    """Shards are in no list, and their ids name nothing."""
    job_id, _ = planned(stored)
    shard = claimed(stored)
    assert [job.id for job in stored.jobs.page(None, 100)[0]] == [job_id]
    for read in (
        lambda: stored.jobs.get(shard.job_id),
        lambda: stored.jobs.cancel(shard.job_id),
        lambda: stored.jobs.delete(shard.job_id),
        lambda: stored.jobs.events(shard.job_id, 0, 10),
    ):
        with pytest.raises(NotFound):
            read()


def test_a_second_plan_is_fenced(stored: Storage) -> None:
    """An attempt that has planned holds the sweep no more, and can plan nothing else."""
    stored.jobs.submit(SWEEP)
    claim = claimed(stored)
    stored.sweeps.plan(claim, _shards(SWEEP))
    with pytest.raises(LeaseLost):
        stored.sweeps.plan(claim, _shards(SWEEP))
    assert stored.leases.waiting("train") == len(_shards(SWEEP))


def test_a_finished_sweep_keeps_results_alone(stored: Storage) -> None:
    """A sweep without a refit succeeds with no model; its shards are forgotten."""
    job_id, _ = planned(stored)
    finish_all(stored)
    stored.sweeps.finish(claimed(stored))
    job = stored.jobs.get(job_id)
    assert (job.status, job.model_version) == (JobStatus.SUCCEEDED, None)
    assert stored.results.counts(job_id).done == 60
    assert stored.leases.claim("train", "idle") is None


def test_results_by_fold(stored: Storage) -> None:
    """A row's score is the mean over its folds; the rows are in order, ties by their loss."""
    request = SWEEP.model_copy(
        update={"search": GRID.model_copy(update={"folds": 2})},
    )
    job_id, _ = planned(stored, request)
    finish_all(stored)
    order = stored.results.order(job_id, "accuracy")
    assert [row.number for row in order] == list(range(60))
    first = stored.results.read(job_id, order[:1], folds=2)[0]
    assert first.fold_scores == (1.0, 0.999)
    assert first.score == pytest.approx(fmean((1.0, 0.999)))
    assert first.score_deviation == pytest.approx(0.0005)
    worst = stored.results.order(job_id, "loss", limit=1)
    assert [row.number for row in worst] == [59]
    by_rate = stored.results.order(job_id, "accuracy", "-learning_rate", offset=20, limit=1)
    assert [row.number for row in by_rate] == [20]


def test_marginals(stored: Storage) -> None:
    """Members are summed up by each value: how many, how many of them converged, how well."""
    job_id, _ = planned(stored)
    finish_all(stored)
    found = stored.results.marginals(job_id, GRID, "accuracy")
    assert list(found) == ["learning_rate"]
    rates = found["learning_rate"]
    assert [(row.value, row.members, row.converged) for row in rates] == [
        (0.1, 20, 0.0),
        (1.0, 20, 1.0),
        (10.0, 20, 0.0),
    ]
    for rung, row in enumerate(rates):
        scores = [1 / (1 + number) for number in range(20 * rung, 20 * rung + 20)]
        assert row.mean_score == pytest.approx(fmean(scores))
        assert row.best_score == max(scores)


def test_diverged_members_are_last(stored: Storage) -> None:
    """A member that diverged has no score, is never the best, and counts as not converged."""
    request = SWEEP.model_copy(
        update={"search": Search(score="accuracy", space=Space(learning_rate=RATES))}
    )
    job_id, shards = planned(stored, request)
    assert len(shards) == 1
    claim = claimed(stored)
    good, lost, equal = trained(claim)
    results = [
        good.model_copy(update={"train_loss": 7.0}),
        TrainedMember(member=lost.member, fold=0, diverged_at=3),
        equal.model_copy(update={"score": good.score}),
    ]
    finish(stored, claim, results)
    best = stored.results.best(job_id, "accuracy", rung=0, count=3, folds=None)
    assert [row.number for row in best] == [2, 0]
    last = stored.results.read(job_id, stored.results.order(job_id, "accuracy")[2:], folds=None)[0]
    assert (last.number, last.status, last.score, last.converged) == (1, "diverged", None, False)
    assert stored.results.counts(job_id).diverged == 1


def test_stopped_members_say_when(stored: Storage) -> None:
    """The epochs of a member that early stopping ended are means over the folds, and sort it."""
    request = SWEEP.model_copy(
        update={"search": Search(score="accuracy", space=Space(learning_rate=RATES), folds=2)}
    )
    job_id, _ = planned(stored, request)
    claim = claimed(stored)
    results = [
        found.model_copy(
            update={
                "trained_epochs": 90 - 10 * found.member.number + found.fold,
                "best_epoch": 40 + found.fold,
            }
        )
        for found in trained(claim)
    ]
    finish(stored, claim, results)
    order = stored.results.order(job_id, "accuracy", "trained_epochs")
    rows = stored.results.read(job_id, order, folds=2)
    assert [(row.number, row.trained_epochs, row.best_epoch) for row in rows] == [
        (2, 70.5, 40.5),
        (1, 80.5, 40.5),
        (0, 90.5, 40.5),
    ]


def test_trainings_and_sweeps_queue_together(stored: Storage) -> None:
    """A training that waits longer goes before the shards of a sweep that came before it."""
    stored.jobs.submit(SWEEP)
    training = stored.jobs.submit(JobRequest(dataset="xor"))
    sweep = claimed(stored)
    stored.sweeps.plan(sweep, _shards(SWEEP))
    assert claimed(stored).job_id == training.id
    assert claimed(stored).kind == "shard"


def test_an_older_database_keeps_its_jobs(tmp_path: Path) -> None:
    """Bringing a database of the version before sweeps up to date loses no job and no event."""
    url = f"sqlite:///{tmp_path / 'perceptron.db'}"
    database = Database(url, pooled=False)
    upgrade(database, "0002")
    training = TrainingConfig().model_dump_json()
    network = NetworkConfig().model_dump_json()
    with database.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO jobs (id, request, request_sha256, kind, queue, dataset, network, "
            "training, model, status, epochs, event_count, created_at) VALUES ('job_old', '{}', "
            "'', 'train', 'train', 'xor', ?, ?, 'old', 'queued', 1, 1, 0)",
            (network, training),
        )
        connection.exec_driver_sql("INSERT INTO events VALUES ('job_old', 1, 'queued', 0, '{}')")
    migrate(url)
    opened = open_storage(Settings.model_validate({"database_url": url, "data_dir": tmp_path}))
    assert opened.jobs.get("job_old").search is None
    assert [event.type for event in opened.jobs.events("job_old", 0, 10)[0]] == ["queued"]
    job_id, _ = planned_after(opened)
    opened.jobs.delete(job_id)
    assert opened.leases.waiting("train") == 0
    opened.database.close()


def planned_after(stored: Storage) -> tuple[str, list[Shard]]:
    """Plan a sweep once the job that waits longer is claimed."""
    assert claimed(stored).job_id == "job_old"
    return planned(stored)
