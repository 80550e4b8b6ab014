"""Sort documents into kinds that are only named: class prompts in Vietnamese, English and Chinese, no training.

The documents are notices of five kinds in the three languages, as text, as printed pictures, and as both together.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from embedder import ColPaLiQwenEmbedder
from examples.applications.command import against_chance, given, show_table
from examples.applications.notices import LANGUAGES, SENTENCES, Notice, kinds, notices
from examples.applications.rows import Pictured, Row, write_rows
from examples.sample_documents.canvas import Language

PROMPTS: Final[Mapping[Language, Mapping[str, str]]] = {
    "vi": {
        "lease": "hợp đồng thuê nhà, tiền thuê căn hộ",
        "clinic": "bệnh nhân gặp bác sĩ ở phòng khám",
        "bicycle": "bảo dưỡng xe đạp",
        "school": "thông báo của nhà trường cho học sinh và phụ huynh",
        "harvest": "nông dân trồng lúa",
    },
    "en": {
        "lease": "lease contract, rent of a flat",
        "clinic": "a patient sees the doctor at the clinic",
        "bicycle": "maintenance of a bicycle",
        "school": "message of the school to pupils and parents",
        "harvest": "farmers grow rice",
    },
    "zh": {
        "lease": "公寓租赁合同，租金",
        "clinic": "病人在诊所看医生",
        "bicycle": "自行车保养",
        "school": "学校给学生和家长的通知",
        "harvest": "农民种水稻",
    },
}
CHANCE: Final = 1 / len(SENTENCES)
FORMS: Final = ("text", "picture", "both")


@dataclass(frozen=True)
class Classified:
    """How the documents were taken (text, picture, both), the prompts' language, and the kind given to each."""

    form: str
    prompts: Language
    given: Sequence[str]


def classify(embedder: ColPaLiQwenEmbedder, documents: Sequence[Notice]) -> list[Classified]:
    """Give each document the kind whose prompt is nearest, for each form of documents and language of prompts."""
    texts, pictures = [one.text for one in documents], [one.picture for one in documents]
    forms = {"text": (texts, None), "picture": (None, pictures), "both": (texts, pictures)}
    names = list(SENTENCES)
    prompts = {
        language: embedder.encode([PROMPTS[language][name] for name in names], convert_to="numpy")
        for language in LANGUAGES
    }
    found = []
    for form in FORMS:
        vectors = embedder.encode(*forms[form], batch_size=16, convert_to="numpy")
        for language in LANGUAGES:
            best = np.argmax(np.asarray(vectors) @ np.asarray(prompts[language]).T, axis=1)
            found.append(Classified(form, language, [names[place] for place in best]))
    return found


def right(found: Classified, documents: Sequence[Notice], language: Language | None = None) -> tuple[int, int]:
    """How many are of the given kind, and of how many; `language` takes documents of that language alone."""
    judged = [
        kind == one.kind
        for kind, one in zip(found.given, documents, strict=True)
        if language is None or one.language == language
    ]
    return sum(judged), len(judged)


def main() -> None:
    """Classify, print, and write `classes.html`."""
    start = given("zero_shot_classification", __doc__.splitlines()[0])
    documents = notices(8)
    found = classify(start.embedder, documents)
    table = []
    for one in found:
        by_language = (against_chance(*right(one, documents, language), CHANCE) for language in LANGUAGES)
        row = (f"{one.form}, prompts {one.prompts}", *by_language, against_chance(*right(one, documents), CHANCE))
        table.append(row)
    counted = Counter(kinds(documents))
    show_table(
        f"accuracy on {len(documents)} documents of {len(counted)} kinds (chance {CHANCE:.0%}; ↑ above, = at it)",
        ("documents as", *(f"of {language}" for language in LANGUAGES), "all"),
        table,
    )
    best = max(found, key=lambda one: right(one, documents)[0])
    rows = []
    for kind in SENTENCES:
        pairs = [one for given_kind, one in zip(best.given, documents, strict=True) if given_kind == kind]
        shown = [Pictured(one.picture, f"{one.kind} ({one.language})", one.kind == kind) for one in pairs[:10]]
        rows.append(Row(kind, PROMPTS[best.prompts][kind], shown))
    lead = f"Documents as {best.form}, prompts in {best.prompts}. Framed: of the right kind."
    write_rows(start.folder / "classes.html", "Kinds given without training", lead, rows)
    print(f"pictures: {start.folder / 'classes.html'}")


if __name__ == "__main__":
    main()
