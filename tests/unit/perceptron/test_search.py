"""A search's members, how they are divided, and that a shard trains and judges each as alone."""

import itertools
import math
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_diabetes, load_iris
from sklearn.metrics import accuracy_score, log_loss, r2_score
from sklearn.preprocessing import StandardScaler

from perceptron import engines, inference, search
from perceptron.folds import CrossValidation
from perceptron.frames import Column, Frame
from perceptron.layers import Layers
from perceptron.preparation import Outline, Prepared, Source, prepare
from perceptron.shards import train
from schemas.errors import InvalidField
from schemas.job import JobRequest, SweepRequest
from schemas.network import NetworkConfig
from schemas.sweep import (
    RateRange,
    Search,
    SeedRange,
    ShardGroup,
    Space,
    SweepMember,
    SweepResult,
    TrainedMember,
)
from schemas.training import EarlyStopping, TrainingConfig

NETWORK = NetworkConfig(hidden_layers=(3,), activation="tanh")
TRAINING = TrainingConfig(epochs=40, optimizer="adam", learning_rate=0.02, batch_size=16)


def source(load: Any) -> Source:
    """Take one of scikit-learn's tables, numbers throughout."""
    found = load()
    columns = [
        Column(f"x{place}", "numeric", np.ascontiguousarray(values, np.float64))
        for place, values in enumerate(found.data.T)
    ]
    target = Column("y", "numeric", found.target.astype(np.float64))
    return Source(Frame((*columns, target)), "table", "y", is_standardised=True)


IRIS = source(load_iris)
DIABETES = source(load_diabetes)


def request(training: TrainingConfig = TRAINING, **fields: Any) -> JobRequest:
    """Ask for a training of one of the tables."""
    return JobRequest(dataset="table", network=NETWORK, training=training, **fields)


# Members


def test_a_grid_is_every_combination() -> None:
    """The members are the product of all lists, the last one fastest, numbered from 0."""
    space = Space(
        hidden_layers=((), (4, 2)), weight_decay=(0.0, 0.1), learning_rate=(1.0, 2.0, 3.0),
        seed=SeedRange(first=7, count=2),
    )  # fmt: skip
    found = search.members(Search(space=space), NETWORK, TRAINING)
    expected = itertools.product(((), (4, 2)), (0.0, 0.1), (1.0, 2.0, 3.0), (7, 8))
    assert [(m.hidden_layers, m.weight_decay, m.learning_rate, m.seed) for m in found] == list(
        expected
    )
    assert [member.number for member in found] == list(range(24))
    assert {(m.activation, m.optimizer, m.batch_size, m.epochs) for m in found} == {
        ("tanh", "adam", 16, 40)
    }


def test_an_empty_space_is_one_member() -> None:
    """Where nothing is searched, the one member is what `network` and `training` say."""
    (member,) = search.members(Search(), NETWORK, TRAINING)
    assert search.network_of(member) == NETWORK
    assert search.training_of(member, TRAINING) == TRAINING


def test_draws_from_lists_repeat_nothing() -> None:
    """A random search of lists draws different points, the same again for its seed."""
    space = Space(learning_rate=(1.0, 2.0, 3.0), seed=SeedRange(count=1000))
    asked = Search(method="random", samples=100, space=space, seed=4)
    found = search.members(asked, NETWORK, TRAINING)
    assert len({(member.learning_rate, member.seed) for member in found}) == 100
    assert found == search.members(asked, NETWORK, TRAINING)
    other = asked.model_copy(update={"seed": 5})
    assert found != search.members(other, NETWORK, TRAINING)


def test_no_more_draws_than_points() -> None:
    """As many samples as there are points, or more, are the whole grid."""
    asked = Search(method="random", samples=50, space=Space(learning_rate=(1.0, 2.0), seed=(1, 2)))
    assert len(search.members(asked, NETWORK, TRAINING)) == asked.members == 4


def test_ranges_are_log_uniform() -> None:
    """Logarithms of the rates are uniform: their mean and deviation are those of the formula."""
    space = Space(learning_rate=RateRange(low=1e-4, high=1.0))
    asked = Search(method="random", samples=20_000, space=space)
    logs = np.log10([m.learning_rate for m in search.members(asked, NETWORK, TRAINING)])
    assert logs.min() >= -4
    assert logs.max() <= 0
    assert logs.mean() == pytest.approx(-2, abs=0.03)
    assert logs.std() == pytest.approx(4 / math.sqrt(12), abs=0.02)


