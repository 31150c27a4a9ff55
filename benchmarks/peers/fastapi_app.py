"""The network behind FastAPI, in the event loop: a thread per request would cost more."""

import network
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
model = network.load()


class Asked(BaseModel):
    """Rows to predict."""

    model: str
    inputs: list[list[float]]


class Answer(BaseModel):
    """One prediction per row."""

    predictions: list[int]
    probabilities: list[float]


@app.post("/predict")
async def predict(body: Asked) -> Answer:
    """Predict the class of every row, with its probability."""
    return Answer(**network.answer(model, body.inputs))
