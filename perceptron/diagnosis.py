"""What the curves and the data say about a training."""

from collections.abc import Mapping, Sequence

from perceptron.separability import is_small_enough, separability
from perceptron.tables import Table
from schemas.network import NetworkConfig
from schemas.training import (
    Diagnosis,
    DiagnosisCode,
    EpochRecord,
    Evaluation,
    Language,
    Metrics,
    MulticlassEvaluation,
    RegressionEvaluation,
)

TURNED_UP_RATIO = 1.1
TURNED_UP_LOSS = 0.01
"""The validation loss turned up when it ends above ratio · lowest + this."""
CLEAR_GAP = 0.1
"""Accuracy that the validation rows may lack before it counts as a clear gap."""
POOR_ACCURACY = 0.7
BARELY_BETTER = 0.2
"""Share of the baseline's mistakes (or variance) that training must at least have put right."""
POOR_SHARE = 0.4
"""The same with several classes: what `POOR_ACCURACY` is with two that are equally frequent."""
CLEAR_R2_GAP = 0.2
"""Share of the variance that the validation rows may lack before it counts as a clear gap."""


def diagnose(
    network: NetworkConfig,
    table: Table,
    history: Sequence[EpochRecord],
    metrics: Metrics,
    *,
    has_derived: bool = False,
) -> DiagnosisCode:
    """
    Name what stands out in a finished training; `table` holds its training rows.

    With derived inputs a network without hidden layers draws curves: no line is spoken of.

    Source: slides, 1 (6), overfitting and underfitting; 2, XOR and the single-layer perceptron.
    """
    is_linear = not network.hidden_layers or network.activation == "identity"
    is_linear = is_linear and not has_derived
    train = metrics.train
    if is_linear and train.task == "binary" and train.accuracy < 1 and _is_inseparable(table):
        return "not_linearly_separable"
    if _turned_up(history):
        return "overfitting"
    if _is_poor(train):
        return "underfitting"
    if _has_clear_gap(metrics):
        return "overfitting"
    return "good_fit"


def explain(code: DiagnosisCode, language: Language) -> Diagnosis:
    """Say the diagnosis in words: the reason, and what to do."""
    return Diagnosis(code=code, message=_MESSAGES[code][language])


def _is_inseparable(table: Table) -> bool:
    """Whether no hyperplane separates the classes; False where that would take long to decide."""
    return is_small_enough(table.features) and not (
        separability(table.features, table.targets).linearly_separable
    )


def _turned_up(history: Sequence[EpochRecord]) -> bool:
    """Whether the validation loss rose clearly from its lowest while the training loss fell."""
    points = [
        (record.valid_loss, record.train_loss)
        for record in history
        if record.valid_loss is not None
    ]
    if not points:
        return False
    lowest, train_loss_there = min(points, key=lambda point: point[0])
    last, train_loss = points[-1]
    return last > TURNED_UP_RATIO * lowest + TURNED_UP_LOSS and train_loss < train_loss_there


def _is_poor(train: Evaluation) -> bool:
    """Whether the training rows themselves are hardly learned."""
    if isinstance(train, RegressionEvaluation):
        return train.r2 is not None and train.r2 < BARELY_BETTER
    if isinstance(train, MulticlassEvaluation):
        mistakes, at_worst = _mistakes(train.confusion_matrix)
        return mistakes > (1 - POOR_SHARE) * at_worst
    counts = train.confusion_matrix
    mistakes, at_worst = _mistakes(
        (
            (counts.true_negative, counts.false_positive),
            (counts.false_negative, counts.true_positive),
        )
    )
    if mistakes == 0:
        return False
    return train.accuracy < POOR_ACCURACY or mistakes > (1 - BARELY_BETTER) * at_worst


def _mistakes(matrix: Sequence[Sequence[int]]) -> tuple[int, int]:
    """Count the mistakes, and those of always answering the most frequent class."""
    rows = [sum(row) for row in matrix]
    right = sum(row[index] for index, row in enumerate(matrix))
    return sum(rows) - right, sum(rows) - max(rows)


def _has_clear_gap(metrics: Metrics) -> bool:
    """Whether the validation rows do clearly worse than the training rows."""
    train, valid = metrics.train, metrics.validation
    if valid is None or valid.loss <= train.loss:
        return False
    if isinstance(train, RegressionEvaluation) or isinstance(valid, RegressionEvaluation):
        return _r2(train) - _r2(valid) > CLEAR_R2_GAP
    return train.accuracy - valid.accuracy > CLEAR_GAP


def _r2(evaluation: Evaluation) -> float:
    """Give the share of variance that is explained; 0 where there is none to explain."""
    if isinstance(evaluation, RegressionEvaluation) and evaluation.r2 is not None:
        return evaluation.r2
    return 0.0


_MESSAGES: Mapping[DiagnosisCode, Mapping[Language, str]] = {
    "not_linearly_separable": {
        "en": "Not linearly separable: no single straight line can separate the two classes, "
        "and without a hidden layer (or with hidden layers that are linear themselves) a network "
        "draws only one. A hidden layer is needed, with an activation such as sigmoid: add one "
        "and train again.",
        "ko": "선형 분리가 불가능합니다. 직선 하나로는 두 클래스를 나눌 수 없는데, 단층 퍼셉트론은 "
        "선형 영역만 분리할 수 있습니다. (항등 함수만 쓰는 은닉층도 마찬가지입니다.) sigmoid 같은 "
        "활성화 함수를 쓰는 은닉층이 필요하므로 은닉층을 추가해 다시 학습하세요.",
    },
    "overfitting": {
        "en": "Overfitting: the network fits the training data better and better, but it does "
        "clearly worse on the validation data. Train for fewer epochs, use a smaller network or "
        "weight decay, or collect more data.",
        "ko": "과적합입니다. 훈련 데이터는 점점 더 잘 맞히지만 검증 데이터에서는 성능이 뚜렷하게 "
        "떨어집니다. 에포크 수나 은닉층의 뉴런 수를 줄이고, 가중치 감쇠를 쓰거나 데이터를 더 "
        "모아 보세요.",
    },
    "underfitting": {
        "en": "Underfitting: the network has hardly learned the training data, although there is "
        "room to do better. Train for more epochs, change the learning rate, or add hidden "
        "layers or units.",
        "ko": "과소적합입니다. 성능이 더 좋아질 여지가 있는데도 훈련 데이터를 충분히 학습하지 "
        "못했습니다. 에포크 수를 늘리거나 학습률을 바꾸고, 은닉층이나 뉴런을 추가해 보세요.",
    },
    "good_fit": {
        "en": "Good fit: the network has learned the training data, and nothing points to "
        "overfitting or underfitting. It is ready to predict; validation rows tell how it does on "
        "new ones.",
        "ko": "학습이 잘 되었습니다. 훈련 데이터를 잘 학습했고 과적합이나 과소적합의 징후가 "
        "없으므로, 이 모델로 바로 예측할 수 있습니다. 처음 보는 데이터에서 어떨지는 "
        "검증 데이터가 알려 줍니다.",
    },
}