@given(
    samples=st.integers(1, 3_000),
    epochs=st.integers(1, 20_000),
    factor=st.integers(2, 10),
    least=st.one_of(st.none(), st.integers(1, 200)),
)
def test_rungs_of_halving(samples: int, epochs: int, factor: int, least: int | None) -> None:
    """Members shrink and epochs grow by the factor, from the least epochs up to all of them."""
    space = Space(learning_rate=RateRange(low=1e-4, high=1.0))
    asked = Search(
        method="halving", samples=samples, space=space, factor=factor, minimum_epochs=least
    )
    rungs = asked.rungs(epochs)
    assert rungs[0].members == samples
    assert rungs[-1].epochs == epochs
    minimum = least or max(1, epochs // 100)
    assert len(rungs) == 1 or (rungs[0].epochs or 0) >= minimum
    for before, after in itertools.pairwise(rungs):
        assert after.members == math.ceil(before.members / factor) >= 1
        assert before.epochs == (after.epochs or 0) // factor
    one_more = factor ** len(rungs)
    assert one_more > samples or epochs // one_more < minimum


# Shards


@settings(deadline=None, max_examples=40)
@given(
    shapes=st.sets(st.tuples(st.integers(1, 40)), min_size=1, max_size=4),
    batches=st.sets(st.one_of(st.none(), st.integers(1, 64)), min_size=1, max_size=3),
    seeds=st.integers(1, 70),
    folds=st.one_of(st.none(), st.integers(2, 6)),
    workers=st.integers(1, 9),
    rows=st.integers(4, 5_000),
    epochs=st.integers(1, 20_000),
)
def test_shards_hold_each_training_once(
    *,
    shapes: set[tuple[int]],
    batches: set[int | None],
    seeds: int,
    folds: int | None,
    workers: int,
    rows: int,
    epochs: int,
) -> None:
    """Every member is in the shards once for each fold; groups are of one shape."""
    training = TRAINING.model_copy(update={"epochs": epochs})
    space = Space(
        hidden_layers=tuple(shapes), batch_size=tuple(batches), seed=SeedRange(count=seeds)
    )
    members = search.members(Search(space=space), NETWORK, training)
    outline = Outline("binary", "y", ("a", "b"), 2, 1, rows)
    shards = search.shards(
        members, request(training), outline, rung=2, folds=folds, workers=workers
    )
    groups = [group for shard in shards for group in shard.groups]
    found = Counter((group.fold, m.number) for group in groups for m in group.members)
    parts = range(folds) if folds else (None,)
    assert found == Counter(itertools.product(parts, range(len(members))))
    assert {shard.rung for shard in shards} == {2}
    for group in groups:
        assert len({(m.hidden_layers, m.batch_size, m.epochs) for m in group.members}) == 1


def test_every_worker_gets_shards() -> None:
    """Work of a second is divided among eight workers, some for each; very little is not."""
    outline = Outline("binary", "y", ("a", "b"), 2, 1, 4)
    xor = TrainingConfig(epochs=10_001)
    many = search.members(Search(space=Space(seed=SeedRange(count=10_000))), NETWORK, xor)
    assert len(search.shards(many, request(xor), outline, rung=0, folds=None, workers=8)) >= 16
    few = many[:16]
    assert len(search.shards(few, request(xor), outline, rung=0, folds=None, workers=8)) == 1


def test_wide_networks_train_alone() -> None:
    """Networks that fill a core's vectors by themselves take no lanes; narrow ones do."""
    outline = Outline("binary", "y", ("a",), 30, 1, 500)
    for width, way in ((2, "lanes"), (64, "alone")):
        space = Space(hidden_layers=((width,),), batch_size=(None,), seed=SeedRange(count=16))
        members = search.members(Search(space=space), NETWORK, TRAINING)
        shards = search.shards(members, request(), outline, rung=0, folds=None, workers=1)
        assert {group.way for shard in shards for group in shard.groups} == {way}


@pytest.mark.parametrize(("engine", "way"), [("auto", "lanes"), ("torch", "stack")])
def test_networks_that_stop_early_train_together(engine: Any, way: str) -> None:
    """Early stopping keeps narrow networks in lanes, and PyTorch's in stacks."""
    outline = Outline("binary", "y", ("a",), 30, 1, 500)
    training = TRAINING.model_copy(
        update={
            "engine": engine,
            "batch_size": None,
            "validation_fraction": 0.2,
            "early_stopping": EarlyStopping(patience=20),
        }
    )
    members = search.members(Search(space=Space(seed=SeedRange(count=16))), NETWORK, training)
    shards = search.shards(members, request(training), outline, rung=0, folds=None, workers=1)
    assert {group.way for shard in shards for group in shard.groups} == {way}


# Training


def trained(
    prepared: Prepared, way: Any, members: list[SweepMember], score: Any, training: TrainingConfig
) -> list[TrainedMember]:
    """Train a group to its end."""
    group = ShardGroup(way=way, fold=None, members=tuple(members))
    return [ended for ended in train(group, training, prepared, score) if ended is not None]


def alone(prepared: Prepared, member: SweepMember, training: TrainingConfig) -> engines.Training:
    """Train one member as a job would."""
    config = search.training_of(member, training)
    running = engines.start(NETWORK, config, prepared.train, prepared.valid)
    for _ in running.run():
        pass
    return running


def probabilities(layers: Layers, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Give every class's probability; they add up to 1 in float64 too."""
    outputs = inference.forward(layers, features).astype(np.float64)
    return np.asarray(outputs / outputs.sum(1, keepdims=True))


@pytest.mark.parametrize("way", ["lanes", "stack", "alone"])
def test_scores_are_those_of_the_trained_networks(way: str) -> None:
    """Each member's score and losses are scikit-learn's, of a network trained by itself."""
    training = TRAINING.model_copy(update={"validation_fraction": 0.3})
    prepared = prepare(request(training), IRIS)
    space = Space(learning_rate=(0.001, 0.05), seed=SeedRange(count=3))
    members = search.members(Search(space=space), NETWORK, training)
    found = trained(prepared, way, members, "accuracy", training)
    assert [result.member for result in found] == members
    assert prepared.valid is not None
    for result in found:
        layers = alone(prepared, result.member, training).layers()
        outputs = probabilities(layers, prepared.valid.features)
        targets = prepared.valid.targets
        assert result.valid_loss == pytest.approx(log_loss(targets, outputs), rel=2e-3)
        assert result.score == pytest.approx(accuracy_score(targets, outputs.argmax(1)), abs=0.03)
        assert result.score == result.valid_accuracy


def test_r2_of_a_regression() -> None:
    """The score of a regression is scikit-learn's r2 on the rows kept out."""
    training = TRAINING.model_copy(update={"validation_fraction": 0.3})
    prepared = prepare(request(training), DIABETES)
    members = search.members(Search(), NETWORK, training)
    (found,) = trained(prepared, "alone", members, "r2", training)
    assert prepared.valid is not None
    outputs = inference.forward(
        alone(prepared, members[0], training).layers(), prepared.valid.features
    )
    assert found.score == pytest.approx(r2_score(prepared.valid.targets, outputs), rel=1e-4)
    assert found.train_accuracy is None


def test_training_rows_judge_where_none_are_kept_out() -> None:
    """Without validation rows the score is the last record's, of the training rows."""
    prepared = prepare(request(), IRIS)
    members = search.members(Search(), NETWORK, TRAINING)
    (found,) = trained(prepared, "lanes", members, "accuracy", TRAINING)
    records = [
        step.record
        for step in engines.start(NETWORK, TRAINING, prepared.train, None).run()
        if step.record is not None
    ]
    assert found.score == records[-1].train_accuracy == found.train_accuracy
    assert found.train_loss == pytest.approx(records[-1].train_loss, rel=1e-4)
    assert found.valid_loss is None


@pytest.mark.parametrize("way", ["lanes", "stack", "alone"])
def test_early_stopping_judges_the_best_epoch(way: str) -> None:
    """With early stopping a member is judged by the weights that it keeps."""
    training = TRAINING.model_copy(
        update={
            "validation_fraction": 0.3,
            "learning_rate": 0.3,
            "epochs": 300,
            "early_stopping": EarlyStopping(patience=20),
        }
    )
    prepared = prepare(request(training), IRIS)
    members = search.members(Search(), NETWORK, training)
    (found,) = trained(prepared, way, members, "loss", training)
    assert prepared.valid is not None
    stopped = alone(prepared, members[0], training)
    outputs = probabilities(stopped.layers(), prepared.valid.features)
    expected = log_loss(prepared.valid.targets, outputs)
    assert found.score == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert found.best_epoch == stopped.best_epoch
    assert found.best_epoch is not None
    assert found.trained_epochs is not None
    assert 20 < found.trained_epochs - found.best_epoch <= 20 + training.record_interval


@pytest.mark.parametrize("way", ["lanes", "alone"])
def test_a_member_that_nothing_stops_is_trained_to_its_end(way: str) -> None:
    """It says for how many epochs, and that no epoch was kept before the last."""
    training = TrainingConfig(epochs=17)
    members = search.members(Search(), NETWORK, training)
    (found,) = trained(prepare(request(training), IRIS), way, members, "loss", training)
    assert (found.trained_epochs, found.best_epoch) == (17, None)


@pytest.mark.parametrize("way", ["lanes", "alone"])
def test_a_diverged_member_is_a_result(way: str) -> None:
    """A loss that becomes no number ends its member alone, without a score."""
    training = TrainingConfig(epochs=200, batch_size=8)
    prepared = prepare(request(training), DIABETES)
    members = search.members(
        Search(space=Space(learning_rate=(0.001, 900.0))),
        NETWORK.model_copy(update={"activation": "identity"}),
        training,
    )
    good, lost = trained(prepared, way, members, "r2", training)
    assert good.diverged_at is None
    assert good.score is not None
    assert lost.diverged_at is not None
    assert lost.score is None


# Folds


@pytest.mark.parametrize("way", ["lanes", "stack"])
def test_folds_stop_their_members(way: Any) -> None:
    """A fold's rows stop each network that the others train, where they stop it alone."""
    training = TRAINING.model_copy(
        update={"learning_rate": 0.1, "epochs": 200, "early_stopping": EarlyStopping(patience=20)}
    )
    asked = SweepRequest(kind="sweep", dataset="table", training=training, search=Search(folds=3))
    validation = CrossValidation(asked.training_request, IRIS, 3)
    members = search.members(Search(space=Space(seed=SeedRange(count=3))), NETWORK, training)
    for fold in range(3):
        prepared = validation.prepared(fold)
        group = ShardGroup(way=way, fold=fold, members=tuple(members))
        found = [ended for ended in train(group, training, prepared, "loss") if ended]
        ends = [(one.member.number, one.fold, one.trained_epochs, one.best_epoch) for one in found]
        group = group.model_copy(update={"way": "alone"})
        single = [ended for ended in train(group, training, prepared, "loss") if ended]
        assert sorted(ends) == [
            (one.member.number, fold, one.trained_epochs, one.best_epoch) for one in single
        ]
        assert all((one.trained_epochs or 0) - (one.best_epoch or 0) > 20 for one in single)


def test_what_folds_stopped_is_trained_as_long_as_was_best() -> None:
    """No rows stop the last training of a sweep: its epochs are the mean of the folds' best."""
    rule = EarlyStopping(patience=20)
    asked = request(
        TRAINING.model_copy(update={"validation_fraction": 0.2, "early_stopping": rule})
    )
    (member,) = search.members(Search(), NETWORK, TRAINING)
    missing = dict.fromkeys(SweepResult.model_fields)
    best = SweepResult.model_construct(None, **{**missing, **dict(member), "best_epoch": 11.6})
    found = search.refit_of(best, asked, 5).training
    assert (found.epochs, found.early_stopping) == (13, None)
    kept = search.refit_of(best, asked, None).training
    assert (kept.epochs, kept.early_stopping) == (TRAINING.epochs, rule)


def test_folds_judge_each_row_once() -> None:
    """Each row judges once and trains otherwise; the flowers are in each fold alike."""
    validation = CrossValidation(request(), IRIS, 5)
    seen = []
    for fold in range(5):
        prepared = validation.prepared(fold)
        assert prepared.valid is not None
        assert len(prepared.train.targets) + len(prepared.valid.targets) == 150
        counts = np.bincount(prepared.valid.targets.astype(int))
        assert counts.tolist() == [10, 10, 10]
        means = [getattr(feature, "mean") for feature in prepared.preprocessing.features]  # noqa: B009
        scales = [getattr(feature, "scale") for feature in prepared.preprocessing.features]  # noqa: B009
        seen.append(prepared.valid.features * scales + means)
    rows = np.concatenate(seen).round(3)
    expected = load_iris().data
    assert sorted(map(tuple, rows.tolist())) == sorted(map(tuple, expected.tolist()))


def test_folds_learn_from_their_own_training_rows() -> None:
    """Means and deviations of a fold are scikit-learn's, of its training rows alone."""
    prepared = CrossValidation(request(), IRIS, 3).prepared(1)
    assert prepared.valid is not None
    numeric = prepared.preprocessing.features
    means = np.array([getattr(feature, "mean") for feature in numeric])  # noqa: B009
    scales = np.array([getattr(feature, "scale") for feature in numeric])  # noqa: B009
    scaler = StandardScaler().fit(prepared.train.features * scales + means)
    np.testing.assert_allclose(means, scaler.mean_, rtol=1e-5)
    np.testing.assert_allclose(scales, scaler.scale_, rtol=1e-5)


def test_the_test_rows_are_in_no_fold() -> None:
    """Rows kept out for the test neither train nor judge in any fold."""
    training = TRAINING.model_copy(update={"test_fraction": 0.2})
    validation = CrossValidation(request(training), IRIS, 4)
    judged = 0
    for fold in range(4):
        prepared = validation.prepared(fold)
        assert prepared.valid is not None
        assert prepared.test is not None
        assert len(prepared.test.targets) == 30
        assert len(prepared.train.targets) + len(prepared.valid.targets) == 120
        judged += len(prepared.valid.targets)
    assert judged == 120


def test_more_folds_than_rows() -> None:
    """A table of fewer rows than folds is refused."""
    few = IRIS._replace(frame=IRIS.frame.take(np.array([0, 60, 61])))
    with pytest.raises(InvalidField):
        CrossValidation(request(task="regression"), few, 4)
