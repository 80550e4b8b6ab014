"""What a language model is asked: rules, pages in marked blocks, the question. Document text is data and stays so."""

import re
import secrets
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from io import BytesIO
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, get_args

import yaml
from PIL import Image

from embedder.errors import InputError
from vipylo_rag.citations import SENTINEL
from vipylo_rag.passages import Asked, Weights, sentences, terms
from vipylo_rag.search import Hit

if TYPE_CHECKING:
    from llama_index.core.base.llms.types import ContentBlock
    from llama_index.core.llms import ChatMessage

Language = Literal["vi", "en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

# An A4 page of a million pixels is read well by today's models, and is some 1,300 tokens of Qwen2-VL's.
IMAGE_PIXELS = 1_000_000
TEXT_CHARACTERS = 24_000
LEAST_TEXT_CHARACTERS = 4_000
_NAME_CHARACTERS = 120

# Marks of Vietnamese, on letters taken apart; "đ" has no parts.
_MARKED = re.compile(r"[đ\u0300-\u0303\u0306\u0309\u031b\u0323]")
# Words of English questions; all are in its list of idle words, where they have lost their endings.
_ENGLISH = frozenset(
    {"what", "which", "who", "when", "where", "why", "how", "is", "are", "was", "were", "do", "does", "did", "the",
     "of", "in", "on", "for", "and", "to", "a"}
)  # fmt: skip
_CHINESE = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")


@dataclass(frozen=True)
class Words:
    """What answers in one language are made with: vipylo_rag/prompts/LANGUAGE.yaml."""

    system: str
    question: str
    question_images: str
    no_question_images: str
    file: str
    picture: str
    no_picture: str
    no_text: str
    not_found: str
    own_words: str
    uncited: str
    cut: str
    quoted: str
    idle_words: frozenset[str]

    @cached_property
    def idle(self) -> re.Pattern[str]:
        """Any idle word, the longest that fits."""
        return re.compile("|".join(map(re.escape, sorted(self.idle_words, key=len, reverse=True))))


@cache
def words_in(language: Language) -> Words:
    """The words of a language.

    Raises:
        InputError: there are none for it.
    """
    if language not in LANGUAGES:
        raise InputError(f"language={language!r} is none of {', '.join(LANGUAGES)}")
    said: Mapping[str, str] = yaml.safe_load(
        (files("vipylo_rag") / "prompts" / f"{language}.yaml").read_text(encoding="utf-8")
    )
    idle = frozenset(term if language == "zh" else terms(term)[0] for term in said["idle_words"].split())
    return Words(**{**said, "idle_words": idle})  # type: ignore[arg-type]


def language_of(question: str) -> Language:
    """The language that a question is in: Chinese by its characters, Vietnamese by marks and small words, else English.

    Small words decide between the two: a Vietnamese name in an English question makes it no Vietnamese one.
    """
    chinese = len(_CHINESE.findall(question))
    letters = sum(letter.isalpha() for letter in question)
    if chinese and chinese * 4 >= letters:  # one Chinese character says as much as four letters
        return "zh"
    said = re.findall(r"[^\W\d_]+", unicodedata.normalize("NFC", question).casefold())
    vietnamese = sum(
        bool(_MARKED.search(unicodedata.normalize("NFD", word))) or word in words_in("vi").idle_words for word in said
    )
    return "vi" if vietnamese > sum(word in _ENGLISH for word in said) else "en"


def asked_terms(question: str, language: Language) -> list[str]:
    """The words of a question that tell what it is about, in order; all of them where none does."""
    idle = words_in(language).idle
    telling = idle.sub(" ", question) if language == "zh" else question  # no blanks part the words of Chinese
    return [term for term in terms(telling) if term not in words_in(language).idle_words] or terms(question)


def messages(
    question: str,
    images: Sequence[Image.Image],
    hits: Sequence[Hit],
    language: Language,
    *,
    pictures: bool,
    characters: int = TEXT_CHARACTERS,
) -> "list[ChatMessage]":
    """The messages for a model: one of the system's with the rules, one of the user's with pages and question.

    Args:
        pictures: False for a model that takes no images: then the pages' texts are all it gets.
        characters: of all pages' texts together; longer pages keep the sentences that fit the question best.
    """
    from llama_index.core.base.llms.types import ChatMessage, MessageRole, TextBlock

    said, nonce = words_in(language), _nonce(hits)
    system = said.system.format(begin=_begin("N", nonce), end=_end("N", nonce), nonce=nonce, sentinel=SENTINEL)
    asked = asked_terms(question, language)
    share = characters // max(1, len(hits))
    blocks: list[ContentBlock] = []
    for number, hit in enumerate(hits, start=1):
        name = inert(" ".join(hit.name.split()))[:_NAME_CHARACTERS]
        text = inert(shortened(hit.text, asked, share)) or said.no_text
        lines = [_begin(str(number), nonce), said.file.format(name=name, page=hit.page), text]
        picture = _picture(hit) if pictures else None
        if picture is None:
            lines += [said.no_picture] if hit.image_path else []
            blocks.append(TextBlock(text="\n".join([*lines, _end(str(number), nonce)])))
        else:
            blocks.append(TextBlock(text="\n".join([*lines, said.picture])))
            blocks.append(_image_block(picture))
            blocks.append(TextBlock(text=_end(str(number), nonce)))
    if images and pictures:
        blocks.append(TextBlock(text=said.question_images))
        blocks += [_image_block(image) for image in images]
    elif images:
        blocks.append(TextBlock(text=said.no_question_images))
    blocks.append(TextBlock(text=f"{said.question}\n{inert(question)}"))
    return [ChatMessage(role=MessageRole.SYSTEM, content=system), ChatMessage(role=MessageRole.USER, blocks=blocks)]


def _picture(hit: Hit) -> Image.Image | None:
    """A page's picture; None where it has none, or where it is lost or damaged: then its text answers alone."""
    try:
        return hit.image
    except OSError:
        return None


# Brackets that no document text has once it is inert: a block's mark cannot be written inside a block.
def _begin(number: str, nonce: str) -> str:
    return f"⟦page {number} · {nonce}⟧"


def _end(number: str, nonce: str) -> str:
    return f"⟦end of page {number} · {nonce}⟧"


def _nonce(hits: Sequence[Hit]) -> str:
    while True:
        nonce = secrets.token_hex(6)
        if not any(nonce in hit.text or nonce in hit.source for hit in hits):
            return nonce


# Invisible characters split words that a filter looks for, and hide text from who reads the page.
_INVISIBLE = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_LINE_ENDS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_BLOCK_BRACKETS = str.maketrans({"⟦": "(", "⟧": ")", "〚": "(", "〛": ")", "⁅": "(", "⁆": ")"})
# Nothing is tried twice: a page may be all brackets, or all blanks behind one.
_SENTINEL = re.compile(r"(?<!\[)\[++\s*+(not[_ ]found)\s*+\]++", re.IGNORECASE)
_CITATION = re.compile(r"[\[［【〔]\s*+(\^?+\s*+\d++(?:\s*+[,，、;；–—-]\s*+\d++)*+)\s*+[\]］】〕]")
# What servers' chat templates read as the start of another turn, wherever it stands in a message.
_TURN = re.compile(
    r"<(?=(?:\||｜|/?s>|/?bos>|/?eos>|/?start_of_turn|/?end_of_turn|/?think>|/?tool_|/?image>|<?/?SYS))|\[(?=/?INST\])",
    re.IGNORECASE,
)


def inert(text: str) -> str:
    """Document text that can be no mark, no citation, no word to the program and no chat turn; readable as before."""
    text = _LINE_ENDS.sub("\n", unicodedata.normalize("NFC", text))
    text = _INVISIBLE.sub("", text).translate(_BLOCK_BRACKETS)
    text = _SENTINEL.sub(r"(\1)", text)
    text = _CITATION.sub(r"(\1)", text)
    return _TURN.sub(lambda match: match[0] + " ", text).strip()


def shortened(text: str, asked: Sequence[str], characters: int) -> str:
    """A text of at most about `characters`: the sentences that fit what is asked best, in order, " … " between."""
    if len(text) <= characters:
        return text
    spans = sentences(text)
    said = {span: terms(text[span.start : span.end]) for span in spans}
    question = Asked(asked, Weights.of(said.values()))
    ranked = sorted(spans, key=lambda span: -question.fit(said[span]))
    kept, length = [], 0
    for span in ranked:
        length += span.end - span.start + 3
        if length > characters:
            break
        kept.append(span)
    if not kept:
        return text[:characters]
    kept.sort(key=lambda span: span.start)
    out = text[kept[0].start : kept[0].end]
    for before, span in pairwise(kept):
        gap = text[before.end : span.start]
        out += (gap if not gap.strip() else " … ") + text[span.start : span.end]
    return out


def _image_block(image: Image.Image) -> "ContentBlock":
    from llama_index.core.base.llms.types import ImageBlock

    shown = image.convert("RGB")
    pixels = shown.width * shown.height
    if pixels > IMAGE_PIXELS:
        scale = (IMAGE_PIXELS / pixels) ** 0.5
        size = (max(1, round(shown.width * scale)), max(1, round(shown.height * scale)))
        shown = shown.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    file = BytesIO()
    shown.save(file, "JPEG", quality=88)
    return ImageBlock(image=file.getvalue(), image_mimetype="image/jpeg")
