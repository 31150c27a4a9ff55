"""What figures say, in each language."""

from collections.abc import Mapping
from typing import NamedTuple

from schemas.training import Language


class Words(NamedTuple):
    """Words of a figure; what is in braces differs from one to the next."""

    version: str
    states: Mapping[str, str]
    """Of jobs that have not published a version."""
    parts: Mapping[str, str]
    """Rows by what they are for: those of a training, and `predicted`."""
    part_rows: tuple[str, str, str]
    """Rows of training, validation and test."""
    epoch: str
    loss: str
    log_loss: str
    accuracy: str
    lowest: str
    kept: str
    actual: str
    predicted: str
    judged: str
    judged_one: str
    probability: str
    rest: str
    more_of_rest: str
    more_classes: str
    some_rows: str
    negative: str
    positive: str
    inputs: str
    one_input: str
    missing: str
    left_out: str

    def title(self, name: str, version: int | None, status: str | None) -> str:
        """Name a model with its version, or a job that has none with its status."""
        if version is not None:
            return f"{name}, {self.version.format(version)}"
        return name if status is None else f"{name}, {self.states.get(status, status)}"


ENGLISH = Words(
    version="version {}",
    states={},
    parts={"train": "training", "validation": "validation", "test": "test"},
    part_rows=("training rows", "validation rows", "test rows"),
    epoch="epoch",
    loss="loss",
    log_loss="loss (log scale)",
    accuracy="accuracy",
    lowest="lowest validation loss: epoch {:,}",
    kept="weights kept: epoch {:,}",
    actual="actual",
    predicted="predicted",
    judged="{}: {:,} rows\naccuracy {:.4g}",
    judged_one="{}: {:,} row\naccuracy {:.4g}",
    probability="probability",
    rest="The rest is at its mean or most frequent value:\n{}",
    more_of_rest=" and {:,} more at theirs",
    more_classes="and {:,} more",
    some_rows="{:,} of {:,} rows",
    negative="negative weight",
    positive="positive weight",
    inputs="{:,} inputs",
    one_input="{:,} input",
    missing="{} missing",
    left_out="{:,} layers\nleft out",
)

KOREAN = Words(
    version="버전 {}",
    states={
        "queued": "대기",
        "running": "실행 중",
        "paused": "일시 정지됨",
        "succeeded": "성공",
        "failed": "실패",
        "cancelled": "취소됨",
    },
    parts={"train": "학습", "validation": "검증", "test": "테스트", "predicted": "예측"},
    part_rows=("학습 행", "검증 행", "테스트 행"),
    epoch="에포크",
    loss="손실",
    log_loss="손실 (로그 눈금)",
    accuracy="정확도",
    lowest="가장 낮은 검증 손실: 에포크 {:,}",
    kept="남긴 가중치: 에포크 {:,}",
    actual="실제",
    predicted="예측",
    judged="{}: {:,}행\n정확도 {:.4g}",
    judged_one="{}: {:,}행\n정확도 {:.4g}",
    probability="확률",
    rest="나머지 특성은 평균이나 가장 잦은 값입니다:\n{}",
    more_of_rest=" 외 {:,}개",
    more_classes="그 밖에 {:,}개",
    some_rows="{1:,}행 중 {0:,}행",
    negative="음의 가중치",
    positive="양의 가중치",
    inputs="입력 {:,}개",
    one_input="입력 {:,}개",
    missing="{} 없음",
    left_out="층 {:,}개\n생략",
)

WORDS: Mapping[Language, Words] = {"en": ENGLISH, "ko": KOREAN}
