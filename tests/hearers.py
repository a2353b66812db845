"""Somebody who waits for a text, and writes down what they hear."""

from dataclasses import dataclass, field

from mome.reading import Standing, Text


@dataclass
class Hearer:
    """Hears words if ``live``, and leaves after ``patience`` of them."""

    live: bool = True
    patience: int | None = None
    heard: list[Standing] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)

    @property
    def gone(self) -> bool:
        return self.patience is not None and len(self.heard) >= self.patience

    def wrote(self, standing: Standing) -> None:
        assert not self.texts, "words after the end"
        self.heard.append(standing)

    def ended(self, text: Text) -> None:
        self.texts.append(text)
